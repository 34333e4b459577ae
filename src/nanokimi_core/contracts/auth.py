"""Auth plugins: the account that pays for the agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol, runtime_checkable

from pydantic import SecretStr


@dataclass(frozen=True)
class Need:
    """What the backend is about to run; an auth plugin writes its files for it.

    Attributes:
        agent: ``kimi-code``, ``kimi-cli``, …
        agent_home: The agent's home in the container.
        user: uid and gid that must be able to read (and, where shared, write) what is mounted.
    """

    agent: str
    agent_home: PurePosixPath
    user: tuple[int, int]


@dataclass(frozen=True)
class Mount:
    """A directory of the host, seen in the container. Never a single file: a replaced file would stay the old one."""

    source: Path
    target: PurePosixPath
    read_only: bool = True


@dataclass(frozen=True)
class Grant:
    """The right to use an account, in the form that an agent needs.

    Attributes:
        provider: The agent's provider type: ``kimi``, ``openai``, …
        base_url: Of the account's model API.
        model: The server's model id.
        context_size: In tokens.
        fingerprint: Changes when a running agent must be restarted to notice; holds no secret.
        api_key: Written into the agent's generated, read-only config; never into its environment.
        oauth_key: The agent's name for the credentials file in the mounts.
        mounts: Directories that the agent needs to see.
        capabilities: Of the model, in the agent's own words.
        expires_at: When it ends, where that is known.
        environment: Settings that the agent takes only from its environment. Never a secret.
    """

    provider: str
    base_url: str
    model: str
    context_size: int
    fingerprint: str
    api_key: SecretStr | None = None
    oauth_key: str | None = None
    mounts: tuple[Mount, ...] = ()
    capabilities: frozenset[str] = frozenset()
    expires_at: datetime | None = None
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class AuthStatus:
    """How an account stands.

    Attributes:
        state: In one word.
        who: The account, or the last four characters of a key.
        until: When it ends, where that is known.
        remedy: What the owner must do, if anything.
        details: More, for ``nanokimi auth status``; no secret.
    """

    state: Literal["ok", "expiring", "login_needed", "rejected", "out_of_quota"]
    who: str = ""
    until: datetime | None = None
    remedy: str = ""
    details: dict[str, str] = field(default_factory=dict)


class Auth(Protocol):
    """An account."""

    async def grant(self, need: Need) -> Grant:
        """Give a grant that is valid now.

        Raises:
            LoginNeeded: There are no valid credentials.
        """
        ...

    async def rejected(self, grant: Grant, why: str) -> None:
        """Hear that the account's server refused this grant (401 or 403)."""
        ...

    async def status(self) -> AuthStatus:
        """Say how the account stands."""
        ...


@dataclass(frozen=True)
class ShowCode:
    """A login that waits for a person: open ``url`` and enter ``code``."""

    url: str
    code: str
    expires_at: datetime


@runtime_checkable
class LogsIn(Protocol):
    """An account that a person can log in to while the assistant runs."""

    def login(self) -> AsyncIterator[ShowCode | AuthStatus]:
        """Log in; ends with the status. Usable from the terminal and from the owner's chat."""
        ...


@runtime_checkable
class TakesKey(Protocol):
    """An account whose key can be stored by ``nanokimi auth set-key``."""

    async def set_key(self, key: SecretStr) -> AuthStatus:
        """Check the key's form and store it for this instance only (mode 0600).

        Raises:
            ConfigError: It can't be a key of this account.
        """
        ...


@runtime_checkable
class ImportsLogin(Protocol):
    """An account whose credentials file can be taken over by ``nanokimi auth import``."""

    async def import_login(self, file: Path) -> AuthStatus:
        """Check a credentials file of another machine's login and store it where it belongs (mode 0600).

        Raises:
            ConfigError: It is not a credentials file, or holds no login.
        """
        ...
