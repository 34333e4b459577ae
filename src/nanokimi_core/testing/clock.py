"""A clock that a test moves on: what waits for a time is due at once, and in order.

Let the fixture ``anyio_backend`` return ``nanokimi_clock.backend()``; the test's event loop runs on the clock then, and
``await nanokimi_clock.advance(60)`` lets a minute pass at once.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread

from nanokimi_core.supervision import loop_options

_QUIET = 3
_MOST_ROUNDS = 100_000
_LONGEST_SETTLE = 30.0
_LOOK = 0.001


class FakeClock:
    """The event loop's time: real time, and what ``advance`` has added.

    It is the time of ``anyio.sleep``, ``anyio.current_time`` and every deadline, so of the core's back-off, holds, pace
    and time limits. The time of day (``time.time``) goes on as it does: ``turns_per_day``, ``retention`` and the dates
    in the store don't move.

    Attributes:
        offset: Seconds that were added so far.
        busy: Each says whether something is in a thread at the moment that the clock has to wait for.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        self.busy: list[Callable[[], bool]] = []
        self._pulse: _Pulse | None = None

    def backend(self, name: str = "asyncio") -> tuple[str, dict[str, Any]]:
        """Give what the fixture ``anyio_backend`` has to return for tests on this clock.

        ``anyio.run`` takes the two as ``backend`` and ``backend_options``.

        Args:
            name: ``asyncio`` or ``trio``.
        """
        if name == "trio":
            return name, {"clock": _trio_clock(self)}
        return name, {"loop_factory": lambda: _loop(self)}

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once: from one timer to the next, with all that comes of each before the next.

        Raises:
            RuntimeError: The test doesn't run on this clock, or something never comes to rest.
        """
        pulse = self._running()
        end = anyio.current_time() + seconds
        await self._settle(pulse)
        while (due := pulse.next_timer()) is not None and due < end:
            self.offset += max(0.0, due - anyio.current_time())
            await self._settle(pulse)
        self.offset += max(0.0, end - anyio.current_time())
        await self._settle(pulse)

    async def settle(self) -> None:
        """Wait until every task waits for a time, or for something from outside; nothing is made due.

        Raises:
            RuntimeError: As ``advance``.
        """
        await self._settle(self._running())

    def _running(self) -> _Pulse:
        if self._pulse is None or not self._pulse.is_mine():
            said = "this event loop doesn't run on this FakeClock"
            raise RuntimeError(f"{said}: let the fixture anyio_backend return nanokimi_clock.backend()")
        return self._pulse

    async def _settle(self, pulse: _Pulse) -> None:
        late = time.monotonic() + _LONGEST_SETTLE
        await pulse.rest()
        while self._in_threads():
            if time.monotonic() > late:
                raise RuntimeError(f"a thread was not done within {_LONGEST_SETTLE:g} s")
            await anyio.sleep(_LOOK)
            await pulse.rest()

    def _in_threads(self) -> bool:
        limiter = anyio.to_thread.current_default_thread_limiter()
        return limiter.borrowed_tokens > 0 or any(look() for look in self.busy)


class _Pulse(Protocol):
    """What a clock has to know of the event loop that runs on it."""

    def is_mine(self) -> bool:
        """Whether the current event loop is it."""
        ...

    def next_timer(self) -> float | None:
        """Give when the next timer is due that isn't due yet; ``None`` where there is none."""
        ...

    async def rest(self) -> None:
        """Return when all other tasks wait, and all timers that are due have been heard."""
        ...


class _LoopPulse(_Pulse):
    """The pulse of an asyncio event loop, which tells of each callback that it gets."""

    def __init__(self) -> None:
        self.loop: Any = None
        self.callbacks = 0
        self._timers: list[tuple[float, int, Any]] = []
        self._count = 0

    def scheduled(self, when: float, handle: Any) -> None:
        """Note a timer."""
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        if self._count % 1000 == 0:
            self._timers = [timer for timer in self._timers if not timer[2].cancelled()]
            heapq.heapify(self._timers)

    def is_mine(self) -> bool:
        return anyio.lowlevel.current_token().native_token is self.loop

    def next_timer(self) -> float | None:
        now = anyio.current_time()
        while self._timers and (self._timers[0][2].cancelled() or self._timers[0][0] <= now):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    async def rest(self) -> None:
        quiet = 0
        for _ in range(_MOST_ROUNDS):
            before = self.callbacks
            await anyio.lowlevel.checkpoint()
            quiet = quiet + 1 if self.callbacks - before <= self._own else 0
            if quiet == _QUIET:
                return
        raise RuntimeError(f"some task was still at work after {_MOST_ROUNDS} rounds: does it wait in a loop?")

    _own = 1  # what our own checkpoint asks the loop for


def _loop(clock: FakeClock) -> Any:
    """Make an asyncio event loop that runs on a clock."""
    lasting: Any = loop_options()["loop_factory"]  # asyncio by another name: the core must not come to need it
    pulse = _LoopPulse()

    class Shifted(lasting):  # type: ignore[misc]
        def time(self) -> float:
            return float(super().time()) + clock.offset

        def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
            handle = super().call_at(when, callback, *args, context=context)
            pulse.scheduled(when, handle)
            return handle

        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            pulse.callbacks += 1
            return super().call_soon(callback, *args, context=context)

        def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
            pulse.callbacks += 1
            return super().call_soon_threadsafe(callback, *args, context=context)

    clock._pulse = pulse
    pulse.loop = Shifted()
    return pulse.loop


def _trio_clock(clock: FakeClock) -> Any:
    """Make a clock of trio's out of one of ours."""
    trio = import_module("trio")  # by name, and only where it is asked for: the core doesn't need it

    class TrioClock(trio.abc.Clock):  # type: ignore[misc, name-defined]
        def start_clock(self) -> None:
            clock._pulse = _TrioPulse(trio, self)

        def current_time(self) -> float:
            return time.perf_counter() + clock.offset

        def deadline_to_sleep_time(self, deadline: float) -> float:
            return deadline - self.current_time()

    return TrioClock()


class _TrioPulse(_Pulse):
    """The pulse of trio, which can be asked for all that."""

    def __init__(self, trio: Any, clock: Any) -> None:
        self._trio, self._clock = trio, clock

    def is_mine(self) -> bool:
        return bool(self._trio.lowlevel.in_trio_run()) and self._trio.lowlevel.current_clock() is self._clock

    def next_timer(self) -> float | None:
        left = self._trio.lowlevel.current_statistics().seconds_to_next_deadline
        return None if left == float("inf") else float(anyio.current_time() + left)

    async def rest(self) -> None:
        await anyio.wait_all_tasks_blocked()
