"""Instances of plugins: made from the toml, kept alive in a task of their own."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from logging import LoggerAdapter
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus
from pydantic import BaseModel

from nanokimi_core.config import Location, Settings, validate_table
from nanokimi_core.contracts.plugin import Check
from nanokimi_core.errors import NanoKimiError
from nanokimi_core.folder import DataFolder
from nanokimi_core.logs import instance_log
from nanokimi_core.plugins import Kind, PluginHost, Provided, blame

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0

Tell = Callable[[str, str], Awaitable[None]]


@dataclass
class InstanceContext:
    """The core's ``Context``."""

    name: str
    assistant: str
    folder: Path
    log: LoggerAdapter[Any]
    installation: str
    tell: Tell

    async def tell_owner(self, key: str, text: str) -> None:
        """Say something to the owner, once for each ``key`` until ``text`` changes."""
        await self.tell(f"{self.name} {key}", f"{self.name}: {text}")


@dataclass
class Instance:
    """A plugin instance that the toml asks for.

    Attributes:
        name: In the toml.
        kind: What it is used as.
        provided: The ``Spec`` and the plugin that it comes from.
        config: Its table, checked.
        context: What it gets from the core.
        value: The plugin's object, once it is made.
    """

    name: str
    kind: Kind
    provided: Provided
    config: BaseModel
    context: InstanceContext
    value: Any = None

    async def check(self) -> list[Check]:
        """Ask the plugin's lines for ``nanokimi doctor``."""
        look = self.provided.spec.check
        if look is None:
            return []
        try:
            return [_real_check(line) for line in await look(self.config, self.context)]
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin boundary
            fault = blame(self.provided.plugin, "to check itself", error)
            return [Check(self.name, "failed", fault.message, fault.remedy)]

    async def live(
        self,
        work: Callable[[Any], Awaitable[None] | None] | None,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Make the object, enter it where it is an async context manager, and do its work until cancelled.

        Args:
            work: Gives what to run for the made object, again after a back-off when it raises; ``None`` from it, or
                for it, just keeps the object alive.
            task_status: Started when the object is made.

        Raises:
            PluginError: The object can't be made.
        """
        async with AsyncExitStack() as stack:
            self.value = await self._make(stack)
            task_status.started()
            running = work(self.value) if work else None
            if running is None:
                await anyio.sleep_forever()
            else:
                assert work is not None  # noqa: S101  # for the type checker: it has just been called
                await self._keep_running(running, work)

    async def _make(self, stack: AsyncExitStack) -> Any:
        plugin = self.provided.plugin
        try:
            value = self.provided.spec.create(self.config, self.context)
            if hasattr(value, "__aenter__"):
                value = await stack.enter_async_context(value)
        except NanoKimiError:
            raise
        except (Exception, SystemExit) as error:  # a plugin boundary
            raise blame(plugin, f'to make "{self.name}"', error) from error
        return value

    async def _keep_running(self, running: Awaitable[None], work: Callable[[Any], Awaitable[None] | None]) -> None:
        wait = _FIRST_WAIT
        following: Awaitable[None] | None = running
        while following is not None:
            started = anyio.current_time()
            try:
                await following
            except (Exception, SystemExit) as error:  # a plugin boundary
                fault = blame(self.provided.plugin, f'while "{self.name}" was running', error)
                self.context.log.error("%s", fault, exc_info=error)
                await self.context.tell("fault " + self.name, str(fault))
            else:
                return
            wait = _FIRST_WAIT if anyio.current_time() - started > _LONGEST_WAIT else min(wait * 2, _LONGEST_WAIT)
            await anyio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
            following = work(self.value)


def _real_check(line: Any) -> Check:
    if isinstance(line, Check) and line.outcome in ("ok", "warning", "failed"):
        return line
    raise TypeError(f"{line!r} is no Check with an outcome of ok, warning or failed")


def make(kind: Kind, name: str, *, settings: Settings, location: Location, host: PluginHost, tell: Tell) -> Instance:
    """Find the plugin of an instance, check its table, and give it its context.

    Raises:
        PluginError: The plugin is missing or broken.
        ConfigError: The table is wrong.
    """
    provided = host.spec(kind, settings.use(name))
    config = validate_table(provided.spec.config, settings.table(name), name, location)
    folder = DataFolder(location.data)
    context = InstanceContext(
        name=name,
        assistant=settings.assistant,
        folder=folder.plugin(name),
        log=instance_log(name),
        installation=folder.installation,
        tell=tell,
    )
    return Instance(name, kind, provided, config, context)
