"""Operations that do as a test says, and a console between them and a terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import anyio

from nanokimi_core import Inbound, ShowCode
from nanokimi_core.control import SOCKET, JoinedConsole, Wire, serve
from nanokimi_core.control.client import Remote, connect
from nanokimi_core.operations import Operations
from nanokimi_core.status import AccountStatus, HeldLane, InstanceStatus, LoginAsked, QuotaStatus, Status
from nanokimi_core.store.values import ChatRecord, DeadLetter

STATUS = Status(
    True,
    "Kai",
    "1.0",
    process=7,
    since=1.5,
    owner="line:me",
    instances=(InstanceStatus("line", "transport", "running", 2.5, connected=True),),
    accounts=(AccountStatus("purse", "ok", "Ana", quotas=(QuotaStatus("Weekly limit", 0.8, low=True),), chats=2),),
    held=(HeldLane("line:one", "quota", 60.0),),
    counters={"received": 3},
    problems=("a thing is wrong",),
)
DESK = ChatRecord(3, "line:desk", "Desk", "group", None, ("Ana", "Bo"), 2, 9.5)
CODE = ShowCode("https://club.example/enter", "AB-12", datetime(2026, 11, 21, 12, 30, tzinfo=UTC))
LETTER = DeadLetter("m4", "message", "line:desk", "héllo 🎈 " * 200, "crashed", 3, 8.5, "Ana")


@dataclass
class Hands:
    """``Operations`` on one chat and one dead letter."""

    done: list[str] = field(default_factory=list)
    error: BaseException | None = None

    async def status(self) -> Status:
        self._do("status")
        return STATUS

    async def reload(self) -> Sequence[str]:
        self._do("reload")
        return ["the assistant's name needs a restart"]

    async def log_in(self, name: str | None = None, chat: str = "") -> LoginAsked:
        self._do(f"log in {name} {chat}")
        return LoginAsked(name or "purse", "waiting", CODE)

    async def chats(self) -> Sequence[ChatRecord]:
        return [DESK]

    async def find(self, chat: str) -> ChatRecord | None:
        return DESK if chat in ("3", DESK.id) else None

    async def grant(self, chat: ChatRecord, granted: bool) -> bool:
        self._do(f"grant {chat.id} {granted}")
        return granted

    async def forget(self, chat: ChatRecord) -> int:
        self._do(f"forget {chat.id}")
        return 12

    async def dead(self, *, limit: int = 100, chat: str | None = None) -> Sequence[DeadLetter]:
        self._do(f"dead {limit} {chat}")
        return [LETTER]

    async def dead_letter(self, letter: str) -> DeadLetter | None:
        return LETTER if letter == LETTER.id else None

    async def revive(self, letter: str) -> DeadLetter | None:
        self._do(f"revive {letter}")
        return await self.dead_letter(letter)

    async def drop(self, letter: str) -> DeadLetter | None:
        self._do(f"drop {letter}")
        return await self.dead_letter(letter)

    def _do(self, what: str) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(what)


@dataclass
class Process:
    """A process as commands see it: its socket, and the console that a terminal can join.

    Attributes:
        path: Of the socket.
        hands: Its operations.
        said: What terminals have said.
        fresh: What each joining asked for.
        failed: Turns that have failed.
    """

    path: Path
    hands: Hands = field(default_factory=Hands)
    said: list[Inbound] = field(default_factory=list)
    fresh: list[bool] = field(default_factory=list)
    failed: int = 0
    readies: int = 0
    refusal: Exception | None = None

    def __post_init__(self) -> None:
        self.console = JoinedConsole("Kai", lambda: self.failed)
        self.changed = anyio.Event()

    def ready(self) -> None:
        self.readies += 1

    def away(self) -> None: ...

    async def deliver(self, message: Inbound) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.said.append(message)
        self.changed.set()
        self.changed = anyio.Event()

    def sent(self, key: str, network_id: str) -> None:
        """Do nothing."""

    def typing(self, chat: str) -> None:
        """Do nothing."""

    async def until_said(self, count: int) -> list[Inbound]:
        while len(self.said) < count:
            await self.changed.wait()
        return self.said

    @asynccontextmanager
    async def join(self, fresh: bool) -> AsyncIterator[JoinedConsole]:
        with self.console.reserved():
            self.fresh.append(fresh)
            yield self.console

    async def remote(self) -> tuple[Remote, Wire]:
        wire = await connect(self.path)
        return Remote(wire), wire


@asynccontextmanager
async def process(folder: Path) -> AsyncIterator[Process]:
    """Serve on a socket in a folder, for at most 20 seconds."""
    given = Process(folder / SOCKET)
    operations: Operations = given.hands
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(given.console.run, given)
            await tasks.start(serve, given.path, operations, given.join)
            yield given
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def asking(given: Process) -> AsyncIterator[Remote]:
    remote, wire = await given.remote()
    try:
        yield remote
    finally:
        await wire.aclose()
