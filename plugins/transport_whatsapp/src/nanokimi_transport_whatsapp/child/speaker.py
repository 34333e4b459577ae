"""The one writer on the wire."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

from nanokimi_transport_whatsapp.values import Link, Typing, Value
from nanokimi_transport_whatsapp.wire import line

_WAITING = 256
_LINKS = 200


class Speaker:
    """Writes whole lines, one after the other: at once where nothing else is written, else on a thread of its own.

    Args:
        descriptor: Where to.
        broken: Called once when nobody reads any more.
    """

    def __init__(self, descriptor: int, broken: Callable[[], None]) -> None:
        self._descriptor, self._broken = descriptor, broken
        self._changed = threading.Condition()
        self._links: deque[bytes] = deque(maxlen=_LINKS)
        self._waiting: deque[bytes] = deque()
        self._writing = False

    def start(self) -> None:
        """Begin to write."""
        threading.Thread(target=self._run, name="speaker", daemon=True).start()

    def say(self, value: Value | bytes) -> None:
        """Have a value written; waits while many others wait."""
        data = value if isinstance(value, bytes) else line(value)
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < _WAITING)
            if self._writing or self._waiting or self._links:
                self._waiting.append(data)
                self._changed.notify_all()
                return
            self._writing = True  # a turn of the thread would cost each message a good part of its way
        self._write(data)
        with self._changed:
            self._writing = False
            self._changed.notify_all()

    def tell(self, link: Link) -> None:
        """Have a change of the link written before what else waits; never waits. Of very many, the oldest are lost."""
        with self._changed:
            self._links.append(line(link))
            self._changed.notify_all()

    def hint(self, typing: Typing) -> None:
        """Have a hint written, unless anything else is."""
        with self._changed:
            if not (self._writing or self._waiting or self._links):
                self._waiting.append(line(typing))
                self._changed.notify_all()

    def flush(self, seconds: float) -> None:
        """Wait until all is written, not longer than this."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._writing or self._waiting or self._links), seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._writing and bool(self._links or self._waiting))
                data = (self._links or self._waiting).popleft()
                self._writing = True
                self._changed.notify_all()
            if not self._write(data):
                return
            with self._changed:
                self._writing = False
                self._changed.notify_all()

    def _write(self, data: bytes) -> bool:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:  # nobody reads any more: the process is about to end
            self._broken()
            return False
        return True
