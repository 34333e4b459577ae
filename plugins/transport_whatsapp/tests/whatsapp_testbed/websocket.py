"""A WebSocket's server side over any byte stream: the protocol is the ``websockets`` package's, without its sockets."""

from __future__ import annotations

import anyio
from anyio.abc import ByteStream
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

_CHUNK = 65_536
_DATA = frozenset({Opcode.BINARY, Opcode.CONT})


class WebSocket:
    """One connection. Frames' bytes are one stream: WhatsApp writes lengths of its own into it."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._protocol = ServerProtocol(max_size=None)
        self._writing = anyio.Lock()

    async def receive(self) -> bytes:
        """Wait for the next bytes; the opening handshake is answered on the way.

        Raises:
            anyio.EndOfStream: The client has gone.
        """
        while True:
            self._protocol.receive_data(await self._stream.receive(_CHUNK))
            data = b"".join(self._handle(event) for event in self._protocol.events_received())
            await self._flush()
            if data:
                return data

    async def send(self, data: bytes) -> None:
        """Send one frame."""
        self._protocol.send_binary(data)
        await self._flush()

    async def close(self) -> None:
        """Say goodbye; the stream itself stays to be closed by its owner."""
        self._protocol.send_close(1000)
        await self._flush()

    def _handle(self, event: object) -> bytes:
        if isinstance(event, Request):
            self._protocol.send_response(self._protocol.accept(event))
        elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
            raise anyio.EndOfStream
        return bytes(event.data) if isinstance(event, Frame) and event.opcode in _DATA else b""

    async def _flush(self) -> None:
        async with self._writing:
            for data in self._protocol.data_to_send():
                if data:
                    await self._stream.send(data)
