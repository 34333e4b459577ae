"""What the contract wants a transport's object to look like."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nanokimi_core.contracts.transport import Traits
from nanokimi_core.testing.conformance.checks import check, expect
from nanokimi_core.testing.conformance.rigs import TransportRig

_METHODS = {"run": ("inbox",), "send": ("message",)}
_OPTIONAL = {"typing": ("chat", "on"), "draft": ("message",), "members": ("chat",)}
_PLAIN = ("owner_chat", "state")
_MARKUPS = ("plain", "markdown", "whatsapp")
_QUOTES = ("never", "group", "always")


@check("transport")
async def has_its_methods(rig: TransportRig) -> None:
    """The object has async def run(inbox) and send(message), and what only some have as the contract has it."""
    async with rig.made() as transport:
        who = type(transport).__name__
        for name, parameters in (_METHODS | _OPTIONAL).items():
            method: Any = getattr(transport, name, None)
            if method is None and name in _OPTIONAL:
                continue
            expect(callable(method), f"{who} has no {name}()")
            wanted = f"async def {name}(self, {', '.join(parameters)})"
            expect(_is_async(method), f"{who}.{name} is a plain def: it must be {wanted}")
            expect(_takes(method, len(parameters)), f"{who}.{name}{inspect.signature(method)} must be {wanted}")
        for name in _PLAIN:
            method = getattr(transport, name, None)
            if callable(method):
                expect(not _is_async(method), f"{who}.{name} is an async def: it must be def {name}(self)")
                expect(_takes(method, 0), f"{who}.{name}{inspect.signature(method)} must be def {name}(self)")


def _is_async(method: Any) -> bool:
    return inspect.iscoroutinefunction(inspect.unwrap(getattr(method, "func", method)))


def _takes(method: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(method).bind(*[None] * count)
    except TypeError:
        return False
    return True


@check("transport")
async def has_traits_that_make_sense(rig: TransportRig) -> None:
    """Where the object has traits, they are a Traits whose figures and words the core can use."""
    async with rig.made() as transport:
        traits = getattr(transport, "traits", Traits())
        expect(isinstance(traits, Traits), f"traits is {type(traits).__name__}, not a Traits")
        expect(traits.max_text >= 1, f"max_text is {traits.max_text}")
        expect(traits.markup in _MARKUPS, f"markup is {traits.markup!r}, none of {', '.join(_MARKUPS)}")
        expect(traits.quotes in _QUOTES, f"quotes is {traits.quotes!r}, none of {', '.join(_QUOTES)}")
        expect(traits.draft_interval >= 0, f"draft_interval is {traits.draft_interval}")
        for name in ("per_minute", "per_minute_chat"):
            pace = getattr(traits, name)
            expect(pace is None or pace > 0, f"{name} is {pace}; None is as fast as it goes")
        expect(traits.burst >= 1, f"burst is {traits.burst}; 1 is none at all")
        expect(traits.burst_chat is None or traits.burst_chat >= 1, f"burst_chat is {traits.burst_chat}; 1 is none")


SHAPE_CHECKS = (has_its_methods, has_traits_that_make_sense)
