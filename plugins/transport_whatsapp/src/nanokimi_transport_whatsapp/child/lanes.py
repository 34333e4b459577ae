"""Work in order for each chat, and side by side for different chats."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], bool]
"""Whether it is done; one that isn't is tried again after ``Lanes.resume``, and its chat waits until then."""


class Lanes:
    """A few threads, and a queue for each chat that has work.

    The callers bound how much work there is.

    Args:
        name: For the threads.
        workers: How many.
    """

    def __init__(self, name: str, workers: int) -> None:
        self._name, self._workers = name, workers
        self._changed = threading.Condition()
        self._lanes: dict[str, deque[Job]] = {}
        self._ready: deque[str] = deque()
        self._parked: set[str] = set()
        self._resumed = 0
        self._running = 0

    def start(self) -> None:
        """Begin to work."""
        for number in range(self._workers):
            threading.Thread(target=self._run, name=f"{self._name} {number}", daemon=True).start()

    def put(self, chat: str, job: Job) -> None:
        """Have something done after what is there for this chat."""
        with self._changed:
            lane = self._lanes.setdefault(chat, deque())
            lane.append(job)
            if len(lane) == 1:
                self._ready.append(chat)
                self._changed.notify()

    def has(self, chat: str) -> bool:
        """Whether anything of this chat isn't done."""
        with self._changed:
            return chat in self._lanes

    def resume(self) -> None:
        """Try again what wasn't done."""
        with self._changed:
            self._resumed += 1
            self._ready.extend(self._parked)
            self._parked.clear()
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Jobs that aren't done."""
        with self._changed:
            return sum(map(len, self._lanes.values()))

    @property
    def idle(self) -> bool:
        """Whether nothing is worked at; jobs that weren't done may be there."""
        with self._changed:
            return not (self._ready or self._running)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._ready))
                chat = self._ready.popleft()
                job, resumed = self._lanes[chat][0], self._resumed
                self._running += 1
            done = job()
            with self._changed:
                self._running -= 1
                self._settle(chat, done, resumed)

    def _settle(self, chat: str, done: bool, resumed: int) -> None:
        lane = self._lanes[chat]
        if done:
            lane.popleft()
        elif resumed == self._resumed:
            self._parked.add(chat)
            return
        if lane:
            self._ready.append(chat)
            self._changed.notify()
        else:
            del self._lanes[chat]
