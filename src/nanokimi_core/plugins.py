"""Discovery and loading of plugins: only what is asked for, one by one, with the culprit named."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pluggy
from pydantic import BaseModel

from nanokimi_core.errors import PluginError
from nanokimi_core.files import FULL
from nanokimi_core.hookspecs import PROJECT, Hooks, Spec

Kind = Literal["transport", "backend", "auth"]
KINDS: tuple[Kind, ...] = ("transport", "backend", "auth")
_HOOKS: dict[Kind, str] = {
    "transport": "nanokimi_transports",
    "backend": "nanokimi_backends",
    "auth": "nanokimi_auths",
}


@dataclass(frozen=True)
class Plugin:
    """An entry point of the group ``nanokimi``: installed, perhaps not loaded.

    Attributes:
        name: The entry point's, which the toml uses.
        distribution: What pip calls it.
        version: Of the distribution.
        load: Imports it.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]

    @property
    def origin(self) -> str:
        """Say where it comes from, for people."""
        return f"{self.distribution} {self.version}"


def installed() -> list[Plugin]:
    """List the installed plugins, sorted by name and distribution; nothing is imported."""
    found = []
    for point in importlib.metadata.entry_points(group=PROJECT):
        distribution = point.dist
        name, version = (distribution.name, distribution.version) if distribution else ("unknown", "?")
        found.append(Plugin(point.name, name, version, point.load))
    return sorted(set(found), key=lambda plugin: (plugin.name, plugin.distribution))


@dataclass(frozen=True)
class Provided:
    """A ``Spec`` and the plugin that provides it."""

    kind: Kind
    spec: Spec[Any]
    plugin: Plugin


class PluginHost:
    """Loads the plugins that are asked for, and finds the ``Spec`` of a name.

    Args:
        plugins: What is installed; found by itself unless given.
    """

    def __init__(self, plugins: Iterable[Plugin] | None = None) -> None:
        self.plugins: Sequence[Plugin] = list(plugins) if plugins is not None else installed()
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(Hooks)
        self._provided: dict[tuple[Kind, str], Provided] = {}
        self._loaded: dict[str, Any] = {}

    def spec(self, kind: Kind, name: str) -> Provided:
        """Load the plugin ``name`` if need be, and give what it provides under that name.

        Raises:
            PluginError: It isn't installed, is installed twice, can't be loaded, or provides no such thing.
        """
        self.load(name)
        try:
            return self._provided[kind, name]
        except KeyError:
            gives = [f"{k} {n}" for (k, n), provided in sorted(self._provided.items()) if provided.plugin.name == name]
            raise PluginError(
                f'plugin "{name}" ({self._find(name).origin}) provides {", ".join(gives) or "nothing"}, '
                f"and the toml uses it as {kind}",
                remedy="nanokimi plugins lists what each plugin is",
            ) from None

    def provided(self, name: str) -> list[Provided]:
        """Load a plugin and give all that it provides."""
        self.load(name)
        plugin = self._find(name)
        return [provided for provided in self._provided.values() if provided.plugin is plugin]

    def load(self, name: str) -> None:
        """Import a plugin, register it, and ask its hooks.

        Raises:
            PluginError: As for ``spec``.
        """
        if name in self._loaded:
            return
        plugin = self._find(name)
        module = _import(plugin)
        if self._manager.get_name(module) is None:
            self._register(plugin, module)
        self._loaded[name] = module

    def _find(self, name: str) -> Plugin:
        matching = [plugin for plugin in self.plugins if plugin.name == name]
        if len(matching) > 1:
            both = " and ".join(plugin.origin for plugin in matching)
            raise PluginError(
                f'plugin "{name}" is provided by {both}',
                remedy=f"uninstall one of them, for example: pip uninstall {matching[-1].distribution}",
            )
        if matching:
            return matching[0]
        known = sorted({plugin.name for plugin in self.plugins})
        from difflib import get_close_matches

        close = get_close_matches(name, known, n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"installed: {', '.join(known)}"
        raise PluginError(f'plugin "{name}" is not installed', remedy=hint)

    def _register(self, plugin: Plugin, module: Any) -> None:
        try:
            self._manager.register(module, name=plugin.name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.has_plugin(plugin.name):
                self._manager.unregister(name=plugin.name)
            said = " ".join(str(error).split())
            raise PluginError(
                f'plugin "{plugin.name}" ({plugin.origin}) has a hook that can\'t be used: {said}',
                remedy=f"the hooks are {', '.join(_HOOKS.values())}, without arguments",
            ) from error
        for kind in KINDS:
            for spec in self._ask(plugin, module, kind):
                self._add(Provided(kind, spec, plugin))

    def _ask(self, plugin: Plugin, module: Any, kind: Kind) -> list[Spec[Any]]:
        caller = getattr(self._manager.hook, _HOOKS[kind])
        specs: list[Spec[Any]] = []
        for implementation in caller.get_hookimpls():
            if implementation.plugin is module:
                specs.extend(_call(plugin, _HOOKS[kind], implementation.function))
        return specs

    def _add(self, provided: Provided) -> None:
        key = (provided.kind, provided.spec.name)
        other = self._provided.get(key)
        if other is not None:
            raise PluginError(
                f'{provided.kind} "{provided.spec.name}" is provided by {other.plugin.origin} '
                f"and {provided.plugin.origin}",
                remedy=f"uninstall one of them, for example: pip uninstall {provided.plugin.distribution}",
            )
        self._provided[key] = provided


def blame(plugin: Plugin, doing: str, error: BaseException) -> PluginError:
    """Make the error that names a plugin as the culprit of something it raised."""
    said = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    remedy = "mend or update it, or take it out of nanokimi.toml"
    if isinstance(error, OSError) and error.errno in FULL:
        remedy = "free some space on the disk, or make it writable"
    return PluginError(f'plugin "{plugin.name}" ({plugin.origin}) failed {doing}: {said}', remedy=remedy)


def _import(plugin: Plugin) -> Any:
    try:
        return plugin.load()
    except (Exception, SystemExit) as error:  # a plugin boundary
        raise blame(plugin, "to load", error) from error


def _call(plugin: Plugin, hook: str, function: Callable[[], Any]) -> list[Spec[Any]]:
    if inspect.iscoroutinefunction(function):
        raise PluginError(
            f'plugin "{plugin.name}" ({plugin.origin}): {hook} is an async def, which would never run',
            remedy="make it a plain def",
        )
    try:
        result = function()
    except (Exception, SystemExit) as error:  # a plugin boundary
        raise blame(plugin, f"in {hook}", error) from error
    if not isinstance(result, (list, tuple)) or not all(isinstance(item, Spec) for item in result):
        raise PluginError(
            f'plugin "{plugin.name}" ({plugin.origin}): {hook} returned {type(result).__name__}, not a list of Spec',
            remedy="return [Spec(...)]",
        )
    for spec in result:
        if not (isinstance(spec.config, type) and issubclass(spec.config, BaseModel)):
            raise PluginError(
                f'plugin "{plugin.name}" ({plugin.origin}): the config of Spec "{spec.name}" is not a pydantic model',
                remedy="give a subclass of pydantic.BaseModel, or leave it out",
            )
    return list(result)
