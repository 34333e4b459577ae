"""Whether an object has the methods that its contract wants, looked at when it is made, and said for its author."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nanokimi_core.contracts.auth import Auth, ImportsLogin, LogsIn, LogsOut, Refreshes, TakesKey, UsesAgent
from nanokimi_core.contracts.backend import Backend, BuildsImage, HasRoom, Inspectable, OffersAgentCommands, Session
from nanokimi_core.contracts.plugin import HasBackgroundWork
from nanokimi_core.contracts.transport import (
    EditsDrafts,
    KnowsOwner,
    ListsMembers,
    ShowsTyping,
    TellsState,
    Traits,
    Transport,
)
from nanokimi_core.places import called, defined_at, short

_NEEDED: dict[str, type] = {"transport": Transport, "backend": Backend, "auth": Auth, "session": Session}
_CLAIMED: dict[str, tuple[type, ...]] = {
    "transport": (ShowsTyping, EditsDrafts, ListsMembers, KnowsOwner, TellsState),
    "backend": (HasRoom, BuildsImage, Inspectable, OffersAgentCommands, HasBackgroundWork),
    "auth": (LogsIn, LogsOut, Refreshes, TakesKey, ImportsLogin, UsesAgent, HasBackgroundWork),
    "session": (),
}
_AWAITED = ("Any", "Awaitable", "Coroutine", "Future", "Task", "object")
_UNDECORATED = "is an async generator, not an async context manager"

Form = Literal["coroutine", "iterator", "manager", "plain"]


@dataclass(frozen=True)
class Flaw:
    """What is wrong with an object.

    Attributes:
        said: With the place, to go on after who made it.
        remedy: What its author writes instead.
    """

    said: str
    remedy: str


def flaw(value: object, kind: str, create: object = None) -> Flaw | None:
    """Find out what an object lacks of its contract, and of the small ones that it claims; ``None`` where nothing.

    Args:
        value: What a plugin gave.
        kind: What it should be: ``transport``, ``backend``, ``auth`` or ``session``.
        create: What gave it: the ``create`` of its ``Spec``, its ``__aenter__``, or the backend's ``session``.
    """
    if isinstance(value, type):
        said = f"it gave the class {called(value)}, not an object of it"
        return Flaw(said, f"{_let_give(create, kind)} {value.__name__}(…)")
    needed = _NEEDED[kind]
    names = _methods(needed)
    for name in names:
        if not callable(getattr(value, name, None)):
            return _missing(value, name, needed, create, kind)
    claimed = [each for each in _CLAIMED[kind] if offers(value, each)]
    for contract in (needed, *claimed):
        for name in _methods(contract):
            if found := _misfit(value, name, getattr(contract, name)):
                return found
    if kind == "transport" and not isinstance(traits := getattr(value, "traits", Traits()), Traits):
        said = traits.__name__ if isinstance(traits, type) else type(traits).__name__
        return Flaw(
            f"it gave {called(type(value))}, whose traits are {said}, not a Traits", "write: traits = Traits(…)"
        )
    return None


def offers(value: object, contract: Any) -> bool:
    """Whether an object has the methods of a small contract; an attribute of its own may have the name of one."""
    return all(callable(getattr(value, name, None)) for name in _methods(contract))


def _methods(contract: type) -> list[str]:
    return [name for name, value in vars(contract).items() if inspect.isfunction(value) and not name.startswith("_")]


def _let_give(create: object, kind: str) -> str:
    """Tell the author which function gives the wrong object; to go on with the right one."""
    entering = getattr(create, "__name__", "") == "__aenter__"
    name, verb = ("session", "yield") if kind == "session" else ("__aenter__" if entering else "create", "return")
    where = defined_at(create)
    return f"let {name}{f' ({where})' if where else ''} {verb}"


def _missing(value: object, name: str, needed: type, create: object, kind: str) -> Flaw:
    said = f"it gave {called(type(value))}, which has no {name}()"
    if inspect.iscoroutine(value):
        value.close()
        return Flaw(said, f"{_let_give(create, kind)} the object itself; what has to be awaited goes into __aenter__")
    if value is None:
        return Flaw(said, f"{_let_give(create, kind)} the object")
    if hasattr(value, name):
        said = f"it gave {called(type(value))}, whose {name} is no method but {type(getattr(value, name)).__name__}"
    return Flaw(said, f"add: {_wanted(name, getattr(needed, name))}")


def _misfit(value: object, name: str, wanted: Callable[..., Any]) -> Flaw | None:
    method: Any = getattr(value, name)
    where = defined_at(method)
    whose = f"it gave {short(type(value).__qualname__)}, whose {name}" + (f" ({where})" if where else "")
    wrong = _wrong_form(method, _form(wanted)) or _wrong_parameters(method, wanted)
    if wrong == _UNDECORATED:
        return Flaw(f"{whose} {wrong}", "put @asynccontextmanager (from contextlib) above it")
    return Flaw(f"{whose} {wrong}", f"make it: {_wanted(name, wanted)}") if wrong else None


def _form(wanted: Callable[..., Any]) -> Form:
    if inspect.iscoroutinefunction(wanted):
        return "coroutine"
    given = str(inspect.signature(wanted).return_annotation)
    if given.startswith("AsyncIterator"):
        return "iterator"
    return "manager" if given.startswith("AbstractAsyncContextManager") else "plain"


def _wrong_form(method: Any, form: Form) -> str:
    while isinstance(method, functools.partial):
        method = method.func
    outer = getattr(method, "__func__", method)
    if not inspect.isfunction(outer):
        return ""
    if form == "manager":
        if inspect.isasyncgenfunction(outer):
            return _UNDECORATED
        return "is a coroutine, not an async context manager" if inspect.iscoroutinefunction(outer) else ""
    inner = inspect.unwrap(outer)
    if form == "plain":
        return "is a coroutine, and is called without await" if inspect.iscoroutinefunction(inner) else ""
    if form == "iterator":
        if inspect.iscoroutinefunction(outer):
            return "is a coroutine, not an async generator: there is no yield in it"
        return "is a plain generator, not an async one" if inspect.isgeneratorfunction(outer) else ""
    if inspect.iscoroutinefunction(outer) or inspect.iscoroutinefunction(inner):
        return ""
    if inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner):
        return "is a generator, since there is a yield in it"
    return "is a plain def" if _cannot_be_awaited(inner) else ""


def _cannot_be_awaited(function: Any) -> bool:
    """Whether a plain function will give nothing to await, as far as it says; one that passes all on says nothing."""
    signature = inspect.signature(function)
    if any(each.kind is each.VAR_POSITIONAL for each in signature.parameters.values()):
        return False
    given = signature.return_annotation
    return not any(word in str(given) for word in _AWAITED)


def _wrong_parameters(method: Any, wanted: Callable[..., Any]) -> str:
    parameters = list(inspect.signature(wanted).parameters.values())[1:]
    by_name = {each.name: None for each in parameters if each.kind is each.KEYWORD_ONLY}
    by_place = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    try:
        takes = inspect.signature(method)
    except (TypeError, ValueError):  # of C, and says nothing of itself
        return ""
    try:
        takes.bind(*by_place, **by_name)
    except TypeError:
        given = ", ".join([*by_place, *(f"{name}=…" for name in by_name)])
        return f"is called with ({given}), and takes ({', '.join(_parameters(takes.parameters.values()))})"
    return ""


def _parameters(parameters: Any) -> Sequence[str]:
    signs = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [signs.get(each.kind, "") + each.name for each in parameters]


def _wanted(name: str, wanted: Callable[..., Any]) -> str:
    """Write the first line of a method as the contract wants it."""
    signature = str(inspect.signature(wanted)).replace("'", "")
    if _form(wanted) == "coroutine":
        return f"async def {name}{signature}"
    if _form(wanted) == "iterator":
        return f"async def {name}{signature}, with yield in it"
    if _form(wanted) == "plain":
        return f"def {name}{signature}"
    parameters, _, _ = signature.partition(" -> ")
    return f"@asynccontextmanager async def {name}{parameters} -> AsyncIterator[Session], with yield in it"
