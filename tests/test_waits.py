"""Waits between attempts grow, have a bound, and differ from chat to chat, so that not all come back at once."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path

import anyio
import pytest
import trio
from trio.testing import MockClock

from nanokimi_core import AgentError, Failure, NotSent, Outbound
from nanokimi_core.conversation.verdicts import Again, Verdict
from nanokimi_core.store import Work
from testbed.desk import Wire, delivering
from testbed.fakes import ScriptedBackend, bench, until
from testbed.floor import floor

CHATS = [f"c{number}" for number in range(4)]
FAILURES = 6
JITTER = 0.2
IDLE = 0.1  # seconds without anything to do, after which the clock jumps; the disk is faster


class Timed(Wire):
    """A network that takes nothing at first, and notes when it was tried."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, list[float]] = defaultdict(list)
        self.taken = anyio.Event()

    async def send(self, message: Outbound) -> None:
        self.at[message.chat].append(anyio.current_time())
        if len(self.at[message.chat]) <= FAILURES:
            raise NotSent("offline")
        self.sent.append(message)
        if len(self.sent) == len(CHATS):
            self.taken.set()


def test_sends_that_fail_are_tried_again_after_waits_that_double_each_chat_at_its_own_moment(tmp_path: Path) -> None:
    async def run() -> Timed:
        wire = Timed()
        async with delivering(tmp_path, wire) as desk:
            for chat in CHATS:
                await desk.owe("hello", chat)
            await wire.taken.wait()
        return wire

    wire = trio.run(run, clock=MockClock(autojump_threshold=IDLE))
    for chat in CHATS:
        waits = [later - earlier for earlier, later in itertools.pairwise(wire.at[chat])]
        for number, wait in enumerate(waits):
            assert 0.5 * 2**number * (1 - JITTER) <= wait
        assert waits[-1] <= 0.5 * 2 ** (FAILURES - 1) * (1 + JITTER) + 1
    assert len({round(times[-1], 3) for times in wire.at.values()}) == len(CHATS)


@pytest.mark.anyio
async def test_lanes_that_are_held_for_one_cause_come_back_at_different_moments(tmp_path: Path) -> None:
    async def away(work: Work) -> Verdict:
        return Again(3600, False, "away", "engine")

    async with floor(tmp_path, away) as made:
        for chat in CHATS:
            await made.say("hello", chat)
        await made.until(lambda: len(made.lanes.held) == len(CHATS))
        waits = [hold.until - anyio.current_time() for hold in made.lanes.held.values()]
        assert all(3600 * (1 - JITTER) - 60 <= wait <= 3600 * (1 + JITTER) for wait in waits)
        assert len({round(wait) for wait in waits}) > 1


@pytest.mark.anyio
async def test_a_chat_that_is_held_again_and_again_is_held_longer_up_to_a_bound_and_begins_anew(
    tmp_path: Path,
) -> None:
    away = AgentError(Failure.ENGINE, "the engine is away", remedy="start it")
    brain = ScriptedBackend(fail_to_enter=[away] * 10)
    async with bench(tmp_path, brain=brain).running() as given:
        lanes, waits = given.assistant.conversation.lanes, []
        await given.net.say("hello", "desk")
        for _ in range(9):
            await until(lambda: bool(lanes.held))
            hold = lanes.held["net", "desk"]
            waits.append(hold.until - anyio.current_time())
            lanes.let_go(("net", "desk"))
            await until(lambda hold=hold: lanes.held.get(("net", "desk")) not in (None, hold))  # type: ignore[misc]
        lanes.let_go(("net", "desk"))
        await until(lambda: len(given.net.sent) == 2)
        for number, wait in enumerate(waits):
            expected = min(5 * 2**number, 300)
            assert expected * (1 - JITTER) - 2 <= wait <= expected * (1 + JITTER), waits
        brain.fail_to_enter = [away]
        await given.assistant.conversation.pool.leave("net:desk")
        await given.net.say("hello again", "desk")
        await until(lambda: bool(lanes.held))
        assert lanes.held["net", "desk"].until - anyio.current_time() <= 5 * (1 + JITTER)
