"""Plugins that a test makes itself, as if they were installed."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from nanokimi_core.hookspecs import Spec, hookimpl
from nanokimi_core.plugins import Plugin


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
