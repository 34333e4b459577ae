"""A delivery over a real store, and a network that does as it is told."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio

from nanokimi_core import NotSent, Outbound, Receipt, Traits
from nanokimi_core.config import Limits
from nanokimi_core.delivery import Delivery, Route
from nanokimi_core.store import Health, OwedRow
from nanokimi_core.store.sqlite import SqliteStore

LONG = timedelta(hours=1)
LOG = logging.getLogger("nanokimi.test")
Fault = Callable[[], Awaitable[None]]


class Wire:
    """A network that fails as it is told, by what is sent, and notes every attempt."""

    def __init__(self, **traits: Any) -> None:
        self.traits = Traits(**traits)
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.before: Callable[[Outbound], Awaitable[None]] | None = None
        self.attempts: list[Outbound] = []
        self.sent: list[Outbound] = []
        self.now = self.most = 0

    async def run(self, inbox: object) -> None:
        raise AssertionError("delivery does not receive")

    async def send(self, message: Outbound) -> Receipt | None:
        self.attempts.append(message)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.before is not None:
                await self.before(message)
            if self.faults[message.text]:
                await self.faults[message.text].pop(0)()
            self.sent.append(message)
            return None
        finally:
            self.now -= 1

    def texts(self, chat: str = "desk") -> list[str]:
        return [message.text for message in self.sent if message.chat == chat]


def raising(error: BaseException) -> Fault:
    async def fault() -> None:
        raise error

    return fault


async def cancelling() -> None:
    """Raise a cancellation that nobody asked for."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            kept = error
            raise
    raise kept


AWAY = raising(NotSent("offline"))
AWAY_LONG = raising(NotSent("offline", retry_after=LONG))
CUT = raising(OSError("cut"))
FAULTS: dict[str, Fault] = {
    "not sent": AWAY,
    "not sent, with a time": raising(NotSent("wait", retry_after=timedelta(seconds=0.01))),
    "unknown": CUT,
    "a bug": raising(KeyError("bug")),
    "an exit": raising(SystemExit(3)),
    "a cancellation that nobody asked for": cancelling,
}


@dataclass
class Desk:
    """A delivery with its store, and one route ``net``."""

    store: SqliteStore
    delivery: Delivery
    route: Route
    lost: list[tuple[str, str]]

    async def owe(self, text: str, chat: str = "desk", key: str | None = None) -> Sequence[OwedRow]:
        owed = self.delivery.prepare("net", chat, text, key=key or f"{chat}-{text}")
        rows = await self.store.owe(owed)
        self.delivery.take(rows)
        return rows

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait, with whatever waits to be tried again being tried at once."""
        with anyio.fail_after(30):
            while not done():
                if self.route.connected:
                    self.route.open()
                await anyio.sleep(0.002)


@asynccontextmanager
async def delivering(folder: Path, wire: Wire, *, ready: bool = True, **limits: Any) -> AsyncIterator[Desk]:
    lost: list[tuple[str, str]] = []

    async def lose(row: OwedRow, cause: str) -> None:
        lost.append((row.owed.text, cause))
        await store.give_up(row, cause)

    async with SqliteStore(folder / "nanokimi.db") as store, anyio.create_task_group() as tasks:
        settings = Limits.model_validate(limits)
        delivery = Delivery(store, lambda: settings, health=Health(LOG), lost=lose, log=LOG)
        await tasks.start(delivery.run)
        route = Route("net", wire, "net", LOG)
        await delivery.add(route)
        if ready:
            route.open()
        yield Desk(store, delivery, route, lost)
        tasks.cancel_scope.cancel()
