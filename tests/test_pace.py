"""The pace of sending, on a clock that jumps: nothing here waits for time to pass."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest
import trio
from trio.testing import MockClock

from nanokimi_core import Outbound, Traits
from nanokimi_core.delivery import Route

LOG = logging.getLogger("nanokimi.test")


class Timed:
    """A network that notes when it was sent what."""

    def __init__(self, **traits: Any) -> None:
        self.traits = Traits(**traits)
        self.at: dict[str, list[float]] = defaultdict(list)

    async def run(self, inbox: object) -> None:
        raise AssertionError("it does not receive")

    async def send(self, message: Outbound) -> None:
        self.at[message.chat].append(anyio.current_time())


async def paced(wire: Timed, chats: Sequence[str]) -> dict[str, list[float]]:
    """Send to these chats, each its messages in order, and give the seconds since the first."""
    route = Route("net", wire, "net", LOG)
    route.open()

    async def drive(chat: str) -> None:
        for number in range(chats.count(chat)):
            await route.send(Outbound(f"{chat}{number}", chat, "hi"), within=5)

    start = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for chat in dict.fromkeys(chats):
            tasks.start_soon(drive, chat)
    return {chat: [round(at - start, 3) for at in times] for chat, times in wire.at.items()}


@pytest.fixture
def jumping() -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    def run(work: Callable[[], Awaitable[Any]]) -> Any:
        return trio.run(work, clock=MockClock(autojump_threshold=0))

    return run


Jumping = Callable[[Callable[[], Awaitable[Any]]], Any]


def test_all_sends_together_keep_the_networks_pace(jumping: Jumping) -> None:
    at = jumping(lambda: paced(Timed(per_minute=6), ["a", "a", "b", "c"]))
    assert sorted(time for times in at.values() for time in times) == [0, 10, 20, 30]


def test_each_chat_keeps_its_own_pace(jumping: Jumping) -> None:
    at = jumping(lambda: paced(Timed(per_minute_chat=2, concurrent_sends=True), ["a", "a", "a", "b", "b"]))
    assert at == {"a": [0, 30, 60], "b": [0, 30]}


def test_a_chat_that_waits_for_its_own_pace_takes_no_other_chats_turn(jumping: Jumping) -> None:
    wire = Timed(per_minute=6, per_minute_chat=1)
    at = jumping(lambda: paced(wire, ["a"] * 3 + [chat for chat in "bcdefgh" for _ in range(2)]))
    times = sorted(time for times in at.values() for time in times)
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(times))
    assert all(later - earlier >= 60 for each in at.values() for earlier, later in itertools.pairwise(each))
    assert times[:8] == [0, 10, 20, 30, 40, 50, 60, 70]


def test_a_burst_goes_at_once_and_a_silence_makes_up_for_it(jumping: Jumping) -> None:
    assert jumping(lambda: paced(Timed(per_minute=30, burst=4), ["a"] * 7)) == {"a": [0, 0, 0, 0, 2, 4, 6]}
    both = jumping(lambda: paced(Timed(per_minute_chat=30, burst=3, concurrent_sends=True), ["a"] * 5 + ["b"] * 4))
    assert both == {"a": [0, 0, 0, 2, 4], "b": [0, 0, 0, 2]}

    async def after_a_silence(seconds: float) -> list[float]:
        wire = Timed(per_minute=30, burst=4)
        route = Route("net", wire, "net", LOG)
        route.open()
        start = anyio.current_time()
        for number in range(8):
            if number == 4:
                await anyio.sleep(seconds)
            await route.send(Outbound(str(number), "a", "hi"), within=5)
        return [round(at - start - seconds, 3) for at in wire.at["a"][4:]]

    assert jumping(lambda: after_a_silence(8)) == [0, 0, 0, 0]
    assert jumping(lambda: after_a_silence(1000)) == [0, 0, 0, 0]
    assert jumping(lambda: after_a_silence(4)) == [0, 0, 2, 4]


def test_a_chat_can_have_another_burst_than_the_network(jumping: Jumping) -> None:
    few = Timed(per_minute=60, burst=5, per_minute_chat=6, burst_chat=2, concurrent_sends=True)
    assert jumping(lambda: paced(few, ["a"] * 3 + ["b"] * 3)) == {"a": [0, 0, 10], "b": [0, 0, 10]}
    many = Timed(per_minute=60, burst=2, per_minute_chat=6, burst_chat=4)
    assert jumping(lambda: paced(many, ["a"] * 6)) == {"a": [0, 0, 1, 2, 10, 20]}
    none = Timed(per_minute_chat=6, burst=3, burst_chat=1)
    assert jumping(lambda: paced(none, ["a"] * 3)) == {"a": [0, 10, 20]}


def test_an_unpaced_network_waits_for_nothing(jumping: Jumping) -> None:
    assert jumping(lambda: paced(Timed(), ["a"] * 20)) == {"a": [0] * 20}


def test_the_memory_of_paces_is_bounded(jumping: Jumping) -> None:
    async def many() -> int:
        route = Route("net", Timed(per_minute_chat=1), "net", LOG)
        route.open()
        for number in range(10_050):
            await route.send(Outbound(str(number), str(number), "hi"), within=5)
        return len(route._next_in)

    assert jumping(many) <= 10_000
