"""A chat network of one's own for the tests of the kit: JSON lines over TCP, with all that a network can do to one."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

SECRET = "coo-coo-4711"
CHAT = "roof"
BUSY = 7
_LINE = 4_000_000
_ENDS = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError, ValueError)


@dataclass
class Shown:
    key: str
    text: str
    thread: str | None = None
    files: list[tuple[str, bytes]] = field(default_factory=list)
    draft: bool = False


class PigeonNetwork:
    """Keeps a message until it is acknowledged, and brings it again; shows an answer once for each key.

    Args:
        restless: Brings every third message again at once, and once more after two others, acknowledged or not.
    """

    def __init__(self, *, restless: bool = False) -> None:
        self.restless = restless
        self.messages: list[dict[str, Any]] = []
        self.acknowledged: set[str] = set()
        self.shown: list[Shown] = []
        self.typing = False
        self.next = ""
        self.silent = False
        self.port = 0
        self._lines: dict[SocketStream, anyio.Lock] = {}
        self._listening = anyio.CancelScope()
        self._closed = anyio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            self.port = listener.extra(SocketAttribute.local_port)  # noqa: S610  # this isn't Django

            async def listen() -> None:
                async with listener:
                    with self._listening:
                        await listener.serve(self._serve, tasks)
                self._closed.set()

            tasks.start_soon(listen)
            yield
            tasks.cancel_scope.cancel()

    async def close(self) -> None:
        self._listening.cancel()
        await self._closed.wait()
        await self.cut()

    async def cut(self) -> None:
        for stream in list(self._lines):
            await stream.aclose()

    async def raw(self, data: bytes) -> None:
        for stream, lock in list(self._lines.items()):
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                async with lock:
                    await stream.send(data + b"\n")

    async def bring(self, **message: Any) -> None:
        number = str(len(self.messages) + 1)
        at = datetime.now(UTC).isoformat()
        self.messages.append({"is": "message", "id": number, "chat": CHAT, "sender": "anna", "at": at, **message})
        await self.bring_again()
        if self.restless and len(self.messages) % 3 != 2:
            await self.bring_again(1 if len(self.messages) % 3 else 3)

    async def bring_again(self, back: int = 1) -> None:
        for stream in list(self._lines):
            await self._write(stream, self.messages[-back])

    async def _write(self, stream: SocketStream, value: dict[str, Any]) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, KeyError):
            async with self._lines[stream]:
                await stream.send(json.dumps(value).encode() + b"\n")

    async def _serve(self, stream: SocketStream) -> None:
        lines = BufferedByteReceiveStream(stream)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(stream.aclose)
            stack.callback(self._lines.pop, stream, None)
            with suppress(*_ENDS):
                while True:
                    asked = json.loads(await lines.receive_until(b"\n", _LINE))
                    if not self.silent:
                        await getattr(self, f"_{asked['do']}")(stream, asked)

    async def _login(self, stream: SocketStream, asked: dict[str, Any]) -> None:
        assert asked["secret"] == SECRET
        self._lines[stream] = anyio.Lock()
        waiting = [message for message in self.messages if message["id"] not in self.acknowledged]
        await self._write(stream, {"is": "welcome", "at": datetime.now(UTC).isoformat()})
        for message in waiting:
            await self._write(stream, message)

    async def _ack(self, stream: SocketStream, asked: dict[str, Any]) -> None:
        self.acknowledged.add(asked["id"])

    async def _typing(self, stream: SocketStream, asked: dict[str, Any]) -> None:
        self.typing = asked["on"]

    async def _draft(self, stream: SocketStream, asked: dict[str, Any]) -> None:
        found = self._under(asked["key"])
        if found is None:
            self.shown.append(Shown(asked["key"], asked["text"], draft=True))
        elif found.draft:
            found.text = asked["text"]

    async def _post(self, stream: SocketStream, asked: dict[str, Any]) -> None:
        order, self.next = self.next, ""
        if order == "busy":
            await self._write(stream, {"is": "busy", "key": asked["key"], "wait": BUSY})
            return
        if order == "never":
            await self._write(stream, {"is": "never", "key": asked["key"]})
            return
        self._show(asked)
        if order == "lose":
            await stream.aclose()
        else:
            await self._write(stream, {"is": "taken", "key": asked["key"], "id": f"m-{asked['key']}"})

    def _show(self, asked: dict[str, Any]) -> None:
        files = [(name, base64.b64decode(data)) for name, data in asked.get("files", ())]
        found = self._under(asked["key"])
        if found is None:
            self.shown.append(Shown(asked["key"], asked["text"], asked.get("thread"), files))
        elif found.draft:
            found.text, found.files, found.draft = asked["text"], files, False

    def _under(self, key: str) -> Shown | None:
        return next((each for each in self.shown if each.key == key), None)


class PigeonAbilities:
    """What a rig can ask of the network; every ability that the kit knows."""

    keeps: ClassVar[bool] = True
    shows_a_key_once: ClassVar[bool] = True
    secrets: ClassVar[tuple[str, ...]] = (SECRET,)
    chat = CHAT
    network: PigeonNetwork

    async def write(self, text: str) -> None:
        await self.network.bring(text=text)

    async def shown(self, chat: str) -> Sequence[str]:
        assert chat == CHAT
        return [each.text for each in self.network.shown if each.thread is None]

    async def acknowledged(self) -> Collection[str]:
        return [each["text"] for each in self.network.messages if each["id"] in self.network.acknowledged]

    async def bring_again(self) -> None:
        await self.network.bring_again()

    async def cut(self) -> None:
        await self.network.cut()

    async def refuse_lines(self) -> None:
        await self.network.close()

    async def fall_silent(self) -> None:
        self.network.silent = True

    async def throttle_next(self) -> timedelta | None:
        self.network.next = "busy"
        return timedelta(seconds=BUSY)

    async def forbid_next(self) -> None:
        self.network.next = "never"

    async def lose_next(self) -> None:
        self.network.next = "lose"

    async def write_file(self, name: str, data: bytes, text: str) -> None:
        await self.network.bring(text=text, files=[[name, base64.b64encode(data).decode()]])

    async def shown_files(self, chat: str) -> Sequence[tuple[str, bytes]]:
        return [file for each in self.network.shown for file in each.files]

    async def typing_shown(self, chat: str) -> bool:
        return self.network.typing

    async def edit(self, text: str) -> None:
        await self.network.bring(text=text, event="edit", target=self.network.messages[-1]["id"])

    async def revoke(self) -> None:
        await self.network.bring(text="", event="revoke", target=self.network.messages[-1]["id"])

    async def react(self, sign: str) -> None:
        await self.network.bring(text=sign, event="reaction", target=self.network.messages[-1]["id"])

    async def mention(self, text: str) -> None:
        await self.network.bring(text=f"@kai {text}")

    async def write_in_thread(self, thread: str, text: str) -> None:
        await self.network.bring(text=text, thread=thread)

    async def shown_in_thread(self, thread: str) -> Sequence[str]:
        return [each.text for each in self.network.shown if each.thread == thread]

    async def write_from_me(self, text: str) -> None:
        await self.network.bring(text=text, sender="kai")

    async def write_to_self(self, text: str) -> None:
        await self.network.bring(text=text, chat="kai", sender="kai")

    async def garbage(self, data: bytes) -> None:
        await self.network.raw(data)
