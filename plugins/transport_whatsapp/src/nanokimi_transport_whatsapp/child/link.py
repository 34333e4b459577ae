"""What the engine says of the link, on its way to the transport."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nanokimi_transport_whatsapp.child.speaker import Speaker
from nanokimi_transport_whatsapp.values import FINAL, Link

_DOWN = FINAL | {"disconnected", "ended", "full"}


class Standing:
    """Passes changes on, and knows how the link stands.

    Args:
        speaker: Takes them.
        connected: Told whenever the link is made or lost.
    """

    def __init__(self, speaker: Speaker, connected: Callable[[bool], None]) -> None:
        self._speaker, self._connected = speaker, connected
        self._lock = threading.Lock()
        self._last: Link | None = None

    def tell(self, link: Link) -> None:
        """Pass a change on."""
        if link.state == "connected" or link.state in _DOWN:
            with self._lock:
                self._last = link
            self._connected(link.state == "connected")
        self._speaker.tell(link)

    def disk(self, trouble: str) -> None:
        """Say that the disk holds everything up, or, with an empty text, that it doesn't any more."""
        if trouble:
            self._speaker.tell(Link(state="weak", said=f"{trouble}; events wait until it takes them"))
            return
        with self._lock:
            last = self._last
        if last is not None:
            self._speaker.tell(last)

    def damaged(self, said: str) -> None:
        """Say that the spool was begun anew."""
        self._speaker.tell(Link(state="weak", said=said))
        self.disk("")
