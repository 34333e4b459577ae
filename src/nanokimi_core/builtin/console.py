"""``console``: a chat in the terminal, or over a pipe. It is the owner's."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.lowlevel import EventLoopToken, current_token
from anyio.streams.memory import MemoryObjectSendStream
from pydantic import BaseModel, ConfigDict, Field

from nanokimi_core.contracts.plugin import Context
from nanokimi_core.contracts.transport import Inbox, Traits, Transport
from nanokimi_core.errors import NanoKimiError, NotSent
from nanokimi_core.hookspecs import Spec, hookimpl
from nanokimi_core.logs import printable
from nanokimi_core.messages import Inbound, Outbound, Receipt

CHAT = "local"


class ConsoleConfig(BaseModel):
    """The table ``[plugins.console]``."""

    model_config = ConfigDict(extra="forbid")

    once: str | None = Field(default=None, description="Say this one thing, wait for the answer, and end.")


class Console:
    """One chat: lines from standard input, answers on standard output as they grow.

    In a terminal the next line can be typed while an answer is being written (``/stop``). From a pipe, a line is
    taken when the one before has been answered; answers to anything else go to standard error.

    Attributes:
        asks_once: Nobody stays to read a late answer.
        lost: Lines that the core could not keep.

    Args:
        config: The table.
        assistant: What the assistant is called.
    """

    traits = Traits(max_text=1_000_000, markup="markdown", draft_interval=0, quotes="always")

    def __init__(self, config: ConsoleConfig, assistant: str) -> None:
        self._once = config.once
        self._assistant = assistant
        self._terminal = sys.stdin is not None and sys.stdin.isatty() and config.once is None
        self.asks_once = not self._terminal
        self._closed = False
        self._asked = ""
        self._answered = anyio.Event()
        self.lost = 0
        self._key = ""
        self._shown = ""

    async def run(self, inbox: Inbox) -> None:
        """Read until the end of the input, or until nobody reads the answers any more."""
        inbox.ready()
        if self._once is not None:
            await self._ask(inbox, self._once)
            return
        if sys.stdin is None:
            return
        if self._terminal:
            await self._write(f"Write to {self._assistant}. /help lists commands, Ctrl-D ends.\n")
        async with aclosing(_lines()) as lines:
            async for line in lines:
                if line.strip():
                    await self._ask(inbox, line)
                if self._closed:
                    return

    async def send(self, message: Outbound) -> Receipt | None:
        """Show an answer, or the rest of one that was shown while it grew.

        What a pipe's reader doesn't take any more is dropped; what a terminal doesn't take stays owed.

        Raises:
            NotSent: The terminal is closed.
        """
        if self._earlier(message):
            await self._aside(f"{self._assistant}, to something earlier: {message.text}")
            return None
        shown = self._shown if self._key == message.key else ""
        unended = bool(self._shown) and not shown
        self._key = self._shown = ""
        try:
            if message.text.startswith(shown):
                start = "" if shown else self._who()
                await self._write("\n" * unended + start + message.text[len(shown) :] + "\n")
            else:
                await self._write("\n" + self._who() + message.text + "\n")
        finally:
            self._answered.set()
        return None

    async def draft(self, message: Outbound) -> None:
        """Show what has been added to the answer."""
        if self._earlier(message):
            return
        text = message.text.strip()  # white space at its end may not be in the answer
        if self._key != message.key:
            self._key, self._shown = message.key, ""
        if text.startswith(self._shown) and len(text) > len(self._shown):
            with suppress(NotSent):
                await self._write(("" if self._shown else self._who()) + text[len(self._shown) :])
            self._shown = text

    async def _ask(self, inbox: Inbox, text: str) -> None:
        message = written(text, uuid.uuid4().hex)
        self._asked, self._answered = message.id, anyio.Event()
        try:
            await inbox.deliver(message)
        except NanoKimiError as error:
            self.lost += 1
            await self._aside(f"nanokimi: {error}")
            self._closed = not self._terminal
        else:
            if not self._terminal:
                await self._answered.wait()

    def _earlier(self, message: Outbound) -> bool:
        """Whether it answers something else than what was asked here just now."""
        return not self._terminal and message.reply_to != self._asked

    async def _aside(self, text: str) -> None:
        """Write something that is no answer."""

        def write() -> None:
            if sys.stderr is not None:
                sys.stderr.write(printable(text) + "\n")
                sys.stderr.flush()

        with suppress(OSError, ValueError):
            await anyio.to_thread.run_sync(write)

    def _who(self) -> str:
        return f"{self._assistant}: " if self._terminal else ""

    async def _write(self, text: str) -> None:
        def write() -> None:
            if sys.stdout is None:
                raise ValueError("there is no standard output")
            sys.stdout.write(printable(text))
            sys.stdout.flush()

        try:
            await anyio.to_thread.run_sync(write)
        except (OSError, ValueError) as error:
            self._closed = True
            if self._terminal:
                raise NotSent(f"the terminal is closed: {error}") from error


def written(text: str, number: str) -> Inbound:
    """Make the message of a line; ``number`` is its id."""
    return Inbound(number, CHAT, "owner", text, sender_name=_user())


def _user() -> str:
    from getpass import getuser  # only for a process whose own terminal is the console

    try:
        return getuser()
    except (KeyError, OSError):
        return "owner"


async def _lines() -> AsyncGenerator[str]:
    """Give the lines of standard input, each read when it is asked for."""
    sender, receiver = anyio.create_memory_object_stream[str](1)
    wanted = threading.Semaphore(0)
    reader = _Reader(sender, wanted, current_token())
    with sender, receiver:
        reader.start()
        wanted.release()
        try:
            async for line in receiver:
                yield line
                wanted.release()
        finally:
            reader.over = True
            wanted.release()


class _Reader(threading.Thread):
    """Reads lines in a thread that the process doesn't wait for at its end: a read can't be interrupted."""

    def __init__(self, lines: MemoryObjectSendStream[str], wanted: threading.Semaphore, token: EventLoopToken) -> None:
        super().__init__(name="console", daemon=True)
        self._lines = lines
        self._wanted = wanted
        self._token = token
        self.over = False

    def run(self) -> None:
        with suppress(anyio.RunFinishedError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                self._wanted.acquire()
                if self.over:
                    return
                line = sys.stdin.readline()
                if not line:
                    break
                anyio.from_thread.run_sync(self._lines.send_nowait, line.rstrip("\n"), token=self._token)
            anyio.from_thread.run_sync(self._lines.close, token=self._token)


@hookimpl
def nanokimi_transports() -> list[Spec[Transport]]:
    """Register ``console``."""
    return [Spec("console", _console, config=ConsoleConfig)]


def _console(config: ConsoleConfig, context: Context) -> Console:
    return Console(config, context.assistant)
