"""The transport as the core drives it, on children that do what a test wants."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from nanokimi_core import Inbound, NotAccepted, Outbound, Receipt
from nanokimi_core.testing import ScriptedContext
from nanokimi_transport_whatsapp import Settings, WhatsApp
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.standing import AccountNote, write_note
from nanokimi_transport_whatsapp.values import Answer, Brought, Done, Link, Message, Send, Text, Value, Who
from nanokimi_transport_whatsapp.wire import NotOurs, line, to_child

SECONDS = 30
TICK = 0.01
SCRIPT = Path(__file__).with_name("scripted_child.py")

ME = Who(id="900@lid", alias="1900@s.whatsapp.net", name="Owner")
ANA = Who(id="100@lid", alias="1100@s.whatsapp.net", name="Ana")
BO = Who(id="200@lid", alias="1200@s.whatsapp.net", name="Bo")
GROUP = Who(id="12036@g.us", name="Garden")

V = TypeVar("V", bound=Value)


async def until(reached: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    with anyio.move_on_after(SECONDS):
        while not reached():
            await anyio.sleep(TICK)
        return
    raise AssertionError(f"not within {SECONDS} s: {what}")


def message(text: str = "hello", *, id: str = "", sender: Who = ANA, chat: Who | None = None, **more: Any) -> Message:  # noqa: A002
    """Make a message, in a direct chat unless told otherwise."""
    kind: Literal["direct", "group"] = "group" if chat is not None and chat.id.endswith("@g.us") else "direct"
    usual = {"content": Text(text=text), "chat_kind": kind, "at": 1_700_000_000.0}
    return Message(id=id or f"ID{text}", chat=chat or sender, sender=sender, **(usual | more))


class Child:
    """One scripted child.

    Attributes:
        pid: Its process id.
        environment: With which it was started.
        heard: What it was told.
        over: Whether it has ended.
        deaf: Whether it ignores what should end it.
    """

    def __init__(self, stream: SocketStream) -> None:
        self.pid = 0
        self.environment: dict[str, str] = {}
        self.heard: list[Value] = []
        self.over = False
        self.deaf = False
        self._stream = stream
        self._numbers = itertools.count(1)

    async def listen(self) -> None:
        """Take down what it is told."""
        lines = BufferedByteReceiveStream(self._stream)
        try:
            self.pid, self.environment = json.loads(await lines.receive_until(b"\n", 2**20))
            while True:
                told = await lines.receive_until(b"\n", 2**23)
                try:
                    self.heard.append(to_child(told))
                except NotOurs:
                    self.deaf = told == b"deaf"
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            self.over = True

    async def order(self, order: bytes) -> None:
        """Have it do something."""
        await self._stream.send(order + b"\n")

    async def say(self, *values: Value) -> None:
        """Have it say something."""
        await self._stream.send(b"".join(b"say " + line(value) for value in values))

    async def bring(self, *messages: Message) -> None:
        """Have it bring messages, numbered from 1."""
        await self.say(*(Brought(number=next(self._numbers), message=each) for each in messages))

    async def connect(self) -> None:
        """Have it be connected."""
        await self.say(Link(state="connected", me=ME))

    def told(self, kind: type[V]) -> list[V]:
        """Give what it was told of one kind."""
        return [value for value in self.heard if isinstance(value, kind)]

    def done(self) -> list[int]:
        """Give the numbers that were named as delivered, in order."""
        return [number for done in self.told(Done) for number in done.numbers]

    async def answer(self, number: int, **answer: Any) -> Send:
        """Answer the send of this number, counted from 0."""
        await until(lambda: len(self.told(Send)) > number, f"there is a send {number}")
        send = self.told(Send)[number]
        usual = {"network_id": f"NET-{send.key}", "sender": ME.id} if "error" not in answer else {}
        await self.say(Answer(request=send.request, **(usual | answer)))
        return send

    def kill(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)


class Driver:
    """An inbox, and the transport that delivers into it.

    Attributes:
        transport: It.
        context: What it was made with.
        places: Its files.
        children: All that were started, the latest last.
        kept: What was delivered.
        link: What was heard of the connection: ``ready``, ``away``.
        typing_in: Chats of which it was told that somebody writes.
        errors: What its runs have raised.
        refusing: Texts that can't be kept.
        held: Chats in which nothing can be kept yet.
        finishing: Whether what is being kept is kept also where it is cancelled, as the core does it.
    """

    def __init__(
        self, folder: Path, table: Mapping[str, Any], *, number: Literal["own", "bot"] | None = "bot", name: str
    ) -> None:
        quick = {"first_retry": 0.01, "longest_retry": 0.05, "connect_seconds": 60, "per_minute": 600}
        self.context = ScriptedContext(folder, name=name)
        self.places = Places(folder)
        if number is not None:
            self.link_account(number)
        self._sockets = Path(tempfile.mkdtemp(prefix="whatsapp"))  # a socket's path must be short
        self._command = [sys.executable, "-S", str(SCRIPT), str(self._sockets / "s")]
        self.transport = self.made(Settings.model_validate(quick | dict(table)))
        self.children: list[Child] = []
        self.kept: list[Inbound] = []
        self.link: list[str] = []
        self.typing_in: list[str] = []
        self.errors: list[BaseException] = []
        self.refusing: set[str] = set()
        self.held: set[str] = set()
        self.finishing = False

    def made(self, settings: Settings) -> WhatsApp:
        """Make a transport on the same folder."""
        return WhatsApp(settings, self.context, command=self._command, look_seconds=0.02)

    def link_account(self, number: Literal["own", "bot"] = "bot") -> None:
        """Do as ``link`` does."""
        write_note(self.places, AccountNote(number=number, me=ME, linked_at=datetime.now(UTC)))

    def ready(self) -> None:
        """Note that it is connected."""
        self.link.append("ready")

    def away(self) -> None:
        """Note that it isn't."""
        self.link.append("away")

    async def deliver(self, message: Inbound) -> None:
        """Keep a message.

        Raises:
            NotAccepted: It can't be.
        """
        await anyio.lowlevel.checkpoint()
        if message.text in self.refusing:
            raise NotAccepted("the disk is full")
        with anyio.CancelScope(shield=self.finishing):
            while message.chat in self.held:
                await anyio.sleep(TICK)
        self.kept.append(message)

    def sent(self, key: str, network_id: str) -> None:
        """Take note of nothing."""

    def typing(self, chat: str) -> None:
        """Note where somebody writes."""
        self.typing_in.append(chat)

    @property
    def texts(self) -> list[str]:
        """What was kept."""
        return [message.text for message in self.kept]

    async def child(self, number: int = 0, *, connected: bool = True) -> Child:
        """Wait for a child, counted from 0, and have it be connected."""
        await until(lambda: len(self.children) > number and self.children[number].pid, f"there is a child {number}")
        child = self.children[number]
        if connected:
            readies = self.link.count("ready")
            await child.connect()
            await until(lambda: self.link.count("ready") > readies, "it is connected")
        return child

    async def say(self, text: str, chat: str = ANA.id, *, key: str = "key", **more: Any) -> Receipt:
        """Send something."""
        return await self.transport.send(Outbound(key, chat, text, **more))

    async def _keep_running(self) -> None:
        while True:
            try:
                await self.transport.run(self)
            except* NotAccepted as errors:
                self.errors += errors.exceptions
            await anyio.sleep(TICK)


@asynccontextmanager
async def driven(
    folder: Path,
    table: Mapping[str, Any] | None = None,
    *,
    number: Literal["own", "bot"] | None = "bot",
    name: str = "whatsapp",
) -> AsyncIterator[Driver]:
    """Run the transport, again where it refuses."""
    driver = Driver(folder, table or {}, number=number, name=name)
    listener = await anyio.create_unix_listener(driver._sockets / "s")

    async def accept(stream: SocketStream) -> None:
        async with stream:
            child = Child(stream)
            driver.children.append(child)
            await child.listen()

    try:
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, accept)
            async with anyio.create_task_group() as running:
                running.start_soon(driver._keep_running)
                yield driver
                running.cancel_scope.cancel()
            tasks.cancel_scope.cancel()
    finally:
        shutil.rmtree(driver._sockets)
