"""A line to a server that can break, hang, and say what no server says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_SECONDS = 60


class Proxy:
    """Listens on a port of its own, and passes on whole lines, each way; ``close`` ends it.

    Args:
        target: The server's port.

    Attributes:
        port: Where it listens.
        mute: It accepts connections, and passes nothing on.
        said: What went to the server, in order.
        pass_up: Asked for each line to the server whether it is passed on.
        pass_down: Asked for each line from the server whether it is passed on.
    """

    def __init__(self, target: int) -> None:
        self.mute = False
        self.said: list[str] = []
        self.pass_up: Callable[[str], bool] = bool
        self.pass_down: Callable[[str], bool] = bool
        self._target = target
        self._lines: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, args=(self._listening,), daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Hang up, and listen no more."""
        self.refuse()
        self.cut()
        for thread in self._threads:
            thread.join(_SECONDS)

    def cut(self) -> None:
        """Break all connections, without a word."""
        with self._lock:
            for line in self._lines:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def busy_once(self) -> None:
        """Answer the next line that is said to people in place of the server, which is too busy for it."""

        def pass_up(line: str) -> bool:
            if not line.startswith("PRIVMSG"):
                return True
            self.pass_up = bool
            self.inject(b":busy.irc.test 439 * :Target change too fast. Please wait.\r\n")
            return False

        self.pass_up = pass_up

    def hold(self) -> threading.Event:
        """Hold back what the server says until the event is set."""
        released = threading.Event()
        self.pass_down = lambda _: released.wait(_SECONDS)
        return released

    def inject(self, data: bytes) -> None:
        """Send this to the client, as if the server had."""
        with self._lock:
            for line in self._lines:
                if line.getsockname()[1] == self.port:
                    line.sendall(data)

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target), _SECONDS)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                with self._lock:
                    self._lines |= {client, server}
                for source, sink, up in ((client, server, True), (server, client, False)):
                    thread = threading.Thread(target=self._pass, args=(source, sink, up), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with suppress(OSError), source.makefile("rb") as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip("\r\n")
                if up:
                    self.said.append(text)
                if not self.mute and (self.pass_up if up else self.pass_down)(text):
                    sink.sendall(line)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._lines.discard(source)
        source.close()
