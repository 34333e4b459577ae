import json
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

import anyio
import nanokimi_line
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from nanokimi_core.testing import TransportRig


class LineRig(TransportRig):
    (spec,) = nanokimi_line.nanokimi_transports()
    chat = "desk"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = str(folder / "line.sock")
        self.connected = anyio.Event()
        self.written = 0
        self.heard: list[str] = []

    def table(self) -> dict[str, str]:
        return {"path": self.path}

    async def __aenter__(self) -> Self:
        self.stack = AsyncExitStack()
        listener = await self.stack.enter_async_context(await anyio.create_unix_listener(self.path))
        tasks = await self.stack.enter_async_context(anyio.create_task_group())
        self.stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(listener.serve, self.serve)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stack.aclose()

    async def serve(self, stream: SocketStream) -> None:
        """Hear what the assistant says on one line, until it hangs up."""
        lines = BufferedByteReceiveStream(stream)
        async with stream:
            self.stream = stream
            self.connected.set()
            with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                while True:
                    self.heard.append(json.loads(await lines.receive_until(b"\n", 65536))["text"])
            if self.stream is stream:
                self.connected = anyio.Event()

    async def write(self, text: str) -> None:
        await self.connected.wait()
        self.written += 1
        message = {"id": str(self.written), "chat": self.chat, "sender": "ana", "text": text}
        await self.stream.send(json.dumps(message).encode() + b"\n")

    async def shown(self, chat: str) -> list[str]:
        return self.heard
