"""A transport for the fault tests: a chat network over a Unix socket, one JSON object a line.

The network says ``{"serial", "id", "chat", "text"}`` and hears ``{"ack": serial}`` once ``deliver`` has returned. It is
sent ``{"n", "key", "chat", "text"}`` and says ``{"receipt": n}``; ``send`` returns only then, or raises where the
network says ``{"refused": n, "certain": true}``.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectReceiveStream
from pydantic import BaseModel, ConfigDict

from nanokimi_core import Context, Inbound, Inbox, NotSent, Outbound, Receipt, Spec, Traits, Transport, hookimpl

GONE = 70
WORKERS = 8
QUEUE = 100
LONGEST_LINE = 65536
CUT = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class WireConfig(BaseModel):
    """Attributes.

    socket: Where the network listens.
    ordered: A chat's messages are delivered one after the other; else side by side with all others.
    concurrent: ``send`` may be called several times at once.
    fatal: An answer with this text in it kills the process.
    reconnects: It connects again by itself when the line was cut; else its run ends, to be run again.
    """

    model_config = ConfigDict(extra="forbid")

    socket: Path
    ordered: bool = True
    concurrent: bool = False
    fatal: str = ""
    reconnects: bool = False


class Wire:
    """The network, as the core sees it."""

    def __init__(self, config: WireConfig, context: Context) -> None:
        self.config = config
        self.traits = Traits(concurrent_sends=config.concurrent)
        self._numbers = itertools.count()
        self._stream: SocketStream | None = None
        self._writing = anyio.Lock()
        self._waiting: dict[int, anyio.Event] = {}
        self._received: set[int] = set()
        self._refused: dict[int, bool] = {}

    async def run(self, inbox: Inbox) -> None:
        while True:
            try:
                await self._talk(inbox)
            except* CUT:
                if not self.config.reconnects:
                    raise

    async def _talk(self, inbox: Inbox) -> None:
        async with await self._connect() as self._stream, AsyncExitStack() as stack:
            streams = [anyio.create_memory_object_stream[Mapping[str, Any]](QUEUE) for _ in range(WORKERS)]
            queues = [stack.enter_context(put) for put, _ in streams]
            waiting = [stack.enter_context(take) for _, take in streams]
            tasks = await stack.enter_async_context(anyio.create_task_group())  # last: what it uses is closed after it
            for each in waiting:
                tasks.start_soon(self._deliver, inbox, each)
            inbox.ready()
            lines = BufferedByteReceiveStream(self._stream)
            try:
                while True:
                    line = json.loads(await lines.receive_until(b"\n", LONGEST_LINE))
                    if "receipt" in line:
                        self._received.add(line["receipt"])
                        self._conclude(line["receipt"])
                    elif "refused" in line:
                        self._refused[line["refused"]] = line["certain"]
                        self._conclude(line["refused"])
                    else:
                        worker = hash(line["chat"]) if self.config.ordered else line["serial"]
                        await queues[worker % WORKERS].send(line)
            finally:
                self._cut()

    async def send(self, message: Outbound) -> Receipt:
        if self.config.fatal and self.config.fatal in message.text:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._stream is None:
            raise NotSent("the wire is down")
        number = next(self._numbers)
        accepted = self._waiting[number] = anyio.Event()
        await self._write({"n": number, "key": message.key, "chat": message.chat, "text": message.text})
        await accepted.wait()
        if number in self._refused:
            raise NotSent("not now") if self._refused.pop(number) else RuntimeError("something went wrong")
        if number not in self._received:
            raise ConnectionError("the wire was cut before the receipt came")
        self._received.discard(number)
        return Receipt(f"net-{os.getpid()}-{number}")

    async def _connect(self) -> SocketStream:
        try:
            return await anyio.connect_unix(self.config.socket)
        except OSError:
            os._exit(GONE)  # the test is over, however it ended: nobody else would end this process

    async def _deliver(self, inbox: Inbox, messages: MemoryObjectReceiveStream[Mapping[str, Any]]) -> None:
        async for each in messages:
            await inbox.deliver(Inbound(each["id"], each["chat"], "ana", each["text"], sender_name="Ana"))
            await self._write({"ack": each["serial"]})

    async def _write(self, line: Mapping[str, Any]) -> None:
        async with self._writing:
            if self._stream is None:
                raise ConnectionError("the wire was cut")
            await self._stream.send(json.dumps(line).encode() + b"\n")

    def _conclude(self, number: int) -> None:
        if number in self._waiting:
            self._waiting.pop(number).set()

    def _cut(self) -> None:
        self._stream = None
        for accepted in self._waiting.values():
            accepted.set()
        self._waiting.clear()


@hookimpl
def nanokimi_transports() -> list[Spec[Transport]]:
    return [Spec("wire", Wire, config=WireConfig)]
