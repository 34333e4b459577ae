"""Commands that plugins bring: ``nanokimi NAME …``."""

from __future__ import annotations

import importlib
from functools import cached_property
from pathlib import Path
from typing import Any

import typer

from nanokimi_core.cli.options import chosen_config
from nanokimi_core.config import Location, Settings, load, locate
from nanokimi_core.contracts.plugin import Context
from nanokimi_core.errors import CommandError, ConfigError, PluginError
from nanokimi_core.instances import Instance, make
from nanokimi_core.plugins import Plugin, PluginHost, Provided, blame, installed


class Mounted:
    """What a plugin's commands find in ``typer.Context.obj``: the core's ``Invocation``.

    Args:
        name: The instance's, as typed.
        host: Has the plugin loaded.
        provided: What brings the commands.
        config: The toml that the command line names.
    """

    def __init__(self, name: str, host: PluginHost, provided: Provided, config: Path | None) -> None:
        self._name = name
        self._host = host
        self._provided = provided
        self._named = config

    @property
    def config(self) -> Any:
        """The instance's table, checked."""
        return self._instance.config

    @property
    def context(self) -> Context:
        """The instance's context."""
        return self._instance.context

    @cached_property
    def _instance(self) -> Instance:
        location = locate(self._named)
        settings = load(location)
        return make(
            self._provided.kind, self._name, settings=settings, location=location, host=self._host, tell=_tell_nobody
        )


def names() -> list[str]:
    """Name the installed plugins."""
    return sorted({plugin.name for plugin in installed()})


def mounted(ctx: typer.Context, name: str) -> tuple[Any, Plugin] | None:
    """Give the command that a plugin, or an instance of one, brings; ``None`` where there is no such plugin.

    Raises:
        CommandError: The plugin has no commands.
        PluginError: It is broken.
    """
    config = chosen_config(ctx, None)
    host = PluginHost()
    plugin = _plugin_of(name, config, [plugin.name for plugin in host.plugins])
    if plugin is None:
        return None
    found = [provided for provided in host.provided(plugin) if provided.spec.commands]
    if not found:
        raise CommandError(f'plugin "{plugin}" brings no commands', remedy="see: nanokimi --help")
    provided = found[0]
    ctx.obj = Mounted(name, host, provided, config)
    return import_commands(provided), provided.plugin


def _plugin_of(name: str, config: Path | None, known: list[str]) -> str | None:
    if name in known:
        return name
    try:
        settings = _settings(config)
    except ConfigError:
        return None
    return settings.use(name) if name in settings.plugins and settings.use(name) in known else None


def _settings(config: Path | None) -> Settings:
    location: Location = locate(config)
    return load(location)


def import_commands(provided: Provided) -> Any:
    """Import the commands that a plugin brings.

    Raises:
        PluginError: They can't be imported, or are no typer app.
    """
    plugin = provided.plugin
    module, _, attribute = str(provided.spec.commands).partition(":")
    try:
        app = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise blame(plugin, f"to load its commands ({provided.spec.commands})", error) from error
    if not isinstance(app, typer.Typer):
        raise PluginError(
            f'plugin "{plugin.name}" ({plugin.origin}): its commands, {provided.spec.commands}, are no typer app',
            remedy='name them as "package.module:app"',
        )
    return typer.main.get_command(app)


async def _tell_nobody(key: str, text: str) -> None:
    """A command's own output is what tells the owner."""
