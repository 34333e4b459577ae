"""Lanes: one thing at a time in a chat, in order; chats side by side, and none before its turn."""

from __future__ import annotations

import itertools
import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from logging import Logger
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from nanokimi_core.config import Limits
from nanokimi_core.conversation.verdicts import Again, Done, Hold, Run, Verdict
from nanokimi_core.store import (
    Arrival,
    Claim,
    Health,
    LeaseLost,
    Outcome,
    OwedRow,
    Role,
    Store,
    StoreError,
    Work,
)

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0

Lane = tuple[str, str]  # transport's instance, the network's name of the chat
Result = TypeVar("Result")


class Lanes:
    """Carries out what waits, up to ``max_turns`` works at once, in turns between chats.

    Args:
        store: Where the inbox is.
        limits: Live.
        context: Live; the most messages of context that a turn can need.
        run: Does a work and says what becomes of it; it doesn't raise.
        take: Gets the outbox rows that a work has led to.
        health: Told of what can't be written.
        log: For what is lost to another process.
    """

    def __init__(
        self,
        store: Store,
        limits: Callable[[], Limits],
        *,
        context: Callable[[], int],
        run: Run,
        take: Callable[[Sequence[OwedRow]], None],
        health: Health,
        log: Logger,
    ) -> None:
        self._store = store
        self._limits = limits
        self._context = context
        self._run = run
        self._take = take
        self._health = health
        self._log = log
        self._tasks: TaskGroup | None = None
        self._waiting: dict[Lane, int] = {}
        self._total = 0
        self._running: dict[Lane, Work | None] = {}
        self._ready: deque[Lane] = deque()
        self._queued: set[Lane] = set()
        self._held: dict[Lane, Hold] = {}
        self._suspected: dict[Lane, None] = {}
        self._life = secrets.token_hex(12)  # of this process: turns of different ones have different ids
        self._turns = itertools.count(1)
        self._closed = False
        self._changed = anyio.Event()

    @property
    def running(self) -> int:
        """Count the works that run now."""
        return len(self._running)

    @property
    def held(self) -> dict[Lane, Hold]:
        """Give the lanes that are held."""
        return self._held

    @property
    def total(self) -> int:
        """Count the messages that wait in all lanes."""
        return self._total

    def waiting(self, lane: Lane) -> int:
        """Count the messages that wait in a lane."""
        return self._waiting.get(lane, 0)

    def is_running(self, lane: Lane) -> bool:
        """Whether a work of this lane runs."""
        return lane in self._running

    async def open(self, tasks: TaskGroup) -> None:
        """Take up what waits in the store.

        Raises:
            StoreError: It can't be read.
        """
        self._tasks = tasks
        waiting = await self._store.lanes()
        self._suspected = dict.fromkeys(await self._store.suspects(max(1, self._limits().max_attempts - 1)))
        for lane, count in waiting.items():
            self._add(lane, count)
            self._enqueue(lane)
        self.fill()
        tasks.start_soon(self._try_singly)

    async def accept(self, arrival: Arrival) -> Outcome:
        """Keep a message, and start its work at once where its lane is idle and there is room.

        Raises:
            StoreError: It can't be kept.
        """
        lane = (arrival.transport, arrival.message.chat)
        waits = arrival.role in (Role.TURN, Role.ORDER)
        claim = self._reserve(lane) if waits else None
        try:
            outcome, work, rows = await self._store.accept(arrival, claim)
        except BaseException:
            self._release(lane, claim)
            raise
        if waits and outcome is Outcome.ACCEPTED:
            self._add(lane, 1)
        if work is not None:
            self._start(work)
        else:
            self._release(lane, claim)
        if waits and claim is None:
            self._enqueue(lane)
            self.fill()
        self._take(rows)
        return outcome

    def look(self, lane: Lane) -> None:
        """Look into a lane again: something was put there by somebody else."""
        self._add(lane, 1)
        self._enqueue(lane)
        self.fill()

    def let_go(self, lane: Lane) -> None:
        """End the hold of a lane, if it is held."""
        if lane in self._held:
            self._held[lane].over.set()

    def emptied(self, lane: Lane, count: int) -> None:
        """Note that so many messages that waited in a lane are gone; what came meanwhile is none of them."""
        self._add(lane, -count)

    def close(self) -> None:
        """Start no more works: what waits stays in the store."""
        self._closed = True

    async def settled(self) -> None:
        """Wait until nothing runs and nothing can be started; held lanes are not waited for."""
        while self._running or ((self._ready or self._suspected) and not self._closed):
            await self._changed.wait()

    async def give_back(self) -> None:
        """Put what still runs back into its lane, its attempt not counted; to be called when it was cancelled."""
        for work in [work for work in self._running.values() if work is not None]:
            try:
                await self._store.retry(work, counted=False)
            except StoreError as error:
                self._log.error("a turn of %s:%s can't be handed back: %s", work.transport, work.chat, error)
        self._running.clear()

    def _claim(self, lane: Lane) -> Claim:
        today = date.today().isoformat()  # the owner's day
        return Claim(*lane, f"{self._life}-{next(self._turns)}", self._limits().max_batch, self._context(), today)

    def _reserve(self, lane: Lane) -> Claim | None:
        """Take a place for a lane where it is idle; gives what to claim."""
        if self._closed or not self._idle(lane) or self._ready or not self._room():
            return None
        self._running[lane] = None
        return self._claim(lane)

    def _release(self, lane: Lane, claim: Claim | None) -> None:
        if claim is not None:
            self._running.pop(lane, None)
            self._enqueue(lane)
            self.fill()
            self._notify()

    def _idle(self, lane: Lane) -> bool:
        return not (lane in self._running or lane in self._queued or lane in self._held or lane in self._suspected)

    def _room(self) -> bool:
        return self._tasks is not None and len(self._running) < self._limits().max_turns

    def _add(self, lane: Lane, count: int) -> None:
        self._total += count
        left = self._waiting.get(lane, 0) + count
        if left:
            self._waiting[lane] = left
        else:
            self._waiting.pop(lane, None)

    def _enqueue(self, lane: Lane) -> None:
        """Put a lane at the end of those that wait for a place, if there is something to do in it."""
        if self._idle(lane) and self._waiting.get(lane, 0) > 0:
            self._queued.add(lane)
            self._ready.append(lane)

    def _next(self) -> Lane | None:
        if self._closed or not self._ready:
            return None
        lane = self._ready.popleft()
        self._queued.discard(lane)
        self._running[lane] = None
        return lane

    def fill(self) -> None:
        """Start what is ready, as far as there is room; to be called when ``max_turns`` has changed."""
        while self._tasks is not None and self._room() and (lane := self._next()) is not None:
            self._tasks.start_soon(self._begin, lane)

    def _start(self, work: Work) -> None:
        assert self._tasks is not None  # noqa: S101  # nothing is claimed before it is open
        self._claimed(work)
        self._tasks.start_soon(self._carry_on, work)

    def _claimed(self, work: Work) -> None:
        lane = (work.transport, work.chat)
        self._add(lane, -len(work.rows))
        self._running[lane] = work

    async def _begin(self, lane: Lane) -> None:
        waiting = self.waiting(lane)
        work = await self._written(self._store.claim, self._claim(lane))
        if work is None:
            self.emptied(lane, waiting)
            self._over(lane)
            return
        self._claimed(work)
        await self._carry_on(work)

    async def _try_singly(self) -> None:
        """Go on with lanes whose message has one attempt left after attempts that a dying process cut short.

        One after the other, so that a message that kills the process takes no other with it.
        """
        while self._suspected and not self._closed:
            if not self._room():
                await self._changed.wait()
                continue
            lane = next(iter(self._suspected))
            del self._suspected[lane]
            self._running[lane] = None
            waiting = self.waiting(lane)
            work = await self._written(self._store.claim, self._claim(lane))
            if work is None:
                self.emptied(lane, waiting)
                self._over(lane)
                continue
            self._claimed(work)
            following = await self._conclude(work, await self._run(work))
            if following is not None and self._tasks is not None:
                self._tasks.start_soon(self._carry_on, following)

    async def _carry_on(self, work: Work | None) -> None:
        """Do a work, and then the next one that is ready, of this lane or of another."""
        while work is not None:
            work = await self._conclude(work, await self._run(work))

    async def _conclude(self, work: Work, verdict: Verdict) -> Work | None:
        lane = (work.transport, work.chat)
        if isinstance(verdict, Done):
            return await self._finish(lane, work, verdict)
        if isinstance(verdict, Again):
            rows = await self._written(self._retry, work, verdict)
            self._add(lane, len(work.rows))
            self._hold(lane, verdict)
        else:
            rows = await self._written(self._store.bury, work, verdict.cause, verdict.owed)
        self._take(rows or ())
        self._over(lane)
        return None

    async def _finish(self, lane: Lane, work: Work, verdict: Done) -> Work | None:
        """End a work and claim the next one in the same transaction."""
        following = None
        if not self._closed:
            following = self._next() or (lane if self._waiting.get(lane, 0) > 0 else None)
        claim, waiting = (self._claim(following), self.waiting(following)) if following else (None, 0)
        ended = await self._written(self._store.finish, work, verdict.ending, verdict.owed, claim)
        rows, claimed = ended if ended is not None else ((), None)
        self._take(rows)
        if claimed is not None:
            self._claimed(claimed)
        elif following is not None:
            if ended is not None:
                self.emptied(following, waiting)
            self._over(following)
        if following != lane:
            self._over(lane)
        return claimed

    async def _retry(self, work: Work, verdict: Again) -> Sequence[OwedRow]:
        return await self._store.retry(work, counted=verdict.counted, owed=verdict.owed)

    def _over(self, lane: Lane) -> None:
        """Note that nothing of a lane runs any more."""
        self._running.pop(lane, None)
        self._enqueue(lane)
        self.fill()
        self._notify()

    def _hold(self, lane: Lane, verdict: Again) -> None:
        wait = 0.0 if verdict.passed() else verdict.wait * random.uniform(0.8, 1.2)  # noqa: S311  # jitter
        hold = Hold(anyio.current_time() + wait, verdict.cause, verdict.passes_with, anyio.Event())
        self._held[lane] = hold
        assert self._tasks is not None  # noqa: S101  # nothing runs before it is open
        self._tasks.start_soon(self._let_go_later, lane, hold, wait)

    async def _let_go_later(self, lane: Lane, hold: Hold, wait: float) -> None:
        with anyio.move_on_after(wait):
            await hold.over.wait()
        del self._held[lane]
        self._enqueue(lane)
        self.fill()

    def passed(self, cause: str) -> bool:
        """Let go all lanes that are held for a cause that has passed; whether there were any."""
        lanes = [hold for hold in self._held.values() if hold.passes_with == cause]
        for hold in lanes:
            hold.over.set()
        return bool(lanes)

    async def _written(self, call: Callable[..., Awaitable[Result]], *arguments: object) -> Result | None:
        """Call the store until it works: a full disk holds up a lane, and loses nothing of it."""
        wait = _FIRST_WAIT
        while True:
            try:
                result = await call(*arguments)
            except LeaseLost as error:
                self._log.error("%s", error)
                return None
            except StoreError as error:
                self._health.failed(error)
            else:
                self._health.works()
                return result
            await anyio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311  # jitter
            wait = min(wait * 2, _LONGEST_WAIT)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
