"""The Unix socket ``nanokimi.sock`` in the data folder.

Plain sockets and ``anyio.wait_readable``: anyio's own Unix streams on asyncio end a receive that is cancelled at the
moment in which something comes with an error in the event loop.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from nanokimi_core.folder import unwritable

SOCKET = "nanokimi.sock"

_ROOM = 103  # bytes of a path that fit into a socket's address everywhere
_BACKLOG = 16
_BUSY_SECONDS = 0.05
_CREDENTIALS = struct.Struct("iII")


class Connection(ByteStream):
    """One side of a connection.

    Args:
        connected: Its socket; belongs to the connection.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected

    @property
    def is_owners(self) -> bool:
        """Whether the other side is this process's user, or root; where a system doesn't say, the mode decides."""
        option = getattr(socket, "SO_PEERCRED", None)
        if option is None:
            return True
        user = _CREDENTIALS.unpack(self._socket.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))[1]
        return user in (0, os.geteuid())

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Receive bytes, as any ``ByteStream``."""
        await checkpoint()
        while True:
            try:
                data = self._socket.recv(max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
            except OSError as error:
                raise anyio.BrokenResourceError from error
            else:
                if not data:
                    raise anyio.EndOfStream
                return data

    async def send(self, item: bytes) -> None:
        """Send bytes, as any ``ByteStream``."""
        await checkpoint()
        left = memoryview(item)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                await anyio.wait_writable(self._socket)
            except OSError as error:
                raise anyio.BrokenResourceError from error

    async def send_eof(self) -> None:
        """Say that nothing more is sent."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        await checkpoint()

    async def aclose(self) -> None:
        """Leave; who waits to receive or to send is told."""
        if self._socket.fileno() >= 0:
            anyio.notify_closing(self._socket)
            self._socket.close()
        await checkpoint()


class Listener:
    """A socket that connections come in at.

    Args:
        made: It.
    """

    def __init__(self, made: socket.socket) -> None:
        self._socket = made

    async def accept(self) -> Connection:
        """Wait for a connection.

        Raises:
            OSError: It can't be taken: no descriptor is left, for example.
        """
        while True:
            await anyio.wait_readable(self._socket)
            with suppress(BlockingIOError):
                return Connection(self._socket.accept()[0])


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[Listener]:
    """Make the socket, for this user only, and remove it at the end. The caller holds the data folder.

    Raises:
        ConfigError: It can't be made.
    """
    try:
        made = _made(path)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    with made:
        try:
            yield Listener(made)
        finally:
            _remove(path)


def _made(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        path.unlink(missing_ok=True)  # of a process that was killed: the folder is held, so nobody listens
        with fitting(path) as name:
            made.bind(name)
        path.chmod(0o600)
        made.listen(_BACKLOG)  # nobody can connect before this
    except BaseException:
        made.close()
        raise
    return made


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


async def reach(path: Path) -> Connection:
    """Connect to the socket; waits while too many others do.

    Raises:
        OSError: Nobody listens there.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        while True:
            try:
                with fitting(path) as name:
                    made.connect(name)
            except BlockingIOError:
                await anyio.sleep(_BUSY_SECONDS)
            else:
                return Connection(made)
    except BaseException:
        made.close()
        raise


@contextmanager
def fitting(path: Path) -> Iterator[str]:
    """Give a name of a socket that fits into its address, also where its path is too long for that."""
    if len(os.fsencode(path)) <= _ROOM:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
