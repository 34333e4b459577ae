"""Plugins that a test makes itself, as if they were installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from nanokimi_core.hooks import HOOKS
from nanokimi_core.hookspecs import Spec, hookimpl
from nanokimi_core.plugins import Kind, Plugin


def plugin(name: str, module: object, distribution: str | None = None) -> Plugin:
    """Make an installed plugin out of a module, or any object with hooks."""
    return Plugin(name, distribution or f"dist-{name}", "1.0", lambda: module)


def providing(**specs: Iterable[Spec[Any]]) -> ModuleType:
    """Make a module with hooks: ``providing(transports=[Spec(…)])``."""
    module = ModuleType("made_by_a_test")
    for kind, listed in specs.items():
        setattr(module, f"nanokimi_{kind}", _hook(f"nanokimi_{kind}", list(listed)))
    return module


def _hook(name: str, specs: list[Spec[Any]]) -> Any:
    def hook() -> list[Spec[Any]]:
        return specs

    hook.__name__ = name
    return hookimpl(hook)


@dataclass(frozen=True)
class Part:
    """A plugin that a test puts into a bot.

    Attributes:
        name: What the toml calls it.
        plugin: As if installed; ``None`` where it is.
    """

    name: str
    plugin: Plugin | None = None


def part(kind: Kind, name: str, given: Any) -> Part:
    """Make a part out of what an author has.

    Args:
        kind: What it is used as.
        name: What the toml is to call a ready-made object.
        given: The name of an installed plugin, a ``Spec``, a module or another object with hooks, or a ready-made
            object, which every start uses again.

    Raises:
        TypeError: It is none of these: a class, or a module without the hook.
    """
    if isinstance(given, str):
        return Part(given)
    if isinstance(given, Spec):
        return Part(given.name, plugin(given.name, providing(**{f"{kind}s": [given]})))
    hook = getattr(given, HOOKS[kind], None)
    if hook is not None:
        specs = hook()
        return Part(specs[0].name, plugin(specs[0].name, given))
    if isinstance(given, (type, ModuleType)):
        ways = f"a Spec, a module with {HOOKS[kind]}, the name of an installed plugin, or an object"
        raise TypeError(f"{given!r} can't be used as a {kind}: give {ways}")
    return part(kind, name, Spec(name, lambda config, context: given))
