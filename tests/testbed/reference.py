"""The generated parts of docs/: every key of the toml, every command's help, the examples' source.

    PYTHONPATH=tests python -m testbed.reference

does it all anew, docs/plugins/reference/ included (``contract_pages``): after a change of a settings model, a command,
a public docstring, or a file of an example. A part stands between two comments: ``keys: TABLE``, ``help: COMMAND``, or
``file: FILE NAME…`` beneath docs/plugins/ (the whole file, or only the classes, functions and methods of these names).
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import os
import re
import textwrap
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from nanokimi_core.cli.commands import BUILT_IN
from nanokimi_core.cli.effective import duration
from nanokimi_core.cli.guard import run
from nanokimi_core.cli.mount import import_commands
from nanokimi_core.config.model import ChatTable, Limits, Settings
from nanokimi_core.plugins import PluginHost, installed
from testbed import contract_pages

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = (
    "configuration.md",
    "commands.md",
    "whatsapp.md",
    "plugins/first-steps.md",
    "plugins/network.md",
    "plugins/backend.md",
    "plugins/auth.md",
)
_PART = re.compile(r"(<!-- (keys|help|file): (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_ATTRIBUTE = re.compile(r"^    (\w+): (.+?)(?=^    \w+: |\Z)", re.DOTALL | re.MULTILINE)
_MIB = 2**20


def rendered(page: str) -> str:
    """Give a page with its generated parts made anew."""
    return _PART.sub(lambda part: part[1] + _part(part[2], part[3]) + part[4], page)


def parts(page: str, kind: str) -> list[str]:
    """Name the generated parts of a page."""
    return [part[3] for part in _PART.finditer(page) if part[2] == kind]


def models() -> dict[str, type[BaseModel]]:
    """Give the model of each table that the toml can have, by the table's name; the top level's is ``top``."""
    found: dict[str, type[BaseModel]] = {"top": Settings, "limits": Limits, **dict(_with_inner("chats", ChatTable))}
    host = PluginHost()
    for plugin in installed():
        if plugin.distribution in {"nanokimi", *_own_distributions()}:
            for provided in host.provided(plugin.name):
                found |= dict(_with_inner(f"plugins.{provided.spec.name}", provided.spec.config))
    return found


def _own_distributions() -> set[str]:
    """Name the plugins of this repository; what the examples can be told stands in their own READMEs."""
    projects = (DOCS.parent / "plugins").glob("*/pyproject.toml")
    return {tomllib.loads(path.read_text())["project"]["name"] for path in projects}


def commands() -> list[str]:
    """Name each command that does something: of a group the inner ones, and the group where it can stand alone."""
    found: list[str] = []
    for name in BUILT_IN:
        command: Any = typer.main.get_command(importlib.import_module(f"nanokimi_core.cli.{name}").app)
        inner = list(getattr(command, "commands", {}))
        if not inner or command.params:  # without options of its own a group does nothing
            found.append(name)
        found += [f"{name} {each}" for each in inner]
    return found


def plugin_commands() -> list[str]:
    """Name each command that a plugin of this repository brings, such as ``whatsapp link``."""
    found: list[str] = []
    host = PluginHost()
    for plugin in installed():
        if plugin.distribution in _own_distributions():
            for provided in (each for each in host.provided(plugin.name) if each.spec.commands):
                inner = getattr(import_commands(provided), "commands", {})
                found += [f"{provided.spec.name} {each}" for each in inner]
    return found


def _part(kind: str, name: str) -> str:
    return {"keys": lambda: _keys(models()[name]), "help": lambda: _help(name), "file": lambda: _file(name)}[kind]()


def _file(described: str) -> str:
    """Give a file of an example, or the parts of it that are named, each from the left margin."""
    name, *wanted = described.split()
    path = DOCS / "plugins" / name
    text = path.read_text()
    if wanted:
        lines, tree = text.splitlines(), ast.parse(text)
        found = ["\n".join(lines[slice(*_lines(tree, each))]) for each in wanted]
        text = "\n\n\n".join(map(textwrap.dedent, found)) + "\n"
    language = {".py": "python", ".toml": "toml"}[path.suffix]
    return f"```{language}\n{text}```\n"


def _lines(tree: ast.AST, name: str) -> tuple[int, int]:
    """Find a class, a function or ``Class.method``, its decorators included; lines from 0."""
    found: Any = tree
    for part in name.split("."):
        found = next(node for node in found.body if getattr(node, "name", None) == part)
    first = min([found.lineno, *(each.lineno for each in found.decorator_list)])
    return first - 1, found.end_lineno


def _with_inner(name: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    if not model.model_fields:
        return
    yield name, model
    for key, field in model.model_fields.items():
        for inner in _inner(field.annotation):
            yield from _with_inner(f"{name}.{key}", inner)


def _inner(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _inner(argument)]


def _keys(model: type[BaseModel]) -> str:
    meanings = _meanings(model)
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = field.description or meanings.get(name)
        assert meaning, f"{model.__module__}.{model.__qualname__}.{name} has no description"
        rows.append(f"| `{field.alias or name}` | {_default(field)} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    _, _, attributes = (model.__doc__ or "").partition("Attributes:\n")
    text = "\n".join(line.removeprefix("    ") for line in attributes.splitlines())
    return {match[1]: _one_line(match[2]) for match in _ATTRIBUTE.finditer(text)}


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("`None` is", "left out, it is")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "not set"
    if isinstance(value, BaseModel):
        return "its own table"
    if isinstance(value, timedelta):
        return f'`"{duration(value)}"`'
    if isinstance(value, int) and value >= _MIB and value % _MIB == 0:
        return f'`"{value // 2**30}g"`' if value % 2**30 == 0 else f'`"{value // _MIB}m"`'
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    if isinstance(value, (tuple, list)):
        return f"`[{', '.join(f'{chr(34)}{each}{chr(34)}' for each in value)}]`"
    return "none" if value == {} else f"`{value}`"


def _help(name: str) -> str:
    before = {key: os.environ.get(key) for key in ("COLUMNS", "LINES")}
    os.environ["COLUMNS"] = "80"
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert run([*name.split(), "--help"]) == 0
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value
    text = "\n".join(line.rstrip() for line in said.getvalue().strip("\n").splitlines())
    return f"```text\n{text}\n```\n"


if __name__ == "__main__":
    contract_pages.write()
    for name in PAGES:
        page = DOCS / name
        page.write_text(rendered(page.read_text()))
