"""A transport that does everything right, for the network of ``pigeon_network``; the broken ones derive from it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from pydantic import BaseModel, ConfigDict, SecretStr

from nanokimi_core import (
    Attachment,
    Context,
    Inbound,
    Inbox,
    NotSent,
    Outbound,
    Receipt,
    Spec,
    Traits,
    Undeliverable,
)
from nanokimi_core.messages import ChatKind
from nanokimi_core.testing import TransportRig

from .pigeon_network import SECRET, PigeonAbilities, PigeonNetwork

LINE = 4_000_000


class PigeonConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    port: int
    secret: SecretStr


class Answer:
    """What the network says to a message, once it does."""

    def __init__(self) -> None:
        self.here = anyio.Event()
        self.news: dict[str, Any] | None = None


class Pigeon:
    traits = Traits(max_text=5000, markup="plain", concurrent_sends=True, draft_interval=0)

    def __init__(self, config: PigeonConfig, context: Context) -> None:
        self.port = config.port
        self.secret = config.secret
        self.folder = context.folder
        self.log = context.log
        self.stream: SocketStream | None = None
        self.writing = anyio.Lock()
        self.answers: dict[str, Answer] = {}

    async def run(self, inbox: Inbox) -> None:
        async with self.line() as stream:
            lines = self.lines(stream)
            await self.login(stream)
            while True:
                await self.take(inbox, stream, self.read(await lines.receive_until(b"\n", LINE)))

    @asynccontextmanager
    async def line(self) -> AsyncIterator[SocketStream]:
        async with await self.connect() as stream:
            try:
                yield stream
            finally:
                self.stream = None
                for answer in self.answers.values():
                    answer.here.set()

    async def connect(self) -> SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.port)

    def lines(self, stream: SocketStream) -> BufferedByteReceiveStream:
        return BufferedByteReceiveStream(stream)

    async def login(self, stream: SocketStream) -> None:
        await self.write(stream, {"do": "login", "secret": self.secret.get_secret_value()})

    def read(self, line: bytes) -> dict[str, Any]:
        news = json.loads(line)
        if not isinstance(news, dict):
            raise ValueError("the network sends something that is no news")
        return news

    async def take(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        self.log.info("the network says %s", news["is"])
        if news["is"] == "welcome":
            self.stream = stream
            inbox.ready()
        elif news["is"] == "message":
            await self.message(inbox, stream, news)
        elif news.get("key") in self.answers:
            self.answers[news["key"]].news = news
            self.answers[news["key"]].here.set()

    async def message(self, inbox: Inbox, stream: SocketStream, news: dict[str, Any]) -> None:
        await inbox.deliver(self.inbound(news))
        await self.acknowledge(stream, news)

    async def acknowledge(self, stream: SocketStream, news: dict[str, Any]) -> None:
        await self.write(stream, {"do": "ack", "id": news["id"]})

    def inbound(self, news: dict[str, Any]) -> Inbound:
        return Inbound(
            self.identity(news),
            news["chat"],
            news["sender"],
            news["text"],
            event=news.get("event", "message"),
            target=news.get("target"),
            thread=news.get("thread"),
            kind=self.kind(news),
            at=self.time(news["at"]),
            mentions_me="@kai" in news["text"],
            from_me=self.is_mine(news),
            attachments=tuple(self.attachment(news, *each) for each in enumerate(news.get("files", ()))),
        )

    def identity(self, news: dict[str, Any]) -> str:
        return str(news["id"])

    def kind(self, news: dict[str, Any]) -> ChatKind:
        return "self" if news["chat"] == "kai" else "direct"

    def time(self, at: str) -> datetime:
        return datetime.fromisoformat(at)

    def is_mine(self, news: dict[str, Any]) -> bool:
        return bool(news["sender"] == "kai")

    def attachment(self, news: dict[str, Any], number: int, file: list[str]) -> Attachment:
        name, data = file[0], base64.b64decode(file[1])
        path = self.path(f"{news['id']}-{number}", name)
        path.write_bytes(data)
        return Attachment(name, "application/octet-stream", path, len(data))

    def path(self, own: str, name: str) -> Path:
        return self.folder / own

    async def send(self, message: Outbound) -> Receipt | None:
        stream = self.connected()
        answer = self.answers[message.key] = Answer()
        try:
            await self.write(stream, {"do": "post", **self.letter(message)})
            await answer.here.wait()
        finally:
            self.answers.pop(message.key, None)
        return self.receipt(answer.news)

    def connected(self) -> SocketStream:
        if self.stream is None:
            raise NotSent("the line is down")
        return self.stream

    def letter(self, message: Outbound) -> dict[str, Any]:
        files = [[each.name, base64.b64encode(each.path.read_bytes()).decode()] for each in message.attachments]
        return {"key": message.key, "text": message.text, "thread": message.thread, "files": files}

    def receipt(self, news: dict[str, Any] | None) -> Receipt:
        if news is None:
            raise ConnectionError("the line broke before the network had answered")
        if news["is"] == "busy":
            raise NotSent("the network is busy", retry_after=timedelta(seconds=news["wait"]))
        if news["is"] == "never":
            raise Undeliverable("the network refuses this message")
        return Receipt(news["id"])

    async def draft(self, message: Outbound) -> None:
        await self.write(self.connected(), {"do": "draft", "key": message.key, "text": message.text})

    async def typing(self, chat: str, on: bool) -> None:
        await self.write(self.connected(), {"do": "typing", "on": on})

    def owner_chat(self) -> str | None:
        return "kai"

    def state(self) -> str:
        return "" if self.stream is not None else "waits for the line"

    async def write(self, stream: SocketStream, value: dict[str, Any]) -> None:
        async with self.writing:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):  # half a line would spoil the next one
                await stream.send(json.dumps(value).encode() + b"\n")


class PigeonRig(PigeonAbilities, TransportRig):
    spec: ClassVar[Spec[Any]] = Spec("pigeon", Pigeon, config=PigeonConfig)

    restless: ClassVar[bool] = False

    async def __aenter__(self) -> Self:
        self.network = PigeonNetwork(restless=self.restless)
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(self.network.open())
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def table(self) -> dict[str, Any]:
        return {"port": self.network.port, "secret": SECRET}
