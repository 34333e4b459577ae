"""A container's attached standard streams: Docker's multiplexed stream on one side, ACP messages on the other."""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from logging import LoggerAdapter
from typing import Any

import anyio
from anyio.abc import UNIXSocketStream

from nanokimi_backend_kimi_docker.engine import Engine
from nanokimi_backend_kimi_docker.redact import plain, redact

STDOUT, STDERR = 1, 2

_CHUNK = 128 * 1024
_HEADER = 8
_LONGEST_FRAME = 64 * 2**20
LONGEST_LINE = 64 * 2**20
LONGEST_LOG_LINE = 64 * 1024
_MOST_NOISE_LOGGED = 10
_NOISE_SHOWN = 200
MOST_NOISE = 10_000


class Demultiplexer:
    """Takes Docker's attach stream apart: frames of a stream's number, three zeros, a length, and that many bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take what arrived, and give what is complete.

        Raises:
            ValueError: It is no multiplexed stream.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER:
            number, length = self._buffer[0], int.from_bytes(self._buffer[4:_HEADER], "big")
            if number > STDERR or any(self._buffer[1:4]) or length > _LONGEST_FRAME:
                raise ValueError("the engine's stream is not multiplexed")
            if len(self._buffer) < _HEADER + length:
                return
            payload = bytes(self._buffer[_HEADER : _HEADER + length])
            del self._buffer[: _HEADER + length]
            yield number, payload


class Lines:
    """Cuts bytes into lines. A longer one than ``longest`` is cut into several, or refused.

    Args:
        longest: In bytes.
        refuse: Whether a longer line is an error.
    """

    def __init__(self, longest: int, *, refuse: bool) -> None:
        self._longest = longest
        self._refuse = refuse
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what arrived, and give the lines that are complete, without their ends.

        Raises:
            ValueError: A line is too long.
        """
        start = len(self._rest)
        self._rest += data
        while (end := self._rest.find(b"\n", start)) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            start = 0
            yield line
        if len(self._rest) > self._longest:
            if self._refuse:
                raise ValueError(f"a line of the agent is longer than {self._longest} bytes")
            line = bytes(self._rest)
            self._rest.clear()
            yield line


class AgentStream:
    """ACP's transport over a container's attached streams.

    Args:
        stream: The attached socket.
        on_stderr: Gets each line of the container's standard error.
        log: For lines of its standard output that are no ACP.
    """

    def __init__(self, stream: UNIXSocketStream, *, on_stderr: Callable[[str], None], log: LoggerAdapter[Any]) -> None:
        self._stream = stream
        self._on_stderr = on_stderr
        self._log = log
        self._frames = Demultiplexer()
        self._output = Lines(LONGEST_LINE, refuse=True)
        self._errors = Lines(LONGEST_LOG_LINE, refuse=False)
        self._received: deque[dict[str, Any]] = deque()
        self._noise = 0
        self._sending = anyio.Lock()
        self.ended = anyio.Event()
        self.fault = ""

    async def send(self, message: dict[str, Any]) -> None:
        """Write one message.

        Raises:
            ConnectionError: The container is gone.
        """
        line = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        async with self._sending:
            try:
                await self._stream.send(line)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                raise ConnectionError("the agent's container is gone") from error

    async def receive(self) -> dict[str, Any] | None:
        """Give the next message; ``None`` when the container's streams have ended."""
        while not self._received:
            try:
                self._take(await self._stream.receive(_CHUNK))
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self.ended.set()
                return None
            except Exception as error:  # noqa: BLE001  # whatever an agent writes, a dead stream must not count as alive
                self.fault = str(error) or type(error).__name__
                self.ended.set()
                return None
        return self._received.popleft()

    async def end_input(self) -> None:
        """Close the container's standard input, which ends an agent."""
        try:
            await self._stream.send_eof()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    async def close(self) -> None:
        """Let go of the stream, and say how many lines that are no ACP were not logged."""
        unlogged, self._noise = self._noise - _MOST_NOISE_LOGGED, 0
        if unlogged > 0:
            self._log.warning("the agent wrote %d more lines that are no ACP messages", unlogged)
        await self._stream.aclose()

    def _take(self, data: bytes) -> None:
        for number, payload in self._frames.feed(data):
            if number == STDERR:
                for line in self._errors.feed(payload):
                    self._on_stderr(line.decode("utf-8", "replace"))
            else:
                for line in self._output.feed(payload):
                    self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict):
            self._received.append(message)
        else:
            self._take_noise(line)

    def _take_noise(self, line: bytes) -> None:
        self._noise += 1
        if self._noise <= _MOST_NOISE_LOGGED:
            shown = redact(plain(line[: 10 * _NOISE_SHOWN].decode("utf-8", "replace")))[:_NOISE_SHOWN]
            self._log.warning("the agent wrote a line that is no ACP message: %s", shown)
        if self._noise > MOST_NOISE:
            raise ValueError(f"the agent wrote more than {MOST_NOISE} lines that are no ACP messages")


async def attach(engine: Engine, container: str) -> UNIXSocketStream:
    """Attach to the standard streams of a container that has not been started yet, so that no byte is lost.

    Raises:
        AgentError: The engine can't.
    """

    def work(client: Any) -> socket.socket:
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        attached = client.attach_socket(container, params=params)
        try:
            return socket.socket(fileno=os.dup(attached.fileno()))
        finally:
            attached._response.close()  # the socket that this library keeps beside ours

    own = await engine.call(work, "attach to the container")
    own.setblocking(False)
    return await UNIXSocketStream.from_socket(own)
