"""Whether a plugin's module has its hooks, and what they give: looked at when it is loaded, and said for its author."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from nanokimi_core.errors import PluginError
from nanokimi_core.hookspecs import PROJECT, Spec
from nanokimi_core.places import called, defined_at

HOOKS = {"transport": "nanokimi_transports", "backend": "nanokimi_backends", "auth": "nanokimi_auths"}
_NAMES = tuple(HOOKS.values())
_MARK = f"{PROJECT}_impl"  # where pluggy's marker notes itself
_MARK_IT = "write @hookimpl above it (from nanokimi_core import hookimpl)"
_CLOSE = 0.85
_RULE = f"the hooks are {', '.join(_NAMES)}, without arguments"


def check_module(who: str, module: Any) -> None:
    """See that a plugin has a hook, that each is one, and that none lacks its marker.

    Args:
        who: The plugin, for people.
        module: What its entry point names.

    Raises:
        PluginError: It isn't so.
    """
    functions = {name: each for name in dir(module) if inspect.isroutine(each := getattr(module, name))}
    marked = {name: each for name, each in functions.items() if hasattr(each, _MARK)}
    for name, function in marked.items():
        _check_hook(who, getattr(function, _MARK).get("specname") or name, function)
    for name in functions.keys() & set(_NAMES) - marked.keys():
        raise PluginError(f"{who}: {called(functions[name])} isn't marked as a hook, and never called", remedy=_MARK_IT)
    if marked:
        return
    for name, function in functions.items():
        if close := get_close_matches(name, _NAMES, n=1, cutoff=_CLOSE):
            said = f"{called(function)} is neither marked nor named as a hook, and never called"
            raise PluginError(f"{who}: {said}", remedy=f"call it {close[0]}, and {_MARK_IT}")
    file = getattr(module, "__file__", None)
    where = f"{getattr(module, '__name__', type(module).__name__)}" + (f" ({file})" if file else "")
    raise PluginError(
        f"{who} has no hook in {where}",
        remedy=f"write one of {', '.join(_NAMES)} there, with @hookimpl above it, that returns [Spec(...)]",
    )


def _check_hook(who: str, name: str, function: Any) -> None:
    unusable = f"{who} has a hook that can't be used: {called(function)}"
    if name not in _NAMES:
        close = get_close_matches(name, _NAMES, n=1)
        hint = f'did you mean "{close[0]}"? ' if close else ""
        raise PluginError(f"{unusable} is no hook of NanoKimi", remedy=hint + _RULE)
    if parameters := inspect.signature(function).parameters:
        raise PluginError(f"{unusable} takes ({', '.join(parameters)})", remedy=_RULE)
    if inspect.iscoroutinefunction(function):
        raise PluginError(
            f"{who}: {name} is an async def, which would never run",
            remedy=f"make it a plain def, at {defined_at(function)}",
        )


def checked(who: str, function: Callable[..., Any], returned: Any) -> list[Spec[Any]]:
    """Give what a hook returned, where that is a list of ``Spec``.

    Raises:
        PluginError: It isn't.
    """
    if not isinstance(returned, (list, tuple)) or not all(isinstance(item, Spec) for item in returned):
        kind = type(returned).__name__
        if isinstance(returned, (list, tuple)):
            kind += f" with {next(_name(item) for item in returned if not isinstance(item, Spec))} in it"
        raise PluginError(f"{who}: {called(function)} returned {kind}, not a list of Spec", remedy="return [Spec(...)]")
    for spec in returned:
        if wrong := _wrong(spec):
            said, remedy = wrong
            raise PluginError(f"{who}: {said} (made in {called(function)})", remedy=remedy)
    return list(returned)


def _wrong(spec: Spec[Any]) -> tuple[str, str] | None:
    config: Any = spec.config
    create: Any = spec.create
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        said = f'the config of Spec "{spec.name}" is not a pydantic model but {_name(config)}'
        return said, "give a subclass of pydantic.BaseModel, or leave it out"
    if not callable(create):
        said = f'the create of Spec "{spec.name}" can\'t be called: it is {_name(create)}'
        return said, "give a class, or a function that takes (config, context)"
    return None


def _name(value: object) -> str:
    return value.__name__ if isinstance(value, type) else "None" if value is None else type(value).__name__
