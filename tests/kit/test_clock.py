"""The fake clock: times pass at once, in order, and with them the core's waits of all kinds."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import anyio.to_thread
import pytest

from nanokimi_core import AgentError, Failure, Inbox, NotSent, Outbound, Receipt, Traits
from nanokimi_core.testing import (
    Bot,
    DraftingTransport,
    FakeClock,
    MemoryTransport,
    ScriptedBackend,
    counting,
    failing,
    script,
)

pytestmark = pytest.mark.anyio

MakeBot = Callable[..., Bot]
HOUR = 3600.0
QUARTER = 900.0
NO_TIME = 60.0
"""Seconds that an hour takes at most on a slow machine."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest, nanokimi_clock: FakeClock) -> tuple[str, dict[str, Any]]:
    return nanokimi_clock.backend(request.param)


# --------------------------------------------------------------------- the clock itself
async def test_timers_come_in_order_and_only_those_that_are_due(nanokimi_clock: FakeClock) -> None:
    rang: list[str] = []

    async def ring(name: str, every: float) -> None:
        while True:
            await anyio.sleep(every)
            rang.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ring, "a", 1000)
        tasks.start_soon(ring, "b", 700)
        await nanokimi_clock.advance(2500)
        assert rang == ["b", "a", "b", "a", "b"]
        await nanokimi_clock.advance(200)
        assert rang == ["b", "a", "b", "a", "b"]
        await nanokimi_clock.advance(150)
        assert rang == ["b", "a", "b", "a", "b", "b"]
        tasks.cancel_scope.cancel()


async def test_an_hour_of_ticks_takes_no_time(nanokimi_clock: FakeClock) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(1)
            ticks += 1

    began, before = time.monotonic(), anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        await nanokimi_clock.advance(HOUR)
        tasks.cancel_scope.cancel()
    assert HOUR - NO_TIME <= ticks <= HOUR
    assert anyio.current_time() - before >= HOUR
    assert time.monotonic() - began < NO_TIME


async def test_a_deadline_is_met_by_advancing(nanokimi_clock: FakeClock) -> None:
    over: list[bool] = []

    async def wait() -> None:
        with anyio.move_on_after(HOUR) as limit:
            await anyio.sleep_forever()
        over.append(limit.cancelled_caught)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await nanokimi_clock.advance(HOUR - NO_TIME)
        assert not over
        await nanokimi_clock.advance(2 * NO_TIME)
        assert over == [True]


async def test_thousands_of_deadlines_that_were_not_needed_hide_no_timer(nanokimi_clock: FakeClock) -> None:
    rang: list[str] = []

    async def ring() -> None:
        await anyio.sleep(1000)
        rang.append("rung")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ring)
        for _ in range(3000):
            with anyio.move_on_after(HOUR):
                await anyio.lowlevel.checkpoint()
        await nanokimi_clock.advance(900)
        assert rang == []
        await nanokimi_clock.advance(200)
        assert rang == ["rung"]


async def test_what_a_thread_is_at_is_waited_for_before_the_next_timer(nanokimi_clock: FakeClock) -> None:
    done: list[str] = []

    async def work() -> None:
        await anyio.sleep(1000)
        await anyio.to_thread.run_sync(time.sleep, 0.1)
        done.append("thread")

    async def ring() -> None:
        await anyio.sleep(1001)
        done.append("timer")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        tasks.start_soon(ring)
        await nanokimi_clock.advance(2000)
        assert done == ["thread", "timer"]


async def test_settling_makes_nothing_due(nanokimi_clock: FakeClock) -> None:
    steps: list[int] = []

    async def work() -> None:
        for step in range(50):
            await anyio.lowlevel.checkpoint()
            steps.append(step)
        await anyio.sleep(HOUR)
        steps.append(-1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await nanokimi_clock.settle()
        assert steps == list(range(50))
        assert nanokimi_clock.offset == 0
        tasks.cancel_scope.cancel()


async def test_a_clock_that_nothing_runs_on_says_how_to_use_it() -> None:
    with pytest.raises(RuntimeError, match="doesn't run on this FakeClock: let the fixture anyio_backend return"):
        await FakeClock().advance(1)


# --------------------------------------------------------------------- a bot on it
class Shaky(MemoryTransport):
    """Fails to connect four times."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    async def run(self, inbox: Inbox) -> None:
        self.at.append(anyio.current_time())
        if len(self.at) < 5:
            raise OSError("nobody there")
        await super().run(inbox)


async def test_a_back_off_passes_at_once(nanokimi_bot: MakeBot, nanokimi_clock: FakeClock) -> None:
    async with nanokimi_bot(transport=Shaky(), ready=None) as bot:
        await nanokimi_clock.advance(60)
        waits = [later - earlier for earlier, later in zip(bot.transport.at, bot.transport.at[1:], strict=False)]
        assert len(waits) == 4
        for least, wait in zip((0.5, 1, 2, 4), waits, strict=True):
            assert least <= wait
        await bot.says("hello")
        assert (await bot.answer()).text == "1: hello"


async def test_a_hold_passes_at_once_and_not_before_its_time(nanokimi_bot: MakeBot, nanokimi_clock: FakeClock) -> None:
    busy = AgentError(Failure.RATE_LIMIT, "too many requests", retry_after=timedelta(minutes=30))
    async with nanokimi_bot(backend=failing(busy)) as bot:
        await bot.says("hello")
        await bot.settled()
        told = len(bot.chat().unread)
        await nanokimi_clock.advance(1200)
        assert len(bot.backend.prompts) == 1
        await nanokimi_clock.advance(1200)
        await bot.settled()
        assert [message.text for message in bot.chat().unread][told:] == ["fine"]


async def test_an_unused_session_is_left_after_its_time(nanokimi_bot: MakeBot, nanokimi_clock: FakeClock) -> None:
    async with nanokimi_bot(toml={"limits": {"idle_timeout": "15m"}}) as bot:
        await bot.says("hello")
        await bot.answer()
        await bot.settled()
        await nanokimi_clock.advance(QUARTER - NO_TIME)
        assert bot.backend.up == 1
        await nanokimi_clock.advance(2 * NO_TIME)
        assert bot.backend.up == 0


class Timed(MemoryTransport):
    """Notes when it is asked to send."""

    def __init__(self, traits: Traits) -> None:
        super().__init__(traits=traits)
        self.at: list[float] = []

    async def send(self, message: Outbound) -> Receipt | None:
        self.at.append(anyio.current_time())
        return await super().send(message)


async def test_the_pace_of_a_network_is_kept_without_waiting(nanokimi_bot: MakeBot, nanokimi_clock: FakeClock) -> None:
    long = "\n\n".join(letter * 50 for letter in "abcdef")
    net = Timed(Traits(max_text=60, per_minute=1))
    async with nanokimi_bot(transport=net, backend=ScriptedBackend(script(long))) as bot:
        await bot.says("tell me")
        await nanokimi_clock.advance(150)
        assert len(bot.chat().shown) == 3
        await nanokimi_clock.advance(300)
        assert [text[0] for text in bot.chat().shown] == list("abcdef")
        assert all(later - earlier >= 59.9 for earlier, later in zip(net.at, net.at[1:], strict=False))


async def test_a_send_is_tried_again_when_the_network_said(nanokimi_bot: MakeBot, nanokimi_clock: FakeClock) -> None:
    async with nanokimi_bot() as bot:
        bot.network.fail_next(NotSent("flooding", retry_after=timedelta(minutes=20)))
        await bot.says("hello")
        await bot.settled()
        await nanokimi_clock.advance(QUARTER)
        assert bot.chat().shown == []
        await nanokimi_clock.advance(QUARTER)
        assert bot.chat().shown == ["1: hello"]


async def test_a_silent_agent_is_given_up_after_its_time(nanokimi_bot: MakeBot, nanokimi_clock: FakeClock) -> None:
    brain = ScriptedBackend(script([timedelta(hours=2), "too late"], then=counting))
    async with nanokimi_bot(backend=brain, toml={"limits": {"turn_silence": "10m"}}) as bot:
        await bot.says("hello")
        await nanokimi_clock.advance(500)
        assert len(brain.prompts) == 1
        await nanokimi_clock.advance(500)
        await bot.settled()
        assert len(brain.prompts) == 2
        assert bot.chat().shown[-1] == "1: hello"


async def test_typing_is_shown_for_as_long_as_a_turn_takes(nanokimi_bot: MakeBot, nanokimi_clock: FakeClock) -> None:
    brain = ScriptedBackend(script([timedelta(seconds=100), "done"]))
    async with nanokimi_bot(transport=DraftingTransport(), backend=brain) as bot:
        await bot.says("work")
        await nanokimi_clock.advance(50)
        assert bot.network.typing == {"desk"}
        assert len(bot.transport.typed) >= 5
        await nanokimi_clock.advance(60)
        assert (await bot.answer()).text == "done"
        await bot.settled()
        await nanokimi_clock.settle()
        assert bot.network.typing == set()
