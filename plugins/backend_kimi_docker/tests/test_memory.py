"""How many containers fit. Needs no engine, but for the one that asks it."""

from __future__ import annotations

import pytest

from nanokimi_backend_kimi_docker.engine import Engine
from nanokimi_backend_kimi_docker.memory import count, fits, room

GIB = 2**30
MEMINFO = "MemTotal:       8388608 kB\nMemFree:         100000 kB\nMemAvailable:   {} kB\nHugePages_Total:       0\n"


def meminfo(available: float) -> str:
    return MEMINFO.format(int(available * GIB / 1024))


def test_each_further_container_must_find_its_whole_limit_free() -> None:
    assert count(8 * GIB, GIB, 0, meminfo(4.5)) == 4
    assert count(8 * GIB, GIB, 0, meminfo(4.2)) == 3
    assert count(8 * GIB, GIB // 2, 0, meminfo(4.5)) == 8


def test_the_running_ones_count_as_what_they_take_now() -> None:
    assert count(8 * GIB, GIB, 5, meminfo(2.5)) == 7


def test_when_memory_runs_short_there_is_room_for_fewer_than_run() -> None:
    assert count(8 * GIB, GIB, 3, meminfo(0.1)) == 2
    assert count(8 * GIB, GIB, 0, meminfo(0.1)) == 0


def test_an_engine_with_a_machine_of_its_own_is_asked_for_its_memory_alone() -> None:
    assert count(4 * GIB, GIB, 1, meminfo(6)) == 3
    assert count(4 * GIB, GIB, 1, "") == 3


@pytest.mark.engine
@pytest.mark.anyio
async def test_a_real_engine_has_room_for_at_least_one() -> None:
    engine = Engine()
    try:
        assert await room(engine, 2**50, 0) == 1
        assert await fits(engine, 2**50) == 0
        assert await room(engine, 2**20, 0) > 1
    finally:
        engine.close()
