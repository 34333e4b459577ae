"""The console of a process that runs without a terminal: its lines come from one that has joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nanokimi_core.builtin.console import Console, written
from nanokimi_core.contracts.transport import Inbox
from nanokimi_core.control.forms import Form
from nanokimi_core.control.wire import Garbage, Gone, Wire, as_value
from nanokimi_core.errors import CommandError, NanoKimiError, NotSent
from nanokimi_core.messages import Outbound, Receipt

OUTBOUND: Form[Outbound] = Form(Outbound)

_MOST_LINES = 100
_SECONDS = 10.0


class Line(BaseModel):
    """What comes from the terminal: a line that somebody wrote, or word that an answer was shown."""

    model_config = ConfigDict(extra="forbid")

    say: str | None = None
    id: str = Field(default="", max_length=100)
    shown: str | None = Field(default=None, max_length=1000)


class JoinedConsole:
    """The transport ``console``, while the process has no terminal of its own.

    Args:
        assistant: What the assistant is called.
        failures: Counts the turns of the console's chat that have failed in this process.

    Attributes:
        asks_once: The terminal that has joined asks for single answers, and nobody stays to read a late one.
    """

    traits = Console.traits

    def __init__(self, assistant: str, failures: Callable[[], int]) -> None:
        self._assistant = assistant
        self._failures = failures
        self._inbox: Inbox | None = None
        self._running = anyio.Event()
        self._reserved = False
        self.asks_once = False
        self._terminal: _Terminal | None = None

    @contextmanager
    def reserved(self, *, once: bool = False) -> Iterator[None]:
        """Keep the console for one terminal.

        Args:
            once: It asks for single answers.

        Raises:
            CommandError: It is another's.
        """
        if self._reserved:
            said = "another terminal has joined this assistant's console already"
            raise CommandError(said, remedy="leave it there with Ctrl-D")
        self._reserved, self.asks_once = True, once
        try:
            yield
        finally:
            self._reserved = self.asks_once = False

    async def run(self, inbox: Inbox) -> None:
        """Let terminals join, until cancelled."""
        self._inbox = inbox
        self._running.set()
        await anyio.sleep_forever()

    async def send(self, message: Outbound) -> Receipt | None:
        """Show an answer in the terminal that has joined; returns when it says that it was shown.

        Raises:
            NotSent: None has joined.
            ConnectionError: It left; unknown whether it has shown the answer.
        """
        if self._terminal is None:
            raise NotSent("no terminal has joined; see: nanokimi chat")
        await self._terminal.show(message)
        return None

    async def draft(self, message: Outbound) -> None:
        """Show the answer so far, where a terminal has joined."""
        if self._terminal is not None:
            self._terminal.draft(message)

    async def attach(self, wire: Wire) -> None:
        """Carry lines both ways until the terminal leaves; the caller has reserved the console.

        Raises:
            CommandError: The console doesn't run.
            Gone: The terminal left before it had joined.
        """
        inbox = await self._reached()
        await wire.send({"answer": {"assistant": self._assistant}})
        terminal = self._terminal = _Terminal(wire, self._failures)
        inbox.ready()
        lines, heard = anyio.create_memory_object_stream[Line](_MOST_LINES)
        try:
            with lines, heard:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(terminal.write)
                    tasks.start_soon(_deliver, heard, inbox, terminal)
                    await terminal.hear(lines)
                    tasks.cancel_scope.cancel()
        finally:
            self._terminal = None
            terminal.close()

    async def _reached(self) -> Inbox:
        with anyio.move_on_after(_SECONDS):
            await self._running.wait()
        if self._inbox is None:
            raise CommandError("the console of the running process has not started", remedy="see: nanokimi status")
        return self._inbox


class _Sending:
    def __init__(self) -> None:
        self.over = anyio.Event()
        self.written = False
        self.shown = False


class _Terminal:
    """A terminal that has joined: what is on its way there, at most one line for each answer."""

    def __init__(self, wire: Wire, failures: Callable[[], int]) -> None:
        self._wire = wire
        self._failures = failures
        self._failed_before = failures()
        self._waiting: dict[str, dict[str, Any]] = {}
        self._sending: dict[str, _Sending] = {}
        self._news = anyio.Event()

    async def show(self, message: Outbound) -> None:
        """Send an answer, and wait until it was shown.

        Raises:
            NotSent: The terminal left before the answer was on its way.
            ConnectionError: It left afterwards.
        """
        sending = self._sending[message.key] = _Sending()
        failed = self._failures() - self._failed_before
        self._put(message.key, {"send": OUTBOUND.dump(message), "failed": failed})
        try:
            await sending.over.wait()
        finally:
            self._sending.pop(message.key, None)
        if sending.shown:
            return
        if not sending.written:
            raise NotSent("the terminal has left")
        raise ConnectionResetError("the terminal left before it said that it had shown the answer")

    def draft(self, message: Outbound) -> None:
        """Send the answer so far; a newer draft takes the place of one that waits."""
        if message.key not in self._sending and len(self._waiting) < _MOST_LINES:
            self._put(message.key, {"draft": OUTBOUND.dump(message)})

    def kept(self, line: Line) -> None:
        """Say that a line is on disk, or was refused and counted."""
        self._put(f"line {line.id}", {"kept": line.id})

    def lost(self, line: Line, error: NanoKimiError) -> None:
        """Say that a line could not be kept."""
        self._put(f"line {line.id}", {"lost": line.id, "error": as_value(error)})

    async def write(self) -> None:
        """Send what waits, until the terminal has left."""
        with suppress(Gone):
            while True:
                await self._news.wait()
                self._news = anyio.Event()
                while self._waiting:
                    key = next(iter(self._waiting))
                    value = self._waiting.pop(key)
                    if "send" in value and key in self._sending:
                        self._sending[key].written = True
                    await self._wire.send(value)

    async def hear(self, lines: MemoryObjectSendStream[Line]) -> None:
        """Take what comes from the terminal, until it has left or sends something that can't be understood."""
        with suppress(Gone):
            while True:
                try:
                    line = Line.model_validate(await self._wire.receive())
                except (Garbage, ValidationError):
                    await self._refuse(CommandError("a line can't be understood", remedy="write shorter lines"))
                    return
                if line.say is not None:
                    await lines.send(line)
                elif line.shown is not None and line.shown in self._sending:
                    self._sending[line.shown].shown = True
                    self._sending[line.shown].over.set()

    def close(self) -> None:
        """Let those know who wait for an answer to be shown."""
        for sending in self._sending.values():
            sending.over.set()

    async def _refuse(self, error: NanoKimiError) -> None:
        await self._wire.send({"error": as_value(error)})

    def _put(self, key: str, value: dict[str, Any]) -> None:
        self._waiting[key] = value
        self._news.set()


async def _deliver(heard: MemoryObjectReceiveStream[Line], inbox: Inbox, terminal: _Terminal) -> None:
    async for line in heard:
        try:
            await inbox.deliver(written(line.say or "", line.id))
        except NanoKimiError as error:
            terminal.lost(line, error)
        else:
            terminal.kept(line)
