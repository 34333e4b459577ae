"""An assistant on the kit's scripted plugins, for the tests of the core; what they need of the kit is here too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from nanokimi_core import Spec
from nanokimi_core.config import Location, Settings
from nanokimi_core.plugins import PluginHost, installed
from nanokimi_core.runtime import Assistant
from nanokimi_core.store.sqlite import SqliteStore
from nanokimi_core.testing.account import ScriptedAuth
from nanokimi_core.testing.agent import (
    Answer,
    Gated,
    ScriptedBackend,
    ScriptedSession,
    counting,
    failing,
    joining,
    mute,
    slow,
)
from nanokimi_core.testing.counters import ARRIVED, ENDED, sums_differ
from nanokimi_core.testing.installing import plugin, providing
from nanokimi_core.testing.network import DraftingTransport, MemoryTransport

__all__ = [
    "ARRIVED",
    "ENDED",
    "Answer",
    "Bench",
    "DraftingTransport",
    "Gated",
    "MemoryTransport",
    "ScriptedAuth",
    "ScriptedBackend",
    "ScriptedSession",
    "asked",
    "bench",
    "check_sums",
    "context",
    "counting",
    "failing",
    "joining",
    "mute",
    "plugin",
    "providing",
    "slow",
    "sums_differ",
    "until",
    "until_prompted",
]


@dataclass
class Bench:
    """An assistant on scripted plugins: a transport ``net``, a backend ``brain``, an account ``purse``."""

    assistant: Assistant
    net: MemoryTransport
    brain: ScriptedBackend
    purse: ScriptedAuth

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.assistant.run)
                await self.net.connected.wait()
                yield self
                self.assistant.stop()

    @asynccontextmanager
    async def crashing(self) -> AsyncIterator[Bench]:
        """Run it, and abandon it at the end: cancelled, without a stop."""
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.assistant.run)
                await self.net.connected.wait()
                yield self
                tasks.cancel_scope.cancel()

    async def settled(self) -> None:
        """Wait until everything is answered that can be, and sent."""
        with anyio.fail_after(30):
            await self.assistant.conversation.settled()


def check_sums(folder: Path) -> None:
    """Check the counters of every store beneath a folder; nothing may have it open."""

    async def counters(path: Path) -> Mapping[str, int]:
        async with SqliteStore(path) as store:
            return await store.counters()

    for path in folder.rglob("nanokimi.db"):
        assert not sums_differ(anyio.run(counters, path))


def bench(
    folder: Path, toml: dict[str, Any] | None = None, *, net: Any = None, brain: Any = None, purse: Any = None
) -> Bench:
    """Put an assistant on scripted plugins together."""
    net, brain, purse = net or MemoryTransport(), brain or ScriptedBackend(), purse or ScriptedAuth()
    modules = {
        "net": providing(transports=[Spec("net", lambda config, context: net)]),
        "brain": providing(backends=[Spec("brain", lambda config, context: brain)]),
        "purse": providing(auths=[Spec("purse", lambda config, context: purse)]),
    }
    plain = {"transports": ["net"], "backend": "brain", "auth": "purse", "chats": {"net:*": {}}}
    settings = Settings.model_validate(plain | (toml or {}))
    host = PluginHost([*installed(), *(plugin(name, module) for name, module in modules.items())])
    assistant = Assistant(settings, Location(None, folder / "data"), host)
    assistant.prepare()
    return Bench(assistant, net, brain, purse)


def asked(given: Bench) -> list[str]:
    """Give what each turn was asked."""
    return given.brain.asked


def context(given: Bench, turn: int = -1) -> list[tuple[str, str]]:
    """Give the context of a turn, as (event, text)."""
    return [(message.event, message.text) for message in given.brain.prompts[turn][1].context]


async def until(done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(30):
        while not done():
            await anyio.sleep(0.001)


async def until_prompted(given: Bench, count: int) -> None:
    with anyio.fail_after(30):
        while len(given.brain.prompts) < count:
            await anyio.sleep(0.001)
