"""Showing the account as online, or not, after each connection."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from nanokimi_transport_whatsapp.engine import EngineError

DELAYS = (0.0, 2, 5, 15, 30, 60, 180, 300)
"""Seconds before each attempt. A new device learns its account's name after a while, and can't show presence before."""

log = logging.getLogger(__name__)


class Presence:
    """Tries until it was said once, on a thread of its own; a new connection begins anew.

    Args:
        say: Says it to the server; blocks.
        delays: Seconds before each attempt.
    """

    def __init__(self, say: Callable[[], None], delays: Sequence[float] = DELAYS) -> None:
        self._say, self._delays = say, delays
        self._ended = threading.Event()

    def begin(self) -> None:
        """The account is connected."""
        self.end()
        self._ended = ended = threading.Event()
        threading.Thread(target=self._try, args=(ended,), name="whatsapp-presence", daemon=True).start()

    def end(self) -> None:
        """It isn't any more."""
        self._ended.set()

    def _try(self, ended: threading.Event) -> None:
        said = ""
        for delay in self._delays:
            if ended.wait(delay):
                return
            try:
                self._say()
            except EngineError as error:
                said = error.said
            else:
                return
        log.warning("the account's presence could not be shown: %s", said)
