"""What the source says of a public name: its signature, its fields and methods, and its docstring in parts.

Read from the source and not from the living object: there annotations and defaults stand as their author wrote them.
griffe would do it as well, and more; what is needed here is this file, and no dependency.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):\n", re.MULTILINE)
_ENTRY = re.compile(r"^(\*{0,2}[\w.]+): (.+?)(?=^\S|\Z)", re.DOTALL | re.MULTILINE)
_WIDTH = 100
_TELLING = ("contextmanager", "abstractmethod")
_FORMS = {"ABC", "Generic", "Protocol"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Docstring:
    """A docstring in parts: prose, and sections of named entries."""

    prose: str = ""
    sections: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str | None) -> Docstring:
        """Take a docstring apart."""
        prose, *rest = _SECTION.split(inspect.cleandoc(text or "") + "\n")
        sections = {name: _entries(body) for name, body in zip(rest[::2], rest[1::2], strict=True)}
        return cls(_markdown(prose).strip(), sections)


def _entries(body: str) -> dict[str, str]:
    return {name: _markdown(" ".join(text.split())) for name, text in _ENTRY.findall(textwrap.dedent(body))}


def _markdown(text: str) -> str:
    return text.replace("``", "`")


@dataclass(frozen=True)
class Member:
    """A field, a property or a method of a class; ``signature`` is a method's, ``default`` a field's."""

    name: str
    annotation: str = ""
    default: str = ""
    signature: str = ""
    doc: Docstring = Docstring()


@dataclass(frozen=True)
class Described:
    """A public name: ``signature`` is what one writes to use it."""

    name: str
    line: int
    signature: str
    doc: Docstring
    members: tuple[Member, ...] = ()
    bases: tuple[str, ...] = ()


def described(name: str, value: Any, module: ModuleType) -> Described:
    """Describe a public name as its module's source defines it."""
    node, comment = _definitions(str(module.__file__))[name]
    if isinstance(node, Function):
        return Described(name, node.lineno, _signature(node), Docstring.of(ast.get_docstring(node)))
    if isinstance(node, ast.ClassDef):
        members = tuple(_members(value))
        bases = tuple(base for each in node.bases if (base := _unparsed(each)).partition("[")[0] not in _FORMS)
        return Described(name, node.lineno, _class(node, value), Docstring.of(ast.get_docstring(node)), members, bases)
    return Described(name, node.lineno, _source(node, module), Docstring.of(comment))


@cache
def _definitions(file: str) -> dict[str, tuple[Any, str]]:
    """Find what a module defines, by name, with the string that follows an assignment."""
    found: dict[str, tuple[Any, str]] = {}
    body = ast.parse(Path(file).read_text()).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = (node, "")
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = (node, _text(after))
    return found


def _text(node: ast.stmt | None) -> str:
    value = node.value if isinstance(node, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _source(node: ast.AST, module: ModuleType) -> str:
    return ast.get_source_segment(Path(str(module.__file__)).read_text(), node) or ""


def _unparsed(node: ast.AST | None) -> str:
    """Write an expression, with double quotes as the project does."""
    return re.sub(r"'([^'\"]*)'", r'"\1"', ast.unparse(node)) if node is not None else ""


def _signature(node: Function, name: str = "", *, bound: bool = False) -> str:
    prefix = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {_unparsed(node.returns)}" if node.returns is not None else ""
    line = _folded(f"{prefix} {name or node.name}", _arguments(node.args, bound=bound), returns)
    shown = [f"@{text}" for each in node.decorator_list if (text := _unparsed(each)).endswith(_TELLING)]
    return "\n".join([*shown, line])


def _arguments(given: ast.arguments, *, bound: bool) -> list[str]:
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    written = [_argument(*pair) for pair in zip(plain, defaults, strict=True)][1 if bound else 0 :]
    if given.vararg is not None:
        written.append(f"*{_argument(given.vararg, None)}")
    elif given.kwonlyargs:
        written.append("*")
    written += [_argument(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return [*written, f"**{_argument(given.kwarg, None)}"] if given.kwarg is not None else written


def _argument(given: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {_unparsed(given.annotation)}" if given.annotation is not None else ""
    return given.arg + annotation + (f" = {_unparsed(default)}" if default is not None else "")


def _folded(name: str, arguments: list[str], after: str) -> str:
    line = f"{name}({', '.join(arguments)}){after}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), f"){after}"])


def _class(node: ast.ClassDef, value: type[Any]) -> str:
    bases = ", ".join(_unparsed(base) for base in node.bases)
    if _is_protocol(value) or not (arguments := _made_with(value)):
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    return _folded(f"class {node.name}", arguments, "")


def _is_protocol(value: type[Any]) -> bool:
    return bool(getattr(value, "_is_protocol", False))


def _made_with(value: type[Any]) -> list[str]:
    for node in _classes(value):
        if any(_unparsed(each).startswith("dataclass") for each in node.decorator_list):
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            return [_unparsed(each) for each in fields if not _unparsed(each.annotation).startswith("ClassVar")]
        for each in node.body:
            if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                return _arguments(each.args, bound=True)
    return []


def _classes(value: type[Any]) -> Iterator[ast.ClassDef]:
    """Give the source of a class, and of those above it that have no public name and so no place of their own."""
    import nanokimi_core
    import nanokimi_core.testing

    public = {*nanokimi_core.__all__, *nanokimi_core.testing.__all__}
    for each in value.__mro__:
        ours = each.__module__.startswith("nanokimi_core.")
        if ours and (each is value or each.__name__ not in public):
            node, _ = _definitions(str(sys.modules[each.__module__].__file__)).get(each.__name__, (None, ""))
            if isinstance(node, ast.ClassDef):
                yield node


def _members(value: type[Any]) -> Iterator[Member]:
    """Give what people use of a class, each name once: what stands lowest counts."""
    given: set[str] = set()
    meanings: dict[str, str] = {}
    nodes = list(_classes(value))
    for node in reversed(nodes):
        meanings |= Docstring.of(ast.get_docstring(node)).sections.get("Attributes", {})
    for node in nodes:
        for member in filter(None, (_member(each, value.__name__, meanings) for each in node.body)):
            if member.name not in given and not member.name.startswith(("_", "test_", "pytest_")):
                given.add(member.name)
                yield member
    for name, meaning in meanings.items():
        if name not in given:  # set in a constructor
            yield Member(name, doc=Docstring(meaning))


def _member(node: ast.stmt, owner: str, meanings: dict[str, str]) -> Member | None:
    if isinstance(node, Function):
        doc = Docstring.of(ast.get_docstring(node))
        if any(_unparsed(each) in ("property", "cached_property") for each in node.decorator_list):
            return Member(node.name, _unparsed(node.returns), doc=doc)
        return Member(node.name, signature=_signature(node, f"{owner}.{node.name}", bound=True), doc=doc)
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        annotation = re.sub(r"^ClassVar\[(.+)\]$", r"\1", _unparsed(node.annotation))
        doc = Docstring(meanings.get(node.target.id, ""))
        return Member(node.target.id, annotation, _unparsed(node.value), doc=doc)
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return Member(
            node.targets[0].id, default=_unparsed(node.value), doc=Docstring(meanings.get(node.targets[0].id, ""))
        )
    return None
