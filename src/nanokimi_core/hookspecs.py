"""Registration: the pluggy markers, ``Spec``, and the three hooks.

pluggy carries registration only. Hooks are plain functions without arguments that return ``Spec``s; the work is done
by the objects that those create.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pluggy
from pydantic import BaseModel

from nanokimi_core.contracts.auth import Auth
from nanokimi_core.contracts.backend import Backend
from nanokimi_core.contracts.plugin import Check, Context, NoConfig
from nanokimi_core.contracts.transport import Transport

PROJECT = "nanokimi"

T_co = TypeVar("T_co", covariant=True)

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks the plain function that implements a hook."""


@dataclass(frozen=True)
class Spec(Generic[T_co]):
    """One thing that a plugin provides.

    Attributes:
        name: What the toml selects; the entry point has the same name.
        create: Makes an instance from its checked settings and its context; a class will do. Where the instance is
            an async context manager, the core enters and leaves it.
        config: The model of the plugin's table in the toml.
        check: Lines for ``nanokimi doctor``; runs without ``create``.
        commands: ``package.module:app``, a typer app, mounted as ``nanokimi NAME …`` and imported only when used. It
            finds an ``Invocation`` in ``typer.Context.obj``.
    """

    name: str
    create: Callable[[Any, Context], T_co]
    config: type[BaseModel] = NoConfig
    check: Callable[[Any, Context], Awaitable[Sequence[Check]]] | None = None
    commands: str | None = None


class Hooks:
    """The hooks; an implementation has the same name and the marker ``hookimpl``."""

    @hookspec
    def nanokimi_transports(self) -> list[Spec[Transport]]:
        """Name the transports that this plugin provides."""
        raise AssertionError

    @hookspec
    def nanokimi_backends(self) -> list[Spec[Backend]]:
        """Name the agent backends that this plugin provides."""
        raise AssertionError

    @hookspec
    def nanokimi_auths(self) -> list[Spec[Auth]]:
        """Name the auth plugins that this plugin provides."""
        raise AssertionError
