"""A delivery that its transport gives up in the middle, as when a line is cut, leaves nothing that nobody knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import Inbox
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.errors import NotAccepted
from testbed.fakes import Bench, MemoryTransport, ScriptedBackend, asked, bench, check_sums, joining, until

pytestmark = pytest.mark.anyio

STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


async def cut_after(given: Bench, steps: int, text: str, chat: str) -> None:
    """Deliver a message, cancelled after so many rounds of the loop, and then once more, as a network does."""
    async with anyio.create_task_group() as line:
        line.start_soon(given.net.say, text, chat, "1")
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        line.cancel_scope.cancel()
    await given.net.say(text, chat, "1")


async def test_a_message_whose_delivery_was_cut_anywhere_is_answered_once_and_without_another_one(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        for steps in STEPS:
            await cut_after(given, steps, f"after {steps}", f"c{steps}")
        await given.net.until_sent(len(STEPS))
        await given.settled()
        assert sorted(asked(given)) == sorted(f"after {steps}" for steps in STEPS)
        assert given.assistant.conversation.lanes.total == 0


async def test_a_busy_chats_messages_whose_deliveries_were_cut_anywhere_leave_none_behind(tmp_path: Path) -> None:
    toml = {"limits": {"max_batch": 1}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(joining)).running() as given:
        for number, steps in enumerate(STEPS * 3):
            async with anyio.create_task_group() as line:
                line.start_soon(given.net.say, str(number), "desk", f"n{number}")
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                line.cancel_scope.cancel()
            await given.net.say(str(number), "desk", f"n{number}")
        await given.net.until_sent(len(STEPS) * 3)
        assert asked(given) == [str(number) for number in range(len(STEPS) * 3)]


async def test_the_answer_to_a_command_whose_delivery_was_cut_anywhere_is_sent(tmp_path: Path) -> None:
    async with bench(tmp_path).running() as given:
        for steps in STEPS:
            await cut_after(given, steps, "/help", f"c{steps}")
        assert await given.net.until_sent(len(STEPS)) == [phrase("en", "help")] * len(STEPS)


async def test_a_run_that_is_over_can_neither_deliver_nor_open_the_way_out(tmp_path: Path) -> None:
    class Shaky(MemoryTransport):
        """Loses its line once, and connects again only when it is told to."""

        def __init__(self) -> None:
            super().__init__()
            self.lost, self.back = anyio.Event(), anyio.Event()

        async def run(self, inbox: Inbox) -> None:
            self.runs += 1
            if self.runs == 1:
                self.inbox = inbox
                inbox.ready()
                self.connected.set()
                await self.lost.wait()
                raise OSError("the line is cut")
            self.newer = inbox
            await self.back.wait()
            inbox.ready()
            await anyio.sleep_forever()

    net = Shaky()
    async with bench(tmp_path, net=net, brain=ScriptedBackend(joining)).running() as given:
        await net.say("before", number="1")
        await net.until_sent(1)
        net.lost.set()
        await until(lambda: net.runs == 2)
        route = given.assistant.conversation.delivery.route("net")
        assert route is not None
        with pytest.raises(NotAccepted, match="an earlier run"):
            await net.say("too late", number="2")
        assert net.inbox is not None
        net.inbox.ready()
        assert not route.connected
        net.inbox = net.newer
        await net.say("too late", number="2")
        await until(lambda: len(given.brain.prompts) == 2)
        assert net.texts("desk") == ["before"]
        net.back.set()
        assert await net.until_sent(2) == ["before", "too late"]
