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
        mark: Which credentials it stands for, as a hash. Unlike the fingerprint it may change while an agent runs: a
            refusal of a grant with an old mark says nothing of the credentials that there are now.
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
    mark: str = ""


@dataclass(frozen=True)
class Quota:
    """A part of what an account may use, as its server tells it.

    Attributes:
        name: In the server's words: ``Weekly limit``, ``Balance``.
        used: The part that is used up, from 0 to 1; ``None`` where only the rest is known.
        left: The rest, for people: ``61 %``, ``12.30 CNY``.
        resets_at: When it is whole again, where that is known.
    """

    name: str
    used: float | None = None
    left: str = ""
    resets_at: datetime | None = None


@dataclass(frozen=True)
class AuthStatus:
    """How an account stands.

    Attributes:
        state: In one word.
        who: The account, or the last four characters of a key.
        until: When it ends, where that is known.
        remedy: What the owner must do, if anything.
        details: More, for ``nanokimi auth status``; no secret.
        quotas: What it has left, where the server tells.
    """

    state: Literal["ok", "expiring", "login_needed", "rejected", "out_of_quota"]
    who: str = ""
    until: datetime | None = None
    remedy: str = ""
    details: dict[str, str] = field(default_factory=dict)
    quotas: tuple[Quota, ...] = ()


class Auth(Protocol):
    """An account."""

    async def grant(self, need: Need) -> Grant:
        """Give a grant that is valid now.

        Raises:
            LoginNeeded: There are no valid credentials.
            AccountAway: There are none at the moment, and nobody needs to do anything.
        """
        ...

    async def rejected(self, grant: Grant, why: str) -> None:
        """Hear that the account's server refused this grant: the credentials, or because there is nothing left to use.

        ``why`` is what it said, its code included where that is known: 401, 402, 403, or 429 for a quota.
        """
        ...

    async def status(self) -> AuthStatus:
        """Say how the account stands."""
        ...


@dataclass(frozen=True)
class ShowCode:
    """A login that waits for a person: open ``url`` and enter ``code``.

    Attributes:
        url: The page, of at most 500 characters.
        code: What the person enters there: letters and digits, with single dashes, dots or spaces between them.
        expires_at: Until when; aware.
        complete_url: The page with the code in its address, where the server gives that.
    """

    url: str
    code: str
    expires_at: datetime
    complete_url: str = ""


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


@runtime_checkable
class LogsOut(Protocol):
    """An account whose credentials can be removed by ``nanokimi auth logout``."""

    async def log_out(self) -> AuthStatus:
        """Remove the credentials that this instance has stored, wherever containers see them too.

        Raises:
            ConfigError: They are not this instance's to remove; says where they are.
        """
        ...


@runtime_checkable
class Refreshes(Protocol):
    """An account whose credentials can be renewed at once by ``nanokimi auth refresh``."""

    async def refresh(self) -> AuthStatus:
        """Renew the credentials now.

        Raises:
            LoginNeeded: The server wants a new login.
            AccountAway: The server can't be reached, or is busy; the credentials stay as they are.
        """
        ...


class AgentCommands(Protocol):
    """The agent's own commands, run in a container, for an account that only the agent's own program logs in to."""

    def log_in(self, folder: Path, environment: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[ShowCode]:
        """Let the agent log in; ends when it has.

        Args:
            folder: Empty and private; the agent's ``credentials`` directory lies in it then, with the login's file.
            environment: Of the agent, as in ``Grant``.

        Raises:
            AgentError: It came to nothing; says why.
            ConfigError: No backend that runs can do it.
        """
        ...

    async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
        """Let the agent refresh the login that lies in these mounts, if it thinks that is due.

        Raises:
            AgentError: It could not be started.
            ConfigError: No backend that runs can do it.
        """
        ...


@runtime_checkable
class UsesAgent(Protocol):
    """An account that needs the agent's own commands."""

    def use_agent(self, agent: AgentCommands) -> None:
        """Take them; called once, before anything else is asked of the account."""
        ...
