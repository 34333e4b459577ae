"""Transports with one fault each, in how they live and end; ``FAULTS`` names the check that is meant for each."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import sniffio
import trio
from anyio.abc import SocketStream

from nanokimi_core import Inbox, NotAccepted, Outbound, Receipt

from .transports import LINE, Pigeon

BLINK, LONG = 0.02, 100  # naps as short as those of who looks at it: on a busy machine both become longer
BROKEN = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError)


async def stuck() -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()


class StuckWhileItConnects(Pigeon):
    async def connect(self) -> SocketStream:
        try:
            return await super().connect()
        except anyio.get_cancelled_exc_class():
            await stuck()
            raise


class StuckInASilence(Pigeon):
    """Can't be cancelled before the network's first word."""

    async def run(self, inbox: Inbox) -> None:
        async with self.line() as stream:
            lines = self.lines(stream)
            with anyio.CancelScope(shield=True):
                await self.login(stream)
                first = await lines.receive_until(b"\n", LINE)
            await self.take(inbox, stream, self.read(first))
            while True:
                await self.take(inbox, stream, self.read(await lines.receive_until(b"\n", LINE)))


class StuckWhileItDelivers(Pigeon):
    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        try:
            await inbox.deliver(self.inbound(news))
        except anyio.get_cancelled_exc_class():
            await stuck()
            raise
        await self.acknowledge(stream, news)


class KeepsOnDelivering(Pigeon):
    """Shields what it delivers from being cancelled."""

    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        with anyio.CancelScope(shield=True):
            await inbox.deliver(self.inbound(news))
        await self.acknowledge(stream, news)


class WaitsForItsAnswers(Pigeon):
    """Ends only when each message that is on its way has been answered, and reads no answers any more."""

    @asynccontextmanager
    async def line(self) -> AsyncIterator[SocketStream]:
        async with super().line() as stream:
            try:
                yield stream
            finally:
                with anyio.CancelScope(shield=True):
                    while self.answers:
                        await anyio.sleep(0.01)


class LooksThingsUp(Pigeon):
    """Waits for another server before it sends a greeting, and lets everybody else wait too."""

    def letter(self, message: Outbound) -> dict[str, Any]:
        if message.text == "good morning":
            for _ in range(LONG):
                time.sleep(BLINK)
        return super().letter(message)


class LeavesATask(Pigeon):
    async def login(self, stream: SocketStream) -> None:
        await super().login(stream)
        if sniffio.current_async_library() == "trio":
            trio.lowlevel.spawn_system_task(trio.sleep_forever)
        else:
            import asyncio

            self.task = asyncio.get_running_loop().create_task(anyio.sleep_forever())


class LeavesAThread(Pigeon):
    over = threading.Event()

    async def login(self, stream: SocketStream) -> None:
        await super().login(stream)
        threading.Thread(target=self.over.wait, name="pigeon", daemon=True).start()


class LeavesASocket(Pigeon):
    sockets: ClassVar[list[socket.socket]] = []

    async def login(self, stream: SocketStream) -> None:
        await super().login(stream)
        self.sockets.extend(socket.socketpair())


class OneLineForAll(Pigeon):
    """Keeps its connection in its class."""

    shared: ClassVar[dict[str, SocketStream]] = {}

    @property
    def stream(self) -> SocketStream | None:
        return self.shared.get("stream")

    @stream.setter
    def stream(self, stream: SocketStream | None) -> None:
        self.shared.pop("stream", None)
        if stream is not None:
            self.shared["stream"] = stream


class HangsUpWithTyping(Pigeon):
    """Takes a call that is cancelled for the end of its connection."""

    async def typing(self, chat: str, on: bool) -> None:
        stream = self.connected()
        try:
            await anyio.lowlevel.checkpoint()
            await super().typing(chat, on)
        except anyio.get_cancelled_exc_class():
            await anyio.aclose_forcefully(stream)
            raise


class DoubledHandlers(Pigeon):
    """Never takes a handler off, and doesn't mind what they raise."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.handlers: list[Inbox] = []

    async def run(self, inbox: Inbox) -> None:
        self.handlers.append(inbox)
        await super().run(inbox)

    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        for handler in self.handlers:
            try:
                await handler.deliver(self.inbound(news))
            except NotAccepted:
                if handler is inbox:
                    raise
        await self.acknowledge(stream, news)


class HandlersOfBrokenLines(DoubledHandlers):
    """Takes its handler off when it is cancelled, and not when the line breaks."""

    async def run(self, inbox: Inbox) -> None:
        try:
            await super().run(inbox)
        except anyio.get_cancelled_exc_class():
            self.handlers.remove(inbox)
            raise

    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        for _ in self.handlers:
            await inbox.deliver(self.inbound(news))
        await self.acknowledge(stream, news)


class SitsOutACut(Pigeon):
    async def run(self, inbox: Inbox) -> None:
        try:
            await super().run(inbox)
        except BROKEN:
            await anyio.sleep_forever()


class EndsWithACut(Pigeon):
    async def run(self, inbox: Inbox) -> None:
        try:
            await super().run(inbox)
        except BROKEN:
            return


class SendsTwiceAfterACut(Pigeon):
    """Sends what it sent last again over a new line, under another key."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.broken = False
        self.last: dict[str, Any] = {}

    async def run(self, inbox: Inbox) -> None:
        try:
            await super().run(inbox)
        except BROKEN:
            self.broken = True
            raise

    def letter(self, message: Any) -> dict[str, Any]:
        letter = super().letter(message)
        if not self.broken:
            self.last = letter
        return letter

    async def take(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        await super().take(inbox, stream, news)
        if news["is"] == "welcome" and self.broken and self.last:
            await self.write(stream, {**self.last, "do": "post", "key": f"{self.last['key']}-again"})


class GivesUp(Pigeon):
    async def run(self, inbox: Inbox) -> None:
        try:
            await super().run(inbox)
        except OSError:
            return


class TellsItsSecret(Pigeon):
    async def login(self, stream: SocketStream) -> None:
        self.log.debug("logging in with %s", self.secret.get_secret_value())
        await super().login(stream)


class ShowsItsSecret(Pigeon):
    def __repr__(self) -> str:
        return f"Pigeon(port={self.port}, secret={self.secret.get_secret_value()!r})"


class NeverReady(Pigeon):
    async def take(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        if news["is"] != "welcome":
            await super().take(inbox, stream, news)


class StuckWhileNothingHappens(Pigeon):
    async def run(self, inbox: Inbox) -> None:
        try:
            await super().run(inbox)
        except anyio.get_cancelled_exc_class():
            await stuck()
            raise


class Blocking(Pigeon):
    over = threading.Event()

    async def send(self, message: Outbound) -> Receipt | None:
        self.over.wait()  # the fault
        return await super().send(message)


# What no check can be spared: each has its check, and fails others too.
BROAD: dict[type[Pigeon], str] = {
    NeverReady: "says that it is connected",
    StuckWhileNothingHappens: "ends while nothing happens",
    Blocking: "shows what is sent",
}

FAULTS: dict[type[Pigeon], str] = {
    StuckWhileItConnects: "ends while it connects",
    StuckInASilence: "ends while the network says nothing",
    StuckWhileItDelivers: "ends while it delivers",
    KeepsOnDelivering: "ends while it delivers",
    WaitsForItsAnswers: "ends while it sends",
    LooksThingsUp: "lets others work",
    LeavesATask: "leaves nothing behind",
    LeavesAThread: "leaves nothing behind",
    LeavesASocket: "leaves nothing behind",
    OneLineForAll: "keeps nothing in globals",
    HangsUpWithTyping: "bears a cancelled draft or typing",
    DoubledHandlers: "delivers once however often it ran",
    HandlersOfBrokenLines: "delivers once however often it ran",
    SitsOutACut: "notices a cut",
    EndsWithACut: "notices a cut",
    SendsTwiceAfterACut: "sends after a cut",
    GivesUp: "does not give up a network that is away",
    TellsItsSecret: "keeps its secrets",
    ShowsItsSecret: "keeps its secrets",
}


def clean() -> None:
    """End what was left behind on purpose."""
    LeavesAThread.over.set()
    Blocking.over.set()
    for each in LeavesASocket.sockets:
        each.close()
