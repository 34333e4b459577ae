"""Lanes: one thing at a time in a chat, chats side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

Job = Callable[[], Awaitable[None]]


class Lanes:
    """Runs jobs in the order of their chat, different chats at once up to ``max_turns``.

    Args:
        tasks: Where the lanes run.
        max_turns: Jobs at once, all chats together.
        max_waiting: Jobs that may wait in one chat.
    """

    def __init__(self, tasks: TaskGroup, *, max_turns: int, max_waiting: int) -> None:
        self._tasks = tasks
        self._limiter = anyio.CapacityLimiter(max_turns)
        self._max_waiting = max_waiting
        self._lanes: dict[str, deque[Job]] = {}
        self._idle = anyio.Event()
        self._idle.set()

    def submit(self, chat: str, job: Job) -> bool:
        """Put a job at the end of a chat's lane; ``False`` where too many wait there."""
        lane = self._lanes.get(chat)
        if lane is None:
            lane = self._lanes[chat] = deque()
            self._tasks.start_soon(self._run, chat, lane, name=f"lane {chat}")
            if self._idle.is_set():
                self._idle = anyio.Event()
        if len(lane) >= self._max_waiting:
            return False
        lane.append(job)
        return True

    async def drained(self) -> None:
        """Wait until no chat has a job."""
        await self._idle.wait()

    async def _run(self, chat: str, lane: deque[Job]) -> None:
        try:
            while lane:
                async with self._limiter:
                    await lane.popleft()()
        finally:
            del self._lanes[chat]
            if not self._lanes:
                self._idle.set()
