"""Discovery and loading of plugins: only what is asked for, one by one, with the culprit named."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import pluggy

from nanokimi_core.distributions import check_core, lacking, modules_of, without_entry_point
from nanokimi_core.errors import PluginError
from nanokimi_core.files import FULL
from nanokimi_core.hooks import HOOKS, check_module, checked
from nanokimi_core.hookspecs import PROJECT, Hooks, Spec
from nanokimi_core.places import called, raised_at

Kind = Literal["transport", "backend", "auth"]
KINDS: tuple[Kind, ...] = ("transport", "backend", "auth")


@dataclass(frozen=True)
class Plugin:
    """An entry point of the group ``nanokimi``: installed, perhaps not loaded.

    Attributes:
        name: The entry point's, which the toml uses.
        distribution: What pip calls it.
        version: Of the distribution.
        load: Imports it.
        target: What its entry point names: ``module``, or ``module:attribute``; empty where that isn't known.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]
    target: str = ""

    @property
    def origin(self) -> str:
        """Say where it comes from, for people."""
        return f"{self.distribution} {self.version}"

    @property
    def module(self) -> str:
        """The module that its entry point names; empty where that isn't known."""
        return self.target.partition(":")[0].strip()

    def __str__(self) -> str:
        return f'plugin "{self.name}" ({self.origin})'


def installed() -> list[Plugin]:
    """List the installed plugins, sorted by name and distribution; nothing is imported."""
    found = []
    for point in importlib.metadata.entry_points(group=PROJECT):
        distribution = point.dist
        name, version = (distribution.name, distribution.version) if distribution else ("unknown", "?")
        found.append(Plugin(point.name, name, version, point.load, point.value))
    return sorted(set(found), key=lambda plugin: (plugin.name, plugin.distribution))


@dataclass(frozen=True)
class Provided:
    """A ``Spec`` and the plugin that provides it.

    Attributes:
        kind: What it is.
        spec: It.
        plugin: Whose hook gave it.
        hook: The hook, with its place, for people.
    """

    kind: Kind
    spec: Spec[Any]
    plugin: Plugin
    hook: str = ""


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
            raise self._not_provided(kind, name) from None

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
        raise self._missing(name)

    def _missing(self, name: str) -> PluginError:
        said = f'plugin "{name}" is not installed'
        forgotten = {each.name: each for each in without_entry_point()}
        if each := forgotten.get(name):
            return PluginError(f"{said} as one: {each.cause}", remedy=each.remedy)
        known = sorted({plugin.name for plugin in self.plugins})
        close = get_close_matches(name, known, n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"installed: {', '.join(known)}"
        if forgotten and not close:
            others = ", ".join(f"{each.distribution} {each.version}" for each in forgotten.values())
            hint = f"{hint}; without an entry point in the group {PROJECT}, so not found: {others}"
        return PluginError(said, remedy=hint)

    def _not_provided(self, kind: Kind, name: str) -> PluginError:
        plugin = self._find(name)
        given = [each for each in self._provided.values() if each.plugin is plugin]
        gives = [f"{each.kind} {each.spec.name}" for each in given]
        said = f"{plugin} provides {', '.join(gives) or 'nothing'}, and the toml uses it as {kind}"
        others = [each for each in given if each.kind == kind]
        if not others or any(each.spec.name == name for each in given):
            return PluginError(said, remedy="nanokimi plugins lists what each plugin is")
        other = others[0]
        return PluginError(
            f"{said} {name}: its entry point is called {name}, and its Spec {other.spec.name} ({other.hook})",
            remedy=f'give both one name: Spec("{name}", …), or {other.spec.name} = "{plugin.target}" in its '
            f"pyproject.toml under [project.entry-points.{PROJECT}]",
        )

    def _register(self, plugin: Plugin, module: Any) -> None:
        check_module(str(plugin), module)
        try:
            self._manager.register(module, name=plugin.name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.has_plugin(plugin.name):
                self._manager.unregister(name=plugin.name)
            said = " ".join(str(error).split())
            raise PluginError(
                f"{plugin} has a hook that can't be used: {said}",
                remedy=f"the hooks are {', '.join(HOOKS.values())}, without arguments",
            ) from error
        for kind in KINDS:
            for hook, spec in self._ask(plugin, module, kind):
                self._add(Provided(kind, spec, plugin, hook))

    def _ask(self, plugin: Plugin, module: Any, kind: Kind) -> list[tuple[str, Spec[Any]]]:
        caller = getattr(self._manager.hook, HOOKS[kind])
        specs: list[tuple[str, Spec[Any]]] = []
        for implementation in caller.get_hookimpls():
            if implementation.plugin is module:
                function = implementation.function
                specs += [(called(function), spec) for spec in _call(plugin, HOOKS[kind], function)]
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
    """Make the error that names a plugin as the culprit of something it raised, with the place in its code."""
    said = " ".join(f"{type(error).__name__}: {error}".split())[:500] + raised_at(error, plugin.module)
    remedy = "mend or update it, or take it out of nanokimi.toml"
    if isinstance(error, OSError) and error.errno in FULL:
        remedy = "free some space on the disk, or make it writable"
    return PluginError(f"{plugin} failed {doing}: {said}", remedy=remedy)


def _import(plugin: Plugin) -> Any:
    check_core(plugin.name, plugin.distribution)
    try:
        return plugin.load()
    except (Exception, SystemExit) as error:  # a plugin boundary
        if lacks := lacking(error):
            said, remedy = lacks
            where = raised_at(error, plugin.module)
            raise PluginError(f"{plugin} failed to load: {said}{where}", remedy=remedy) from error
        if wrong := _wrong_target(plugin, error):
            right = f"write the right one in its pyproject.toml, under [project.entry-points.{PROJECT}]"
            raise PluginError(f"{plugin} failed to load: {wrong}", remedy=f"{right}, and install it again") from error
        raise blame(plugin, "to load", error) from error


def _wrong_target(plugin: Plugin, error: BaseException) -> str:
    """Tell from an error whether it is the entry point itself that leads nowhere."""
    module, _, attribute = plugin.target.partition(":")
    names = f'its entry point names "{plugin.target}"'
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        brought = modules_of(plugin.distribution)
        close = get_close_matches(module, brought, n=1) or brought[:1]
        return f"{names}, and there is no module {error.name}" + (f"; it brings {close[0]}" if close else "")
    first = attribute.partition(".")[0]
    there = sys.modules.get(module)  # it isn't where its own code raised
    if isinstance(error, AttributeError) and there is not None and first and not hasattr(there, first):
        return f"{names}, and {module} ({getattr(there, '__file__', '?')}) has no {first}"
    return ""


def _call(plugin: Plugin, hook: str, function: Callable[[], Any]) -> list[Spec[Any]]:
    try:
        result = function()
    except (Exception, SystemExit) as error:  # a plugin boundary
        raise blame(plugin, f"in {hook}", error) from error
    return checked(str(plugin), function, result)
