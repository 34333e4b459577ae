"""The side of a command: asks the running process, or joins it as its console."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio

from nanokimi_core.contracts.transport import EditsDrafts, Transport
from nanokimi_core.control.calls import (
    CHAT,
    CHATS,
    LETTER,
    LETTERS,
    LOGIN,
    NUMBER,
    SENTENCES,
    STATUS,
    YES_OR_NO,
    asking,
)
from nanokimi_core.control.console import OUTBOUND
from nanokimi_core.control.server import WORK_SECONDS
from nanokimi_core.control.sockets import reach
from nanokimi_core.control.wire import LONGEST_ANSWER, LONGEST_REQUEST, Garbage, Gone, Wire, as_error
from nanokimi_core.errors import CommandError, NanoKimiError, NotSent
from nanokimi_core.messages import Inbound
from nanokimi_core.status import LoginAsked, Status
from nanokimi_core.store.values import ChatRecord, DeadLetter

_GREETING_SECONDS = 5.0
_ACK_SECONDS = 5.0
_PATIENCE = WORK_SECONDS + 10
_AROUND = 1000  # bytes of a line that are not its text


async def connect(path: Path) -> Wire:
    """Connect to the process that listens on a socket.

    Raises:
        OSError: None does.
        TimeoutError: It doesn't answer.
        NanoKimiError: It refuses.
    """
    with anyio.fail_after(_GREETING_SECONDS):
        wire = Wire(await reach(path), longest=LONGEST_ANSWER)
        try:
            greeting = await wire.receive()
        except (Gone, Garbage) as error:
            await wire.aclose()
            raise ConnectionRefusedError("it was closed again") from error
        except BaseException:
            await wire.aclose()
            raise
    if "error" in greeting:
        await wire.aclose()
        raise as_error(greeting["error"])
    return wire


class Remote:
    """The ``Operations`` of the running process.

    Args:
        wire: Connected to it.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def status(self) -> Status:
        """As in ``Operations``."""
        return STATUS.read(await ask(self._wire, "status"))

    async def reload(self) -> Sequence[str]:
        """As in ``Operations``."""
        return SENTENCES.read(await ask(self._wire, "reload"))

    async def log_in(self, name: str | None = None, chat: str = "") -> LoginAsked:
        """As in ``Operations``."""
        return LOGIN.read(await ask(self._wire, "log_in", name=name, chat=chat or None))

    async def chats(self) -> Sequence[ChatRecord]:
        """As in ``Operations``."""
        return CHATS.read(await ask(self._wire, "chats"))

    async def find(self, chat: str) -> ChatRecord | None:
        """As in ``Operations``."""
        return CHAT.read(await ask(self._wire, "find", chat=chat))

    async def grant(self, chat: ChatRecord, granted: bool) -> bool:
        """As in ``Operations``."""
        return YES_OR_NO.read(await ask(self._wire, "grant", chat=chat.id, granted=granted))

    async def forget(self, chat: ChatRecord) -> int:
        """As in ``Operations``."""
        return NUMBER.read(await ask(self._wire, "forget", chat=chat.id))

    async def dead(self, *, limit: int = 100, chat: str | None = None) -> Sequence[DeadLetter]:
        """As in ``Operations``; long texts are cut."""
        return LETTERS.read(await ask(self._wire, "dead", limit=limit, chat=chat))

    async def dead_letter(self, letter: str) -> DeadLetter | None:
        """As in ``Operations``."""
        return LETTER.read(await ask(self._wire, "dead_letter", letter=letter))

    async def revive(self, letter: str) -> DeadLetter | None:
        """As in ``Operations``."""
        return LETTER.read(await ask(self._wire, "revive", letter=letter))

    async def drop(self, letter: str) -> DeadLetter | None:
        """As in ``Operations``."""
        return LETTER.read(await ask(self._wire, "drop", letter=letter))


async def ask(wire: Wire, call: str, **arguments: Any) -> Any:
    """Ask for something, and give the answer.

    Raises:
        NanoKimiError: It can't be done.
    """
    try:
        with anyio.fail_after(_PATIENCE):
            await wire.send(asking(call, **arguments))
            answer = await wire.receive()
    except (Gone, Garbage, TimeoutError) as error:
        raise CommandError(
            "the running process gave no answer, so it is unknown whether it was done", remedy="see: nanokimi status"
        ) from error
    if "answer" not in answer:
        raise as_error(answer.get("error"))
    return answer["answer"]


class Screen(Transport, EditsDrafts, Protocol):
    """What joins: the built-in console."""


@dataclass
class Joined:
    """How a joined chat has ended.

    Attributes:
        left: By the terminal; else the process has stopped.
        failed: Turns of the chat that have failed meanwhile.
    """

    left: bool = False
    failed: int = 0


async def join(wire: Wire, console: Callable[[str], Screen], *, fresh: bool) -> Joined:
    """Be the console of the running process until the console's input ends, or the process stops.

    Args:
        wire: Connected to the process.
        console: Makes the console; told the assistant's name.
        fresh: Drop what waits in the console's chat, before and afterwards.

    Raises:
        NanoKimiError: The process refuses.
    """
    answer = await ask(wire, "join", fresh=fresh)
    terminal = _Joining(wire, console(str(answer.get("assistant", ""))))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(terminal.show, tasks.cancel_scope)
        await terminal.console.run(terminal)
        terminal.ended.left = True
        tasks.cancel_scope.cancel()
    if terminal.error is not None:
        raise terminal.error
    return terminal.ended


@dataclass
class _Kept:
    """A line on its way to the disk."""

    known: anyio.Event = field(default_factory=anyio.Event)
    error: NanoKimiError | None = None


class _Joining:
    """The ``Inbox`` of a console whose core is another process."""

    def __init__(self, wire: Wire, console: Screen) -> None:
        self.console = console
        self.ended = Joined()
        self.error: NanoKimiError | None = None
        self._wire = wire
        self._kept: dict[str, _Kept] = {}

    def ready(self) -> None:
        """Say nothing: joining has said it."""

    def away(self) -> None:
        """Say nothing: a terminal is never away."""

    async def deliver(self, message: Inbound) -> None:
        """Hand a line over; returns when the process has kept or refused it.

        Raises:
            NanoKimiError: It can't be kept.
        """
        if len(json.dumps(message.text)) > LONGEST_REQUEST - _AROUND:
            raise CommandError("a line is longer than a running process takes", remedy="send a file, or cut it")
        kept = self._kept[message.id] = _Kept()
        with suppress(Gone):  # `show` hears of it too, and ends the chat
            await self._wire.send({"say": message.text, "id": message.id})
        await kept.known.wait()
        if kept.error is not None:
            raise kept.error

    def sent(self, key: str, network_id: str) -> None:
        """Say nothing."""

    def typing(self, chat: str) -> None:
        """Say nothing."""

    async def show(self, scope: anyio.CancelScope) -> None:
        """Show what comes, until the process stops."""
        try:
            while True:
                await self._take(await self._wire.receive())
        except (Gone, Garbage, NotSent):
            pass
        except NanoKimiError as error:
            self.error = error
        scope.cancel()

    async def _take(self, line: dict[str, Any]) -> None:
        if "send" in line:
            self.ended.failed = int(line.get("failed", 0))
            message = OUTBOUND.read(line["send"])
            with anyio.CancelScope(shield=True):  # the last answer ends the chat: first the process hears of it
                await self.console.send(message)
                with anyio.move_on_after(_ACK_SECONDS):
                    await self._wire.send({"shown": message.key})
        elif "draft" in line:
            await self.console.draft(OUTBOUND.read(line["draft"]))
        elif "kept" in line:
            self._known(line["kept"], None)
        elif "lost" in line:
            self._known(line["lost"], as_error(line.get("error")))
        elif "error" in line:
            raise as_error(line["error"])

    def _known(self, number: Any, error: NanoKimiError | None) -> None:
        kept = self._kept.pop(str(number), None)
        if kept is not None:
            kept.error = error
            kept.known.set()
