"""Who may call the library, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from nanokimi_transport_whatsapp.engine import EngineError
from nanokimi_transport_whatsapp.values import Link

State = Literal["shut", "away", "codes", "connected"]

_AFTER: dict[str, State] = {"code": "codes", "connected": "connected", "weak": "connected", "offline_done": "connected"}
_SAID: dict[State, str] = {
    "codes": "no QR code is shown, so no code for a phone can be asked for",
    "connected": "WhatsApp isn't connected",
}


class Guard:
    """Lets calls in while they can't take the process down.

    Several of neonize's calls abort the process before an account is logged in, and after the stop: they follow a
    pointer that isn't there. Its Go maps have no locks: a call reads them in its first moments, start and stop write
    them, and both at once abort the process as well. So calls run side by side, and the stop waits for them a little.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._state: State = "shut"
        self._inside = 0

    def open(self) -> None:
        """Let a new session's link decide who may call."""
        with self._changed:
            self._state = "away"

    def follow(self, link: Link) -> None:
        """Take a change of the link into account."""
        with self._changed:
            if self._state != "shut":
                self._state = _AFTER.get(link.state, "away")

    def shut(self) -> None:
        """Let nobody in any more."""
        with self._changed:
            self._state = "shut"

    def left(self, seconds: float) -> bool:
        """Wait until nobody is inside; tell whether that came true in time."""
        until = time.monotonic() + seconds
        with self._changed:
            return self._changed.wait_for(lambda: not self._inside, timeout=max(0.0, until - time.monotonic()))

    @contextmanager
    def entered(self, needed: Literal["codes", "connected"] = "connected") -> Iterator[None]:
        """Be inside for one call.

        Raises:
            EngineError: ``away``: the link isn't in the state that is needed.
        """
        with self._changed:
            if self._state != needed:
                raise EngineError("away", _SAID[needed])
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()
