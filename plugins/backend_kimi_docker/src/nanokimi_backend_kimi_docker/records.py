"""What the agent's hooks say at the end of each turn, kept until the turn asks for it."""

from __future__ import annotations

import anyio

from nanokimi_backend_kimi_docker.failures import TurnEnd, parse_record


class Records:
    """Finds the hooks' records in the container's standard error.

    Args:
        mark: Begins each of them.

    Attributes:
        seen: Whether one has ever come.
        silent: Whether a turn has ended without one, and none had come before: nobody need wait for them.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark + " "
        self._ends: dict[str, TurnEnd] = {}
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
            self._arrived.set()
            self._arrived = anyio.Event()
        return True

    def drop(self, session: str) -> None:
        """Forget what was said about a session: its turn goes on, or a new one begins."""
        self._ends.pop(session, None)

    async def get(self, session: str, *, within: float) -> TurnEnd | None:
        """Give what was said about a session's turn, waiting for it if need be."""
        with anyio.move_on_after(within):
            while session not in self._ends:
                await self._arrived.wait()
        return self._ends.get(session)
