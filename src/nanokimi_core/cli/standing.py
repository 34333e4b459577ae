"""How the toml's accounts stand: what each says of itself, what it has left, and who uses it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import anyio

from nanokimi_core.cli.lending import account
from nanokimi_core.cli.opening import Setup, blamed
from nanokimi_core.cli.times import counted, minute
from nanokimi_core.config import Settings
from nanokimi_core.contracts.auth import AuthStatus, Quota
from nanokimi_core.errors import AgentError, LoginNeeded, NanoKimiError
from nanokimi_core.status import AccountStatus, Status
from nanokimi_core.supervision import guarded

_PATIENCE = 30.0
_NEAR = 0.8
_BAR = 20
_LIVE = ("serves", "chats", "down", "login_until")
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
    """An account's answer, or why there is none.

    Attributes:
        name: The instance's.
        users: Who uses it.
        status: The answer.
        error: Why there is none.
        live: What the running process has to say of it, where one runs.
    """

    name: str
    users: Users
    status: AuthStatus | None
    error: str = ""
    live: AccountStatus | None = None

    @property
    def usable(self) -> bool:
        """Whether an agent could work with it now."""
        return self.status is not None and self.status.state in ("ok", "expiring")

    def as_dict(self) -> dict[str, Any]:
        """Give it for JSON."""
        live = {key: getattr(self.live, key) for key in _LIVE} if self.live is not None else None
        users = {"used_by": {"default": self.users.default, "chats": list(self.users.chats)}, "live": live}
        if self.status is None:
            return {"name": self.name, "state": "error", "cause": self.error, **users}
        until = self.status.until.isoformat() if self.status.until else None
        quotas = [
            {**asdict(quota), "resets_at": quota.resets_at.isoformat() if quota.resets_at else None}
            for quota in self.status.quotas
        ]
        return {"name": self.name, **asdict(self.status), "until": until, "quotas": quotas, **users}

    def row(self) -> list[str]:
        """Give its row of the table."""
        if self.status is None:
            return [self.name, "error", "", ""]
        until = minute(self.status.until) if self.status.until else ""
        return [self.name, self.status.state.replace("_", " "), self.status.who, until]

    def lines(self) -> Iterator[str]:
        """Give what stands below the table."""
        yield f"{self.name}:" if self.status is not None else f"{self.name}: {self.error}"
        yield f"  used by: {self.users}"
        if self.live is not None:
            yield f"  now: {_now(self.live)}"
        if self.status is None:
            return
        yield from (f"  {name}: {value}" for name, value in self.status.details.items())
        yield from (f"  {line}" for line in quota_lines(self.status.quotas, bars=_can_draw()))
        if self.status.remedy:
            yield f"  -> {self.status.remedy}"


def _now(live: AccountStatus) -> str:
    parts = [f"{counted(live.chats, 'chat')} of the running process"]
    if live.serves:
        parts.append("new turns use it")
    if live.down:
        parts.append(f"no new turn uses it ({live.down})")
    if live.login_until:
        until = datetime.fromisoformat(live.login_until).astimezone()
        parts.append(f"a code waits for the owner until {until:%H:%M}")
    return ", ".join(parts)


async def ask_accounts(setup: Setup, running: Status | None = None) -> list[Asked]:
    """Ask each account that the toml names how it stands; with what the running process says, where one runs."""
    live = {each.name: each for each in running.accounts} if running is not None else {}
    return [replace(await _ask(setup, name), live=live.get(name)) for name in setup.settings.auths()]


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
