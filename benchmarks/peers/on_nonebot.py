"""nonebot2: an adapter without a network, its ``none`` driver, one matcher that echoes.

    python -m benchmarks.peers.on_nonebot SCENARIO [--count N]

Events are fed as nonebot2's adapters do it: a task of the driver's group for each, without a bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import nonebot  # type: ignore[import-not-found]
from benchmarks.peers.ledger import Ledger, say
from benchmarks.peers.work import FailingSends, Naps, Scenario, chosen, command_line, feed
from nonebot import adapters
from nonebot.message import handle_event  # type: ignore[import-not-found]


class Piece(adapters.MessageSegment):  # type: ignore[misc]
    """A piece of text, the only kind there is."""

    @classmethod
    def get_message_class(cls) -> type[Written]:
        return Written

    def is_text(self) -> bool:
        return True

    def __str__(self) -> str:
        return str(self.data["text"])


class Written(adapters.Message):  # type: ignore[misc]
    """A message of such pieces."""

    @classmethod
    def get_segment_class(cls) -> type[Piece]:
        return Piece

    @staticmethod
    def _construct(msg: str) -> Iterator[Piece]:
        yield Piece("text", {"text": msg})


class Said(adapters.Event):  # type: ignore[misc]
    """Somebody said something in a chat."""

    chat: str
    text: str

    def get_type(self) -> str:
        return "message"

    def get_event_name(self) -> str:
        return "message.said"

    def get_event_description(self) -> str:
        return self.text

    def get_user_id(self) -> str:
        return "ana"

    def get_session_id(self) -> str:
        return self.chat

    def get_message(self) -> Written:
        return Written(self.text)

    def is_tome(self) -> bool:
        return True


class Robot(adapters.Bot):  # type: ignore[misc]
    """Answers through its adapter's only call."""

    async def send(self, event: Said, message: Any, **more: Any) -> Any:
        return await self.call_api("say", text=str(message))


class Network(adapters.Adapter):  # type: ignore[misc]
    """Notes what is sent."""

    ledger: Ledger
    failing: FailingSends

    @classmethod
    def get_name(cls) -> str:
        return "network"

    async def _call_api(self, bot: Robot, api: str, **data: Any) -> None:
        self.failing.check(data["text"])
        self.ledger.leave(data["text"])


def add_matchers(scenario: Scenario, ledger: Ledger) -> None:
    """Register the handlers."""
    naps = Naps()
    echo = nonebot.on_message(priority=5, block=False)

    @echo.handle()  # type: ignore[untyped-decorator]
    async def answer(event: adapters.Event) -> None:
        if scenario.naps:
            ledger.begin(event.chat)
            await anyio.sleep(naps.next())
            ledger.end(event.chat)
        await echo.send(event.text)

    if scenario.raises:
        raising = nonebot.on_message(priority=1, block=False)

        @raising.handle()  # type: ignore[untyped-decorator]
        async def fail() -> None:
            raise RuntimeError("this plugin has a fault")


async def measure(scenario: Scenario) -> None:
    driver = nonebot.get_driver()
    driver.register_adapter(Network)
    network = nonebot.get_adapter(Network)
    ledger = network.ledger = Ledger(scenario)
    network.failing = FailingSends(scenario)
    robot = Robot(network, "robot")
    add_matchers(scenario, ledger)

    async def push(chat: str, text: str) -> None:
        driver.task_group.start_soon(handle_event, robot, Said(chat=chat, text=text))
        if scenario.feed == "open":
            await anyio.lowlevel.checkpoint()

    async with driver._lifespan:
        network.bot_connect(robot)
        await anyio.sleep(0.05)
        ledger.start()
        await feed(ledger, push, event=anyio.Event, sleep=anyio.sleep)
        say(ledger.result(version=nonebot.__version__))


if __name__ == "__main__":
    nonebot.init(driver="~none", log_level="ERROR")
    anyio.run(measure, chosen(command_line().parse_args()))
