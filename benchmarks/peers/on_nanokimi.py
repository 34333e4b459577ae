"""NanoKimi itself: its runtime as ``nanokimi run`` has it, a transport without a network, a backend that echoes.

    python -m benchmarks.peers.on_nanokimi SCENARIO [--count N] [--single] [--known N]

As shipped, several messages that wait in one chat become one turn, whose answer here holds the text of each. With
``--single`` every message is a turn of its own, and every chat may have its turn at once, as in the bare loop.
"""

from __future__ import annotations

import argparse
import logging
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
from benchmarks.peers.ledger import Ledger, say
from benchmarks.peers.work import FailingSends, Naps, Scenario, by_chat, chosen, command_line, feed, pour, until

from nanokimi_core import AgentEvent, Chat, Inbound, Inbox, Outbound, Receipt, Session, Spec, Text, Turn, hookimpl
from nanokimi_core.config import Location, Settings
from nanokimi_core.logs import set_up
from nanokimi_core.plugins import Plugin, PluginHost
from nanokimi_core.runtime import Assistant

ROOM = 200  # conversations that the backend keeps open


class Network:
    """A chat network without a network."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.connected = anyio.Event()
        self.greeted = 0
        self._failing = FailingSends(ledger.scenario)
        self._inbox: Inbox | None = None

    async def run(self, inbox: Inbox) -> None:
        inbox.ready()
        self._inbox = inbox
        self.connected.set()
        await anyio.sleep_forever()

    async def deliver(self, chat: str, text: str) -> None:
        """Hand a message to the assistant; returns when it has taken it."""
        assert self._inbox is not None
        await self._inbox.deliver(Inbound(text, chat, "ana", text))

    async def send(self, message: Outbound) -> Receipt | None:
        if message.text == "hello":
            self.greeted += 1
            return None
        self._failing.check(message.text)
        self.ledger.leave(message.text)
        return None


class FaultyNetwork(Network):
    """The same, with a fault in something that is called at every message."""

    async def typing(self, chat: str, on: bool) -> None:
        raise RuntimeError("this plugin has a fault")


class Broken:
    """Another network, which always breaks down."""

    async def run(self, inbox: Inbox) -> None:
        raise RuntimeError("this plugin has a fault")

    async def send(self, message: Outbound) -> Receipt | None:
        raise RuntimeError("this plugin has a fault")


class Echo:
    """A backend and its sessions: says what was said."""

    def __init__(self, ledger: Ledger) -> None:
        self.turns = 0
        self._ledger = ledger
        self._naps = Naps() if ledger.scenario.naps else None

    async def room(self) -> int:
        return ROOM

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        yield self

    async def forget(self, chat: Chat) -> None:
        """There is no conversation."""

    async def cancel(self) -> None:
        """Nothing takes long."""

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.turns += 1
        if self._naps:
            chat = turn.messages[0].chat
            self._ledger.begin(chat)
            await anyio.sleep(self._naps.next())
            self._ledger.end(chat)
        yield Text("\n".join(message.text for message in turn.messages))


def module(kind: str, **made: Any) -> ModuleType:
    """Make a plugin's module that provides these objects under these names."""

    def hook() -> list[Spec[Any]]:
        return [Spec(name, partial(_given, value)) for name, value in made.items()]

    hook.__name__ = f"nanokimi_{kind}s"
    plugin = ModuleType("part_of_a_benchmark")
    setattr(plugin, hook.__name__, hookimpl(hook))
    return plugin


def _given(value: Any, *_: Any) -> Any:
    return value


def toml(scenario: Scenario, *, single: bool, known: int | None) -> dict[str, Any]:
    """Give the settings: as shipped, but with queues that are long enough for the burst: nothing is to be refused."""
    limits: dict[str, Any] = {"max_waiting": scenario.count, "max_waiting_all": scenario.count}
    if single:
        limits |= {"max_batch": 1, "max_turns": scenario.chats}
    return {
        "transports": ["net", "broken"] if scenario.raises else ["net"],
        "backend": "echoing",
        "limits": limits,
        "chats": {"net:*": {}} if known is None else {f"net:c{number}": {} for number in range(known)},
    }


def assemble(network: Network, backend: Echo, settings: dict[str, Any], folder: Path) -> Assistant:
    """Put the assistant together."""
    modules = {
        "net": module("transport", net=network),
        "broken": module("transport", broken=Broken()),
        "echoing": module("backend", echoing=backend),
    }
    plugins = [Plugin(name, "benchmark", "1", partial(_given, value)) for name, value in modules.items()]
    assistant = Assistant(Settings.model_validate(settings), Location(None, folder), PluginHost(plugins))
    assistant.prepare()
    return assistant


async def greet(network: Network, known: int) -> None:
    """Have every known chat say something once, so that the assistant has them in its books."""
    for number in range(known):
        await network.deliver(f"c{number}", "hello")
    await until(lambda: network.greeted >= known, anyio.sleep)


async def feed_all(ledger: Ledger, network: Network) -> None:
    if ledger.scenario.feed == "open":
        async with anyio.create_task_group() as feeders:
            for stream in by_chat(ledger.scenario):
                feeders.start_soon(pour, ledger, network.deliver, stream)
            await until(lambda: ledger.over, anyio.sleep)
            feeders.cancel_scope.cancel()
    else:
        await feed(ledger, network.deliver, event=anyio.Event, sleep=anyio.sleep)


async def measure(scenario: Scenario, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    ledger = Ledger(scenario)
    network = (FaultyNetwork if scenario.raises else Network)(ledger)
    backend = Echo(ledger)
    assistant = assemble(network, backend, toml(scenario, single=options.single, known=options.known), folder)
    with assistant.folder.hold():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(assistant.run)
            with anyio.fail_after(10):
                await network.connected.wait()
            if options.known:
                await greet(network, options.known)
            ledger.start()
            backend.turns = 0
            await feed_all(ledger, network)
            result = ledger.result(turns=backend.turns, known=options.known)
            assistant.stop()
    return result


def kept(folder: Path) -> dict[str, Any]:
    """Count the rows in the assistant's books, for each table; nothing where it keeps none."""
    counts: dict[str, Any] = {}
    for file in sorted(folder.rglob("*.db")):
        with closing(sqlite3.connect(file)) as db:
            tables = [str(row[0]) for row in db.execute("select name from sqlite_master where type = 'table'")]
            counts |= {name: db.execute(f'select count(*) from "{name}"').fetchone()[0] for name in tables}  # noqa: S608
    return counts


def main() -> None:
    parser = command_line()
    parser.add_argument("--single", action="store_true", help="a turn for each message, and one for each chat at once")
    parser.add_argument("--known", type=int, help="as many chats in the toml and in the books (default: a pattern)")
    options = parser.parse_args()
    set_up(logging.INFO)
    with tempfile.TemporaryDirectory() as place:
        result = anyio.run(measure, chosen(options), options, Path(place))
        say({**result, "rows": kept(Path(place))})


if __name__ == "__main__":
    main()
