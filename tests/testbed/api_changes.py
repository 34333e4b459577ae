"""What has changed between two states of the plugin API, and whether that breaks a plugin."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from testbed.plugin_api import COMMAND, SNAPSHOT, Lines

FULFILLED = frozenset({"nanokimi_core.Context", "nanokimi_core.Inbox", "nanokimi_core.Invocation"})  # by the core
_POLICY = "docs/plugins/versions.md asks for a new minor version, and for a line under Changed in CHANGELOG.md"


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        name: The public name.
        what: What is different about it.
        breaks: Whether a plugin that was right can be wrong now.
    """

    name: str
    what: str
    breaks: bool

    def __str__(self) -> str:
        said = f"{self.name}: {self.what}"
        if self.breaks:
            return f"{said}; that can break a plugin: {_POLICY}; then renew tests/{SNAPSHOT.name} with {COMMAND}"
        return f"{said}; that breaks nothing: renew tests/{SNAPSHOT.name} with {COMMAND}"


def changes(old: Lines, new: Lines, fulfilled: Collection[str] = FULFILLED) -> list[Change]:
    """Compare two states, name by name.

    Args:
        old: The lines as they were.
        new: The lines as they are.
        fulfilled: Protocols that the core fulfils and plugins use; those may get new members.
    """
    return [*_gone(old, new), *_different(old, new, fulfilled), *_added(old, new, fulfilled)]


def _gone(old: Lines, new: Lines) -> Iterator[Change]:
    for name in old:
        if name not in new and not _within(name, old.keys() - new.keys()):
            yield Change(name, "it is gone", True)


def _added(old: Lines, new: Lines, fulfilled: Collection[str]) -> Iterator[Change]:
    for name, what in new.items():
        owner = name.rpartition(".")[0]
        if name in old or (owner in new and owner not in old):
            continue
        if old.get(owner, "").startswith("protocol") and owner not in fulfilled:
            yield Change(name, f"it is new in a protocol, and plugins that have all the rest of {owner} lack it", True)
        elif what.startswith("abstract"):
            yield Change(name, f"it is new and abstract, and what derives from {owner} lacks it", True)
        else:
            yield Change(name, "it is new", False)


def _different(old: Lines, new: Lines, fulfilled: Collection[str]) -> Iterator[Change]:
    for name in old.keys() & new.keys():
        before, after = old[name], new[name]
        if before == after:
            continue
        was, now = _Form.of(before), _Form.of(after)
        if was is None or now is None or was.kind != now.kind:
            yield Change(name, f'it was "{before}", and is "{after}"', True)
            continue
        owner = name.rpartition(".")[0]
        implemented = old.get(owner, "").startswith("protocol") and owner not in fulfilled
        yield from (Change(name, what, breaks or implemented) for what, breaks in _parameters(was, now))
        if was.returns != now.returns:
            yield Change(name, f"it gave {was.returns or 'nothing'}, and gives {now.returns or 'nothing'}", True)


def _within(name: str, names: Collection[str]) -> bool:
    owner = name.rpartition(".")[0]
    return bool(owner) and (owner in names or _within(owner, names))


# --------------------------------------------------------------------- what is called
@dataclass(frozen=True)
class _Parameter:
    annotation: str
    default: str | None
    place: int | None  # None is by name only


@dataclass(frozen=True)
class _Form:
    """What is called: its kind (``async def``, ``frozen dataclass``), parameters and result."""

    kind: str
    parameters: dict[str, _Parameter]
    returns: str

    @classmethod
    def of(cls, what: str) -> _Form | None:
        """Read a line; ``None`` where it is nothing that is called."""
        kind, _, rest = what.partition("(")
        try:
            made = ast.parse(f"def it({rest}: ...").body[0]
        except SyntaxError:
            return None
        assert isinstance(made, ast.FunctionDef)
        return cls(kind, dict(_read(made.args)), ast.unparse(made.returns) if made.returns else "")


def _read(args: ast.arguments) -> Iterator[tuple[str, _Parameter]]:
    placed = [*args.posonlyargs, *args.args]
    defaults = [*[None] * (len(placed) - len(args.defaults)), *args.defaults]
    for place, (each, default) in enumerate(zip(placed, defaults, strict=True)):
        yield each.arg, _Parameter(_text(each.annotation), _default(default), place)
    for each, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield each.arg, _Parameter(_text(each.annotation), _default(default), None)
    for sign, many in (("*", args.vararg), ("**", args.kwarg)):
        if many is not None:
            yield sign + many.arg, _Parameter(_text(many.annotation), "", None)


def _text(node: ast.expr | None) -> str:
    return ast.unparse(node) if node is not None else ""


def _default(node: ast.expr | None) -> str | None:
    return ast.unparse(node) if node is not None else None


def _parameters(was: _Form, now: _Form) -> Iterator[tuple[str, bool]]:
    """Give each difference of the parameters, and whether it breaks those who call."""
    for name, old in was.parameters.items():
        new = now.parameters.get(name)
        if new is None:
            yield f"its parameter {name} is gone", True
            continue
        if old.place != new.place:
            yield f"its parameter {name} was {_place(old.place)}, and is {_place(new.place)}", old.place is not None
        if old.default != new.default:
            yield f"the default of its parameter {name} was {_said(old)}, and is {_said(new)}", old.default is not None
        if old.annotation != new.annotation:
            yield (
                f"its parameter {name} was {old.annotation or 'anything'}, and is {new.annotation or 'anything'}",
                True,
            )
    for name, new in now.parameters.items():
        if name not in was.parameters:
            needed = new.default is None
            yield (
                f"its parameter {name} is new, {'and needed' if needed else f'with the default {new.default}'}",
                needed,
            )


def _place(place: int | None) -> str:
    return "given by name only" if place is None else f"number {place + 1}"


def _said(parameter: _Parameter) -> str:
    return "none" if parameter.default is None else parameter.default
