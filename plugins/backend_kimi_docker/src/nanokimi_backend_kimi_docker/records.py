"""What the agent's hooks say at the end of each turn, kept until the turn asks for it."""

from __future__ import annotations

import time

import anyio

from nanokimi_backend_kimi_docker.failures import TurnEnd, parse_record

_OVERTAKES = 0.5


class Records:
    """Finds the hooks' records in the container's standard error.

    Args:
        mark: Begins each of them.
        overtakes: By so many seconds a record may be ahead of the last words of its turn, which take another way.

    Attributes:
        seen: Whether one has ever come.
        silent: Whether a turn has ended without one, and none had come before: nobody need wait for them.
    """

    def __init__(self, mark: str, *, overtakes: float = _OVERTAKES) -> None:
        self._mark = mark + " "
        self._overtakes = overtakes
        self._ends: dict[str, TurnEnd] = {}
        self._came: dict[str, float] = {}
        self._arrived = anyio.Event()
        self.seen = False
        self.silent = False

    def take(self, line: str) -> bool:
        """Take a line if it is a record; whether it was."""
        if not line.startswith(self._mark):
            return False
        end = parse_record(line.removeprefix(self._mark))
        if end is not None:
            self.seen = True
            self._ends[end.session] = end
            self._came[end.session] = time.monotonic()
            self._arrived.set()
            self._arrived = anyio.Event()
        return True

    def drop(self, session: str) -> None:
        """Forget what was said about a session: a new turn begins."""
        self._ends.pop(session, None)
        self._came.pop(session, None)

    def goes_on(self, session: str) -> None:
        """Forget what was said about a session before now: its turn goes on."""
        if session in self._came and time.monotonic() - self._came[session] >= self._overtakes:
            self.drop(session)

    async def get(self, session: str, *, within: float) -> TurnEnd | None:
        """Give what was said about a session's turn, waiting for it if need be."""
        with anyio.move_on_after(within):
            while session not in self._ends:
                await self._arrived.wait()
        return self._ends.get(session)
