"""Lanes over a real store, whose works are scripted."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio

from nanokimi_core import Inbound
from nanokimi_core.config import Limits
from nanokimi_core.conversation.lanes import Lanes
from nanokimi_core.conversation.verdicts import Again, Done, Verdict
from nanokimi_core.store import Arrival, Ending, Health, Outcome, Role, Work
from nanokimi_core.store.sqlite import SqliteStore
from testbed.fakes import sums_differ

LOG = logging.getLogger("nanokimi.test")
ANSWERED = Done(Ending.ANSWERED)
Script = Callable[[Work], Awaitable[Verdict]]


async def answer(work: Work) -> Verdict:
    return ANSWERED


class Floor:
    """Lanes over a real store; what they do is scripted, and what they must never do is noted."""

    def __init__(self, store: SqliteStore, script: Script, limits: dict[str, Any]) -> None:
        self.store = store
        self.script = script
        self.limits = Limits.model_validate(limits)
        self.begun: list[Work] = []
        self.now: Counter[str] = Counter()
        self.most = self.most_in_a_chat = 0
        self.ended: dict[str, list[str]] = defaultdict(list)
        self.lanes = Lanes(
            store,
            lambda: self.limits,
            context=lambda: 20,
            run=self._run,
            take=lambda rows: None,
            health=Health(LOG),
            log=LOG,
        )

    async def _run(self, work: Work) -> Verdict:
        self.begun.append(work)
        self.now[work.chat] += 1
        self.most = max(self.most, self.now.total())
        self.most_in_a_chat = max(self.most_in_a_chat, self.now[work.chat])
        try:
            verdict = await self.script(work)
        finally:
            self.now[work.chat] -= 1
        if not isinstance(verdict, Again):
            self.ended[work.chat].extend(row.message.text for row in work.rows)
        return verdict

    async def say(self, text: str, chat: str = "a", *, role: Role = Role.TURN, **more: Any) -> Outcome:
        message = Inbound(more.pop("number", f"{chat}-{text}"), chat, "ana", text, at=datetime.now(UTC), **more)
        return await self.lanes.accept(Arrival("net", message, role))

    async def until(self, done: Callable[[], bool]) -> None:
        with anyio.fail_after(30):
            while not done():
                await anyio.sleep(0.001)

    def texts(self) -> list[str]:
        return ["+".join(row.message.text for row in work.rows) for work in self.begun]


@asynccontextmanager
async def floor(
    folder: Path, script: Script = answer, store: type[SqliteStore] = SqliteStore, **limits: Any
) -> AsyncIterator[Floor]:
    """Open lanes, and abandon what runs at the end."""
    async with store(folder / "nanokimi.db") as opened, anyio.create_task_group() as tasks:
        made = Floor(opened, script, limits)
        await made.lanes.open(tasks)
        yield made
        counters = await opened.counters()
        tasks.cancel_scope.cancel()
    assert not sums_differ(counters)


class Gate:
    """A script that lets works through one by one."""

    def __init__(self) -> None:
        self.open = anyio.Event()
        self.held: dict[str, anyio.Event] = {}

    async def __call__(self, work: Work) -> Verdict:
        if not self.open.is_set():
            event = self.held[work.chat] = anyio.Event()
            await event.wait()
        return ANSWERED

    def let(self, chat: str) -> None:
        self.held.pop(chat).set()

    def let_all(self) -> None:
        self.open.set()
        for chat in list(self.held):
            self.let(chat)


def replace_limits(limits: Limits, **changed: Any) -> Limits:
    return Limits.model_validate(limits.model_dump() | changed)
