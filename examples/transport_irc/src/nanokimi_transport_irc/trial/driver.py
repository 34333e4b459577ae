"""The transport as the core drives it: its run, started again when it fails, and what it delivers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from nanokimi_core import Inbound, NanoKimiError, NotAccepted, Outbound
from nanokimi_core.testing import ScriptedContext
from nanokimi_transport_irc.settings import Settings
from nanokimi_transport_irc.transport import Irc

_SECONDS = 60
_AGAIN = 0.05
_TICK = 0.01


class Driver:
    """An inbox, and the transport that delivers into it.

    Args:
        table: Of the toml, over what tests want: no encryption, no pace, short waits.
        folder: The instance's.

    Attributes:
        irc: The transport.
        context: What it was made with.
        delivered: What came, each kept.
        readies: How often it was connected.
        errors: What its runs have raised.
        refusing: Nothing can be kept.
        held: While it is not set, nothing is kept yet.
    """

    def __init__(self, table: dict[str, Any], folder: Path) -> None:
        quick = {"server": "127.0.0.1", "tls": False, "nick": "Kai", "per_minute": 6000, "burst": 100}
        settings = Settings.model_validate({**quick, "patience": 10, "retry": 0.2, **table})
        self.context = ScriptedContext(folder)
        self.irc = Irc(settings, self.context)
        self.delivered: list[Inbound] = []
        self.readies = 0
        self.errors: list[Exception] = []
        self.refusing = False
        self.held: anyio.Event | None = None
        self._sent = 0

    def ready(self) -> None:
        """Note that it is connected."""
        self.readies += 1

    def away(self) -> None:
        """Take note of nothing."""

    async def deliver(self, message: Inbound) -> None:
        """Keep a message.

        Raises:
            NotAccepted: Nothing can be kept.
        """
        await anyio.lowlevel.checkpoint()
        if self.refusing:
            raise NotAccepted("the disk is full")
        if self.held is not None:
            await self.held.wait()
        self.delivered.append(message)

    def sent(self, key: str, network_id: str) -> None:
        """Take note of nothing."""

    def typing(self, chat: str) -> None:
        """Take note of nothing."""

    async def say(self, chat: str, text: str, key: str = "") -> None:
        """Send something, under a key of its own."""
        self._sent += 1
        await self.irc.send(Outbound(key or f"key{self._sent}", chat, text))

    @property
    def texts(self) -> list[str]:
        """What was said."""
        return [message.text for message in self.delivered]

    async def until(self, reached: Callable[[], object], what: str) -> None:
        """Wait until something is so."""
        with anyio.move_on_after(_SECONDS):
            while not reached():  # noqa: ASYNC110  # what is waited for has no event
                await anyio.sleep(_TICK)
            return
        raise AssertionError(f"not within {_SECONDS} s: {what}; {self.texts[-9:]}, {self.errors[-3:]}")

    async def _keep_running(self) -> None:
        while True:
            try:
                await self.irc.run(self)
            except* (OSError, NanoKimiError) as errors:
                self.errors += errors.exceptions
            await anyio.sleep(_AGAIN)


@asynccontextmanager
async def driven(table: dict[str, Any], folder: Path, *, connected: bool = True) -> AsyncIterator[Driver]:
    """Run the transport, again and again where it fails, and wait until it is connected."""
    driver = Driver(table, folder)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(driver._keep_running)
        if connected:
            await driver.until(lambda: driver.readies, "it is connected")
        yield driver
        tasks.cancel_scope.cancel()
