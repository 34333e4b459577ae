"""How the assistant stands, as values: for ``nanokimi status``, and for ``/status`` in a chat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nanokimi_core.contracts.auth import ShowCode


@dataclass(frozen=True)
class InstanceStatus:
    """How a plugin instance stands.

    Attributes:
        name: In the toml.
        kind: ``transport``, ``backend`` or ``auth``.
        state: ``starting``, ``running``, ``waiting`` (to be started again), ``ended`` or ``failed``.
        since: When it came into that state, in seconds since 1970.
        last_error: The last thing that went wrong; empty where nothing did.
        restarts: How often it was started again.
        connected: Of a transport: whether its network is connected.
        said: Of a transport: what it says of its connection itself, in a line; empty where it says nothing.
    """

    name: str
    kind: str
    state: str
    since: float
    last_error: str = ""
    restarts: int = 0
    connected: bool | None = None
    said: str = ""


@dataclass(frozen=True)
class QuotaStatus:
    """A part of what an account may use, as its server tells it.

    Attributes:
        name: In the server's words.
        used: The part that is used up, from 0 to 1; ``None`` where only the rest is known.
        left: The rest, for people.
        resets_at: When it is whole again, as ISO 8601 writes it; empty where that isn't known.
        low: Whether four fifths of it or more are used up.
    """

    name: str
    used: float | None = None
    left: str = ""
    resets_at: str = ""
    low: bool = False


@dataclass(frozen=True)
class AccountStatus:
    """How an account stands; as ``AuthStatus``, with the instance's name.

    Attributes:
        name: The instance's.
        state: In one word; ``unknown`` where it can't be asked.
        who: The account, or the last four characters of a key.
        until: When it ends, as ISO 8601 writes it; empty where that isn't known.
        remedy: What the owner must do, if anything.
        quotas: What it has left.
        login_until: Until when a code counts that waits for the owner; empty where none does.
        serves: Whether it is the one of the top level's chain that new turns use now.
        chats: How many chats got their last grant from it since the start.
        down: Why no new turn uses it at the moment; empty where one would.
    """

    name: str
    state: str
    who: str = ""
    until: str = ""
    remedy: str = ""
    quotas: tuple[QuotaStatus, ...] = ()
    login_until: str = ""
    serves: bool = False
    chats: int = 0
    down: str = ""


@dataclass(frozen=True)
class HeldLane:
    """A chat whose messages wait for a cause outside of them to pass.

    Attributes:
        chat: ``transport:chat``.
        cause: What it waits for.
        seconds: Until it is tried again.
    """

    chat: str
    cause: str
    seconds: float


@dataclass(frozen=True)
class Status:
    """How the assistant stands.

    Attributes:
        running: Whether a process runs; else this is what its data folder says.
        assistant: What it is called.
        version: Of NanoKimi.
        process: The process's id.
        since: When it was started, in seconds since 1970.
        owner: The owner's chat, ``transport:chat``; empty where there is none yet.
        instances: The plugins.
        accounts: The accounts.
        chats: Chats that are known.
        warm: Agents that are up.
        turns: Turns that run now.
        waiting: Messages that wait in lanes.
        held: Lanes that are held; at most 100 of them.
        owed: Messages in the outbox.
        counters: As ``Store.counters`` gives them.
        problems: What the owner should mend, as sentences.
    """

    running: bool
    assistant: str
    version: str
    process: int | None = None
    since: float | None = None
    owner: str = ""
    instances: tuple[InstanceStatus, ...] = ()
    accounts: tuple[AccountStatus, ...] = ()
    chats: int = 0
    warm: int = 0
    turns: int = 0
    waiting: int = 0
    held: tuple[HeldLane, ...] = ()
    owed: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give it as what ``json`` can write."""
        return asdict(self)


@dataclass(frozen=True)
class LoginAsked:
    """What came of the owner's wish to log in.

    Attributes:
        name: The account.
        state: ``begun``: its code is shown in a moment; ``waiting``: its code counts already; ``elsewhere``: it doesn't
            log in by a code.
        code: Of one that waits.
        usable: The account needed no login.
        takes_key: It takes a key, in a terminal.
        imports_login: It takes the file of a login, in a terminal.
    """

    name: str
    state: Literal["begun", "waiting", "elsewhere"]
    code: ShowCode | None = None
    usable: bool = False
    takes_key: bool = False
    imports_login: bool = False
