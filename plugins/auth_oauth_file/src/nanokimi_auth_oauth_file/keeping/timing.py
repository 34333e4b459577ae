"""What is left of a token, by two clocks: one may jump, and the other stands still while a machine sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from nanokimi_auth_oauth_file.disk.login import Login

_MOST_UNKNOWN = 3600.0


@dataclass(frozen=True)
class Clock:
    """The clocks.

    Attributes:
        wall: The time of day, in seconds since 1970; somebody may set it.
        steady: Seconds that only go forward; may stand still while the machine sleeps.
    """

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = anyio.current_time


class Span:
    """What is left of one access token. Whichever clock says less is believed.

    Args:
        login: As it was first seen. How long its token lives is believed more than when it ends, since the clock of the
            machine that wrote it may have been another.
        clock: The clocks.
    """

    def __init__(self, login: Login, clock: Clock) -> None:
        self._clock = clock
        self._ends_wall = login.expires_at
        self.known = login.expires_at > 0
        rest = max(login.expires_at - clock.wall(), 0.0)
        self.life = login.expires_in or (min(rest, _MOST_UNKNOWN) if login.refreshable else rest)
        self._ends_steady = clock.steady() + min(rest, self.life)

    def rest(self) -> float:
        """Give the seconds that are left; endless where the end isn't known."""
        if not self.known:
            return float("inf")
        return min(self._ends_wall - self._clock.wall(), self._ends_steady - self._clock.steady(), self.life)
