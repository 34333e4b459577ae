"""Whoever opens the store, or starts an assistant, may be cancelled at any moment of that: it ends all the same."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from nanokimi_core.store.sqlite import SqliteStore
from testbed.fakes import bench, check_sums

pytestmark = pytest.mark.anyio

MOMENTS = [(points, 0.0) for points in range(40)] + [(0, each / 2000) for each in range(1, 21)]
"""Scheduling points that it has come past, or seconds after it began."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def cancelled_at(moment: tuple[int, float], work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    points, seconds = moment
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            for _ in range(points):
                await anyio.lowlevel.checkpoint()
            if seconds:
                await anyio.sleep(seconds)
            tasks.cancel_scope.cancel()


async def test_a_store_whose_opening_is_cancelled_closes_and_can_be_opened_again(tmp_path: Path) -> None:
    async def use() -> None:
        async with SqliteStore(tmp_path / "nanokimi.db"):
            await anyio.sleep_forever()

    for moment in MOMENTS:
        await cancelled_at(moment, use)
    async with SqliteStore(tmp_path / "nanokimi.db") as store:
        assert (await store.counters())["received"] == 0


async def test_an_assistant_whose_start_is_cancelled_ends(tmp_path: Path) -> None:
    for number, moment in enumerate(MOMENTS[::4]):
        await cancelled_at(moment, bench(tmp_path / str(number)).assistant.run)
    await anyio.to_thread.run_sync(check_sums, tmp_path)
