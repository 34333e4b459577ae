"""Showing presence: tried until it was said once, and no longer than the connection lasts."""

from __future__ import annotations

import threading

from nanokimi_transport_whatsapp.engine import EngineError
from nanokimi_transport_whatsapp.neonize_engine.presence import Presence

WITHIN = 10


class Mouth:
    """Fails as often as it is told to."""

    def __init__(self, failures: int) -> None:
        self.said: list[bool] = []
        self.tried, self.done = threading.Event(), threading.Event()
        self._failures = failures

    def __call__(self) -> None:
        self.said.append(len(self.said) >= self._failures)
        self.tried.set()
        if not self.said[-1]:
            raise EngineError("failed", "can't send presence without PushName set")
        self.done.set()


def test_the_next_attempt_waits_and_a_new_connection_begins_at_once() -> None:
    mouth = Mouth(failures=1)
    presence = Presence(mouth, delays=(0, 600))
    presence.begin()
    assert mouth.tried.wait(WITHIN)
    assert mouth.said == [False]
    presence.begin()
    assert mouth.done.wait(WITHIN)
    assert mouth.said == [False, True]
    presence.end()


def test_attempts_end_with_the_connection() -> None:
    mouth = Mouth(failures=100)
    presence = Presence(mouth, delays=(0, 600))
    presence.begin()
    assert mouth.tried.wait(WITHIN)
    presence.end()
    for thread in threading.enumerate():
        if thread.name == "whatsapp-presence":
            thread.join(WITHIN)
            assert not thread.is_alive()
    assert mouth.said == [False]
