"""The plugin API written down: a line for each public name, in ``tests/plugin_api.txt``.

    PYTHONPATH=tests .venv/bin/python -m testbed.plugin_api     # write it anew

A line is ``name: what it is``, with the signature where it is called. No line depends on Python's version, on a path,
or on where in the core something lies.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

SNAPSHOT = Path(__file__).parent.parent / "plugin_api.txt"
COMMAND = "PYTHONPATH=tests .venv/bin/python -m testbed.plugin_api"
HEAD = f"# The plugin API; see docs/plugins/versions.md. Written by: {COMMAND}\n"
_PREFIX = re.compile(r"\b(?:\w+\.)+(?=[A-Z])")
_FIXTURE = "FixtureFunctionDefinition"

Lines = dict[str, str]


def plugin_api() -> Lines:
    """Write down what plugins and their tests may use."""
    import nanokimi_core
    from nanokimi_core import hookspecs, testing
    from nanokimi_core.testing import plugin

    lines = {f"entry point group {group}": "read" for group in (hookspecs.PROJECT, f"{hookspecs.PROJECT}.rigs")}
    lines |= {f"hook {name}": _callable(value) for name, value in _own(hookspecs.Hooks) if inspect.isfunction(value)}
    for name, value in sorted(vars(plugin).items()):
        if type(value).__name__ == _FIXTURE:
            lines[f"fixture {name}"] = _callable(inspect.unwrap(value._get_wrapped_function()))
    lines |= written(nanokimi_core) | written(testing)
    return lines | _aliases(lines, [nanokimi_core, testing])


def written(module: ModuleType) -> Lines:
    """Write down the names in a module's ``__all__``, with what belongs to each."""
    lines: Lines = {}
    for name in sorted(module.__all__):
        if name == "__version__":
            continue
        value = getattr(module, name)
        key = f"{module.__name__}.{name}"
        if inspect.isclass(value):
            lines[key] = _class(value)
            lines |= {f"{key}.{member}": text for member, text in sorted(_members(value))}
        elif inspect.isfunction(value):
            lines[key] = _callable(value)
        else:
            lines[key] = _other(value)
    return lines


def _aliases(lines: Lines, modules: Sequence[ModuleType]) -> Lines:
    """Write down what the names of types stand for that annotations use, where those are no public classes."""
    used = set(re.findall(r"\b_?[A-Z]\w+", " ".join(lines.values())))
    homes = {getattr(getattr(each, name), "__module__", "") for each in modules for name in each.__all__}
    found: Lines = {}
    for home in sorted(home for home in homes if home.startswith("nanokimi_core")):
        for name in used & vars(sys.modules[home]).keys():
            value = vars(sys.modules[home])[name]
            if hasattr(value, "__args__") and not any(f"{each.__name__}.{name}" in lines for each in modules):
                found[f"alias {name}"] = _other(value)
    return dict(sorted(found.items()))


def read(text: str) -> Lines:
    """Read what ``text_of`` has written."""
    pairs = [line.partition(": ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: what for name, _, what in pairs}


def text_of(lines: Lines) -> str:
    """Write lines as the text of a file."""
    return HEAD + "".join(f"{name}: {what}\n" for name, what in lines.items())


# --------------------------------------------------------------------- classes
def _class(kind: type) -> str:
    bases = [base.__name__ for base in kind.__bases__ if base.__name__ not in ("object", "Protocol", "Generic", "Enum")]
    of = f" of {', '.join(bases)}" if bases else ""
    if issubclass(kind, enum.Enum):
        return "enum"
    if _is_protocol(kind):
        return f"protocol{of}"
    if issubclass(kind, BaseModel):
        return f"model{of}"
    if dataclasses.is_dataclass(kind):
        parameters: Any = inspect.getattr_static(kind, "__dataclass_params__")
        frozen = "frozen " if parameters.frozen else ""
        return f"{frozen}dataclass{of}{_signature(kind.__init__, bound=False)}"
    what = "exception" if issubclass(kind, BaseException) else "class"
    if inspect.isfunction(kind.__init__):
        return f"{what}{of}{_signature(kind.__init__, bound=False)}"
    return f"{what}{of}{'(*args)' if what == 'exception' else '()'}"


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _members(kind: type) -> Iterator[tuple[str, str]]:
    if issubclass(kind, enum.Enum):
        yield from ((member.name, f"value {member.value!r}") for member in kind)
    fields = (
        {field.name for field in dataclasses.fields(kind) if field.init} if dataclasses.is_dataclass(kind) else set()
    )
    for name, value in _own(kind):
        if name not in fields and not isinstance(value, enum.Enum) and not name.startswith(("test_", "pytest_")):
            yield name, _member(value)
    for name, annotation in _annotations(kind).items():
        if name not in fields:
            value = _literal(inspect.getattr_static(kind, name, inspect.Parameter.empty))
            yield name, f"attribute {annotation}{f' = {value}' if value else ''}"


def _own(kind: type) -> Iterator[tuple[str, Any]]:
    """Give the public members that aren't annotated, also those of bases in the same package."""
    seen = set(_annotations(kind))
    for base in _family(kind):
        for name, value in vars(base).items():
            if not name.startswith("_") and name not in seen and not isinstance(value, type):
                seen.add(name)
                yield name, value


def _family(kind: type) -> list[type]:
    top = kind.__module__.partition(".")[0]
    return [base for base in kind.__mro__ if base.__module__.partition(".")[0] == top]


def _annotations(kind: type) -> dict[str, str]:
    found = [vars(base).get("__annotations__", {}) for base in reversed(_family(kind))]
    return {name: _annotation(each) for one in found for name, each in one.items() if not name.startswith("_")}


def _member(value: Any) -> str:
    if isinstance(value, property):
        return f"property{_returns(inspect.signature(value.fget))}"  # type: ignore[arg-type]
    if isinstance(value, (classmethod, staticmethod)):
        form = type(value).__name__
        return f"{form} {_callable(value.__func__, bound=isinstance(value, classmethod))}"
    if inspect.isfunction(value):
        return _callable(value, bound=True)
    return f"attribute = {_literal(value)}"


# --------------------------------------------------------------------- what is called
def _callable(function: Any, *, bound: bool | None = None) -> str:
    first = next(iter(inspect.signature(function).parameters), "")
    form = "async def" if inspect.iscoroutinefunction(function) else "def"
    inner = inspect.unwrap(function)
    if inner is not function and (inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner)):
        form = "async with" if inspect.isasyncgenfunction(inner) else "with"
    form = f"abstract {form}" if getattr(function, "__isabstractmethod__", False) else form
    return form + _signature(function, bound=first not in ("self", "cls") if bound is None else not bound)


def _signature(function: Any, *, bound: bool) -> str:
    """Write a signature; what a method is bound to is left out, and so is what begins with ``_``."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    parameters = [each for each in parameters[0 if bound else 1 :] if not each.name.startswith("_")]
    texts: list[str] = []
    for at, each in enumerate(parameters):
        before = parameters[at - 1].kind if at else None
        if before is each.POSITIONAL_ONLY and each.kind is not each.POSITIONAL_ONLY:
            texts.append("/")
        if each.kind is each.KEYWORD_ONLY and before not in (each.KEYWORD_ONLY, each.VAR_POSITIONAL):
            texts.append("*")
        texts.append(_parameter(each))
    if parameters and parameters[-1].kind is inspect.Parameter.POSITIONAL_ONLY:
        texts.append("/")
    returns = "" if function.__name__ == "__init__" else _returns(signature)
    return f"({', '.join(texts)}){returns}"


def _parameter(each: inspect.Parameter) -> str:
    stars = "*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else ""
    text = f"{stars}{each.name}"
    if each.annotation is not each.empty:
        text += f": {_annotation(each.annotation)}"
    return text if each.default is each.empty else f"{text} = {_literal(each.default)}"


def _returns(signature: inspect.Signature) -> str:
    given = signature.return_annotation
    return "" if given is inspect.Signature.empty else f" -> {_annotation(given)}"


def _annotation(given: Any) -> str:
    text = given if isinstance(given, str) else _PREFIX.sub("", inspect.formatannotation(given))
    return ast.unparse(ast.parse(text, mode="eval"))


def _literal(value: Any) -> str:
    """Write a default; ``...`` where it has no form that stays the same, nothing where there is none."""
    if value is inspect.Parameter.empty:
        return ""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, type):
        return value.__name__
    text = repr(value)
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return "..."
    return text if len(text) < 100 else "..."


def _other(value: Any) -> str:
    if hasattr(value, "__metadata__"):  # what stands in it are functions, which have no form of their own
        return f"type Annotated[{_annotation(value.__origin__)}, ...]"
    if not hasattr(value, "__args__"):
        return f"instance of {type(value).__name__}"
    return f"type {_PREFIX.sub('', repr(value))}"


if __name__ == "__main__":
    SNAPSHOT.write_text(text_of(plugin_api()))
    print(f"{SNAPSHOT.name} is written")
