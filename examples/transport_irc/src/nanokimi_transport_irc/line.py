"""One connection to a server: lines out, messages in."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from irclib.parser import Message, ParamList

from nanokimi_core import NetworkAway
from nanokimi_transport_irc.settings import Settings

LONGEST = 512  # bytes of a line, its end included
_LONGEST_TAGGED = 16_384
CUT = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class ConnectionLost(NetworkAway, ConnectionError):
    """There is no connection, or none any more. What was being written may have arrived."""


class Line:
    """A connection.

    Args:
        stream: It.
        server: For errors.
        patience: Seconds that a write may take.

    Attributes:
        heard_at: When the server said something last, as in ``anyio.current_time``.
    """

    def __init__(self, stream: ByteStream, server: str, patience: float) -> None:
        self.heard_at = anyio.current_time()
        self._stream, self._server, self._patience = stream, server, patience
        self._lines = BufferedByteReceiveStream(stream)
        self._writing = anyio.Lock()

    async def next(self) -> Message:
        """Wait for the next message that can be read.

        Raises:
            ConnectionLost: The connection has ended.
        """
        while True:
            try:
                line = await self._lines.receive_until(b"\n", _LONGEST_TAGGED)
            except anyio.DelimiterNotFound:
                raise ConnectionLost(f"{self._server} sends a line without an end") from None
            except CUT:
                raise ConnectionLost(f"the connection to {self._server} was lost") from None
            self.heard_at = anyio.current_time()
            message = Message.parse(_decoded(line.rstrip(b"\r")))
            if message.command:
                return message

    async def write(self, command: str, *parameters: str, within: float | None = None) -> None:
        """Write a line as a whole; that it is written doesn't mean that the server has read it.

        Args:
            command: And its
            parameters: of which the last may hold spaces.
            within: Seconds that it may take; by default ``patience``.

        Raises:
            ConnectionLost: It may have been written in part: the connection is closed.
        """
        line = f"{Message(None, None, command, ParamList(*parameters, has_trail=len(parameters) > 1))}\r\n".encode()
        done = False
        try:
            # Half a line, left by a cancellation, would become one with the next.
            with anyio.move_on_after(within or self._patience, shield=True):
                async with self._writing:
                    await self._stream.send(line)
                    done = True
        except CUT:
            pass
        if not done:
            await self.close()
            raise ConnectionLost(f"the connection to {self._server} was lost")

    async def close(self) -> None:
        """Hang up at once."""
        await anyio.aclose_forcefully(self._stream)


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:  # an old client
        return line.decode("latin-1")


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Line]:
    """Connect, and hang up at the end.

    Raises:
        ConnectionLost: There is no connection within ``patience``.
    """
    host, port = settings.address
    context = ssl.create_default_context(cafile=settings.ca_file) if settings.tls else None
    stream: ByteStream | None = None
    try:
        with anyio.move_on_after(settings.patience):
            if context is None:
                stream = await anyio.connect_tcp(host, port)
            else:
                # Servers hang up without TLS's own goodbye.
                stream = await anyio.connect_tcp(host, port, ssl_context=context, tls_standard_compatible=False)
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:  # an SSLError is an OSError
        raise ConnectionLost(f"no connection to {host}:{port}: {error.__cause__ or error}") from None
    if stream is None:
        raise ConnectionLost(f"no connection to {host}:{port} within {settings.patience:g} s")
    line = Line(stream, f"{host}:{port}", settings.patience)
    try:
        yield line
    finally:
        await line.close()
