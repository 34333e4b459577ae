"""How the toml's accounts stand: what each says of itself, what it has left, and who uses it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import anyio

from nanokimi_core.cli.lending import account
from nanokimi_core.cli.opening import Setup, blamed
from nanokimi_core.config import Settings
from nanokimi_core.contracts.auth import AuthStatus, Quota
from nanokimi_core.errors import AgentError, LoginNeeded, NanoKimiError
from nanokimi_core.supervision import guarded

_PATIENCE = 30.0
_NEAR = 0.8
_BAR = 20
_DOING = "to say how the account stands"


@dataclass(frozen=True)
class Users:
    """Who uses an account, by the toml.

    Attributes:
        default: Whether it is one of the top level's.
        chats: The tables of chats that name it.
    """

    default: bool
    chats: tuple[str, ...]

    @classmethod
    def of(cls, name: str, settings: Settings) -> Users:
        """Look into the toml."""
        chats = tuple(chat for chat, table in settings.chats.items() if name in (table.auth or ()))
        return cls(name in settings.auth, chats)

    def __str__(self) -> str:
        tables = [f'[chats."{chat}"]' for chat in self.chats]
        return ", ".join([*(["every chat whose table names no other"] if self.default else []), *tables])


@dataclass(frozen=True)
class Asked:
    """An account's answer, or why there is none."""

    name: str
    users: Users
    status: AuthStatus | None
    error: str = ""

    @property
    def usable(self) -> bool:
        """Whether an agent could work with it now."""
        return self.status is not None and self.status.state in ("ok", "expiring")

    def as_dict(self) -> dict[str, Any]:
        """Give it for JSON."""
        used_by = asdict(self.users) | {"chats": list(self.users.chats)}
        if self.status is None:
            return {"name": self.name, "state": "error", "cause": self.error, "used_by": used_by}
        until = self.status.until.isoformat() if self.status.until else None
        quotas = [
            {**asdict(quota), "resets_at": quota.resets_at.isoformat() if quota.resets_at else None}
            for quota in self.status.quotas
        ]
        return {"name": self.name, **asdict(self.status), "until": until, "quotas": quotas, "used_by": used_by}

    def row(self) -> list[str]:
        """Give its row of the table."""
        if self.status is None:
            return [self.name, "error", "", ""]
        until = f"{self.status.until.astimezone():%Y-%m-%d %H:%M}" if self.status.until else ""
        return [self.name, self.status.state.replace("_", " "), self.status.who, until]

    def lines(self) -> Iterator[str]:
        """Give what stands below the table."""
        if self.status is None:
            yield f"{self.name}: {self.error}"
            yield f"  used by: {self.users}"
            return
        yield f"{self.name}:"
        yield f"  used by: {self.users}"
        yield from (f"  {name}: {value}" for name, value in self.status.details.items())
        yield from (f"  {line}" for line in quota_lines(self.status.quotas, bars=_can_draw()))
        if self.status.remedy:
            yield f"  -> {self.status.remedy}"


async def ask_accounts(setup: Setup) -> list[Asked]:
    """Ask each account that the toml names how it stands."""
    return [await _ask(setup, name) for name in setup.settings.auths()]


async def _ask(setup: Setup, name: str) -> Asked:
    users = Users.of(name, setup.settings)
    try:
        instance = setup.instance("auth", name)
        with anyio.fail_after(_PATIENCE):
            async with account(setup, instance) as auth:
                plugin = instance.provided.plugin
                with blamed(plugin, _DOING):
                    status = await guarded(auth.status, plugin=plugin, doing=_DOING, returns=AuthStatus)
                    return Asked(name, users, status)
    except (NanoKimiError, AgentError, LoginNeeded) as error:
        return Asked(name, users, None, str(error))
    except TimeoutError:
        return Asked(name, users, None, f"no answer within {_PATIENCE:g} s")


def quota_lines(quotas: Sequence[Quota], *, bars: bool) -> list[str]:
    """Write what an account has left, a line for each quota; ``!`` marks one that is used up to 80 % or more."""
    wide = max((len(quota.name) for quota in quotas), default=0)
    return [f"{quota.name.ljust(wide) if bars else quota.name}: {_quota(quota, bars)}" for quota in quotas]


def _quota(quota: Quota, bars: bool) -> str:
    parts, bar = [], ""
    if quota.used is not None:
        used = min(max(quota.used, 0.0), 1.0)
        parts.append(f"{used * 100:.0f} % used")
        bar = f"{'█' * round(used * _BAR)}{'░' * (_BAR - round(used * _BAR))} " if bars else ""
    if quota.left:
        parts.append(f"{quota.left} left")
    if quota.resets_at is not None:
        parts.append(f"whole again at {quota.resets_at.astimezone():%Y-%m-%d %H:%M}")
    near = " !" if quota.used is not None and quota.used >= _NEAR else ""
    return f"{bar}{', '.join(parts)}{near}"


def _can_draw() -> bool:
    if sys.stdout is None or not sys.stdout.isatty():
        return False
    try:
        "█░".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
