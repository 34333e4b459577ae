"""opsdroid: a connector without a network, whose ``listen`` awaits ``parse`` as its documentation shows, and a skill.

python -m benchmarks.peers.on_opsdroid SCENARIO [--count N]
"""

from __future__ import annotations

import asyncio
import builtins
import importlib.metadata
import logging
import warnings
from typing import Any

from benchmarks.peers.ledger import Ledger, say
from benchmarks.peers.work import FailingSends, Naps, Scenario, chosen, command_line, feed

builtins._ = str  # type: ignore[attr-defined]  # opsdroid's modules want gettext's, which only its own command installs
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from opsdroid import events, matchers  # type: ignore[import-not-found]
    from opsdroid.connector import Connector, register_event  # type: ignore[import-not-found]
    from opsdroid.core import OpsDroid  # type: ignore[import-not-found]


class Network(Connector):  # type: ignore[misc]
    """Messages wait in a bounded queue, answers are noted."""

    def __init__(self, opsdroid: Any, ledger: Ledger) -> None:
        super().__init__({}, opsdroid=opsdroid)
        self.name = "network"
        self.ledger = ledger
        self.failing = FailingSends(ledger.scenario)
        self.waiting: asyncio.Queue[events.Message] = asyncio.Queue(100)

    async def connect(self) -> None:
        """Nothing to connect to."""

    async def listen(self) -> None:
        while True:
            await self.opsdroid.parse(await self.waiting.get())

    @register_event(events.Message)  # type: ignore[untyped-decorator]
    async def say(self, message: events.Message) -> None:
        if "#" in message.text:  # else it is opsdroid's own complaint of a skill that failed
            self.failing.check(message.text)
            self.ledger.leave(message.text)


def add_skills(opsdroid: Any, ledger: Ledger) -> None:
    """Register the handlers."""
    scenario, naps = ledger.scenario, Naps()

    @matchers.match_regex(r"^c\d+#")  # type: ignore[untyped-decorator]
    async def answer(opsdroid: Any, config: Any, message: Any) -> None:
        if scenario.naps:
            ledger.begin(message.target)
            await asyncio.sleep(naps.next())
            ledger.end(message.target)
        await message.respond(message.text)

    @matchers.match_always  # type: ignore[untyped-decorator]
    async def fail(opsdroid: Any, config: Any, message: Any) -> None:
        raise RuntimeError("this plugin has a fault")

    opsdroid.register_skill(answer, {"name": "answer"})
    if scenario.raises:
        opsdroid.register_skill(fail, {"name": "fail"})


async def measure(opsdroid: Any, scenario: Scenario) -> None:
    opsdroid.eventloop = asyncio.get_running_loop()
    ledger = Ledger(scenario)
    network = Network(opsdroid, ledger)
    opsdroid.connectors, opsdroid.modules = [network], {}
    add_skills(opsdroid, ledger)
    listening = asyncio.ensure_future(network.listen())

    async def push(chat: str, text: str) -> None:
        await network.waiting.put(events.Message(text=text, user="ana", target=chat, connector=network))

    await asyncio.sleep(0.05)
    ledger.start()
    feeding = asyncio.ensure_future(feed(ledger, push, event=asyncio.Event, sleep=asyncio.sleep))
    await asyncio.wait({feeding, listening}, return_when=asyncio.FIRST_COMPLETED)  # the latter ends only by a fault
    say(ledger.result(version=importlib.metadata.version("opsdroid"), listens=not listening.done()))
    feeding.cancel()
    listening.cancel()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with OpsDroid(config={}) as droid:
        droid.eventloop.run_until_complete(measure(droid, chosen(command_line().parse_args())))
