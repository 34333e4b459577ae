"""What the engine says of the link, on its way to the transport."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nanokimi_transport_whatsapp.child.speaker import Speaker
from nanokimi_transport_whatsapp.values import FINAL, Link

_DOWN = FINAL | {"disconnected", "ended", "full"}
_HELD = frozenset({"connected", "disconnected", "weak"})
"""What would hide from the transport that the disk holds everything up."""

_SAID_WITHOUT_ROOM = FINAL | {"full"}


class Standing:
    """Passes changes on, and knows how the link stands.

    Args:
        speaker: Takes them.
        connected: Told whenever the link is made or lost.
    """

    def __init__(self, speaker: Speaker, connected: Callable[[bool], None]) -> None:
        self._speaker, self._connected = speaker, connected
        self._lock = threading.Lock()
        self._last = Link(state="disconnected", said="not connected yet")
        self._disk = self._room = ""

    def tell(self, link: Link) -> None:
        """Pass a change on."""
        changed = link.state == "connected" or link.state in _DOWN
        with self._lock:
            self._last = link if changed else self._last
            has_room = not self._room
            if not self._hides_trouble(link):
                self._speaker.tell(link)
        if changed:
            self._connected(link.state == "connected" and has_room)

    def disk(self, trouble: str) -> None:
        """Say that the disk holds everything up, or, with an empty text, that it doesn't any more."""
        with self._lock:
            self._disk = trouble
            if not self._room:
                self._tell_trouble(trouble)

    def room(self, lacking: str) -> None:
        """Say that the disk has too little room to be connected, or, with an empty text, that it has enough again."""
        with self._lock:
            self._room = lacking
            self._tell_trouble(lacking or self._disk)
        if lacking:
            self._connected(False)

    def _tell_trouble(self, trouble: str) -> None:
        if trouble:
            self._speaker.tell(Link(state="disk", said=trouble))
        elif self._last.state not in FINAL:  # that was said, and is said once
            self._speaker.tell(self._last)

    def _hides_trouble(self, link: Link) -> bool:
        """Whether this would hide that the disk holds everything up; nobody is connected while it has no room."""
        if self._room:
            return link.state not in _SAID_WITHOUT_ROOM
        return bool(self._disk) and link.state in _HELD

    def damaged(self, said: str) -> None:
        """Say that the spool was begun anew."""
        self._speaker.tell(Link(state="damaged", said=said))
