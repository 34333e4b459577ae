"""From the command line to what a command works on: the toml, an assistant, single plugin instances."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio
import typer

from nanokimi_core.cli.options import chosen_config
from nanokimi_core.config import Location, Settings, load, locate
from nanokimi_core.errors import AgentError, LoginNeeded, NanoKimiError
from nanokimi_core.instances import Instance, make
from nanokimi_core.logs import instance_log
from nanokimi_core.plugins import Kind, Plugin, PluginHost, blame
from nanokimi_core.runtime import Assistant, flat_errors

Event = TypeVar("Event")


@dataclass(frozen=True)
class Setup:
    """An installation, as a command finds it.

    Attributes:
        location: Where the toml and the data lie.
        settings: What the toml says.
        host: The plugins.
    """

    location: Location
    settings: Settings
    host: PluginHost

    def assistant(self, **update: Any) -> Assistant:
        """Make the assistant, with some settings replaced, and load what it needs.

        Raises:
            NanoKimiError: A plugin is missing or broken, or a table is wrong.
        """
        assistant = Assistant(self.settings.model_copy(update=update), self.location, self.host)
        assistant.prepare()
        return assistant

    def instance(self, kind: Kind, name: str) -> Instance:
        """Make one instance by itself; it isn't started. What it tells the owner is logged as INFO.

        Raises:
            NanoKimiError: The plugin is missing or broken, or its table is wrong.
        """
        log = instance_log(name)

        async def tell(key: str, text: str) -> None:
            log.info("%s", text)

        return make(kind, name, settings=self.settings, location=self.location, host=self.host, tell=tell)


def find_setup(ctx: typer.Context, config: Path | None) -> Setup:
    """Find and read the toml.

    Raises:
        ConfigError: It is missing where it is named, or wrong.
    """
    location = locate(chosen_config(ctx, config))
    return Setup(location, load(location), PluginHost())


@asynccontextmanager
async def started(instance: Instance) -> AsyncIterator[Any]:
    """Start an instance, without its background work, and give the plugin's object.

    Raises:
        PluginError: The object can't be made.
    """
    async with flat_errors(), anyio.create_task_group() as tasks:
        await tasks.start(instance.live, None)
        try:
            yield instance.value
        finally:
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def closed_after(events: AsyncIterator[Event]) -> AsyncIterator[AsyncIterator[Event]]:
    """Close an iterator at the end, where it can be closed: a generator can, and a plugin may give another kind."""
    try:
        yield events
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


@contextmanager
def blamed(plugin: Plugin, doing: str) -> Iterator[None]:
    """Blame a plugin for what it raises, other than the errors that the contract has for it.

    Raises:
        PluginError: It raised something else.
    """
    try:
        yield
    except (NanoKimiError, AgentError, LoginNeeded):
        raise
    except (Exception, SystemExit) as error:
        raise blame(plugin, doing, error) from error
