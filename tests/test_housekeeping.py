"""Housekeeping: leases are lengthened, and what was done long ago goes and gives its space back."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
from trio.testing import MockClock

from nanokimi_core import Inbound
from nanokimi_core.config import Limits
from nanokimi_core.housekeeping import keep_house, prune
from nanokimi_core.store import Arrival, Claim, Owed, Role, StoreError
from nanokimi_core.store.sqlite import SqliteStore
from testbed.fakes import bench, check_sums

LOG = logging.getLogger("nanokimi.test")
DAY = 86_400.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


def arrival(number: int, role: Role = Role.TURN, text: str = "hello") -> Arrival:
    return Arrival("net", Inbound(name(number), "desk", "ana", text, at=datetime.now(UTC)), role)


def name(number: int) -> str:
    """Give a long id, which stays after a message is done."""
    return f"{number}-{'x' * 200}"


@pytest.mark.anyio
async def test_what_was_done_before_the_retention_goes_and_what_is_open_stays(tmp_path: Path) -> None:
    path, now = tmp_path / "nanokimi.db", [time.time() - 40 * DAY]
    async with SqliteStore(path, clock=lambda: now[0]) as store:
        for start in range(0, 2500, 250):
            async with anyio.create_task_group() as tasks:
                for number in range(start, start + 250):
                    tasks.start_soon(store.accept, arrival(number, Role.DONE))
        await store.owe([Owed(f"k{number}", "net", "desk", "y" * 4000) for number in range(300)])
        for row in (await store.owed("net", "desk", 0, 300))[:-1]:
            store.sent(row, None)
        await store.accept(arrival(3000, text="still waits"))
        dead = await store.claim(Claim("net", "desk", "t", 1, 20, "2026-01-01"))
        assert dead is not None
        await store.bury(dead, "poison")
        await store.accept(arrival(3001, text="still waits"))
        now[0] += 39 * DAY
        await store.accept(arrival(3002, Role.DONE))
        now[0] += DAY
    size = path.stat().st_size
    async with SqliteStore(path, clock=lambda: now[0]) as store:
        assert await prune(store, 30 * DAY) == 2500 + 299
        assert not await store.known("net", "desk", name(7))
        assert await store.known("net", "desk", name(3002))
        counters = await store.counters()
        assert (counters["pending"], counters["dead"], counters["owed"], counters["command"]) == (1, 1, 1, 2501)
        assert await prune(store, 30 * DAY) == 0
    assert path.stat().st_size < size / 2


@pytest.mark.anyio
async def test_other_work_goes_on_while_much_is_removed(tmp_path: Path) -> None:
    now = [time.time() - 40 * DAY]
    async with SqliteStore(tmp_path / "nanokimi.db", clock=lambda: now[0]) as store:
        for start in range(0, 3000, 250):
            async with anyio.create_task_group() as tasks:
                for number in range(start, start + 250):
                    tasks.start_soon(store.accept, arrival(number, Role.DONE))
        now[0] = time.time()
        came: list[int] = []

        async def come() -> None:
            while not removed:
                await store.accept(arrival(5000 + len(came), Role.DONE))
                came.append(1)

        removed: list[int] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(come)
            removed.append(await prune(store, 30 * DAY))
        assert removed == [3000]
        assert len(came) >= 3


class Noting:
    """A store that notes what is asked of it, and refuses where it is told to."""

    def __init__(self, *, full: Callable[[float], bool] = lambda now: False) -> None:
        self.start = trio.current_time()
        self.full = full
        self.asked: list[tuple[str, float]] = []
        self.before: list[float] = []

    def _note(self, what: str) -> None:
        now = round(trio.current_time() - self.start)
        self.asked.append((what, now))
        if self.full(now):
            raise StoreError("the disk is full")

    async def renew(self) -> None:
        self._note("renew")

    async def prune(self, before: float) -> int:
        self._note("prune")
        self.before.append(time.time() - before)
        return 0

    async def vacuum(self) -> None:
        self._note("vacuum")

    def times(self, what: str) -> list[float]:
        return [now for asked, now in self.asked if asked == what]


def keep(seconds: float, limits: Callable[[float], Limits], **options: Any) -> Noting:
    """Keep house for so long, on a clock that jumps."""

    async def run() -> Noting:
        store = Noting(**options)
        with anyio.move_on_after(seconds):
            await keep_house(store, lambda: limits(trio.current_time() - store.start), LOG)  # type: ignore[arg-type]
        return store

    return trio.run(run, clock=MockClock(autojump_threshold=0))


def test_leases_are_lengthened_well_before_they_end_and_old_rows_looked_for_each_hour() -> None:
    store = keep(3 * 3600, lambda now: Limits())
    renewed = store.times("renew")
    assert renewed[0] <= 30
    assert all(later - earlier <= 30 for earlier, later in itertools.pairwise(renewed))
    assert store.times("prune") == [60, 3660, 7260]


def test_a_store_that_cannot_be_written_is_said_and_looked_after_again_later(caplog: pytest.LogCaptureFixture) -> None:
    store = keep(5 * 3600, lambda now: Limits(), full=lambda now: now < 3600)
    assert len(store.times("prune")) == 5
    assert store.times("renew")[-1] > 5 * 3600 - 30
    assert "the disk is full" in caplog.text


def test_another_retention_is_used_without_a_restart() -> None:
    store = keep(2 * 3600, lambda now: Limits(retention=timedelta(days=30 if now < 3600 else 7)))
    assert [round(before / DAY) for before in store.before] == [30, 7]


@pytest.mark.anyio
async def test_what_a_running_assistant_prunes_is_still_counted(tmp_path: Path) -> None:
    async with bench(tmp_path).running() as given:
        for number in range(3):
            await given.net.say(str(number))
        await given.settled()
        await anyio.sleep(0.02)
        assert await prune(given.assistant.store, 0.001) >= 4
        counters = await given.assistant.store.counters()
        assert counters["answered"] == 3
