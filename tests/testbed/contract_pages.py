"""docs/plugins/reference/: a page for each part of the contract, made from the docstrings.

Every name that ``nanokimi_core`` and ``nanokimi_core.testing`` export stands on exactly one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nanokimi_core
import nanokimi_core.testing
from nanokimi_core import hookspecs
from nanokimi_core.testing import plugin
from testbed.described import Described, Docstring, Member, described

FOLDER = Path(__file__).parent.parent.parent / "docs" / "plugins" / "reference"
_ELSEWHERE = "plugin"


@dataclass(frozen=True)
class Page:
    """A page: what it is about, and the modules beneath ``nanokimi_core`` whose public names stand on it."""

    title: str
    about: str
    modules: tuple[str, ...]


PAGES = {
    "registration": Page("Registration", "how a plugin says what it provides", ("hookspecs",)),
    "plugin": Page(
        "Every plugin", "what every plugin gets and may offer, and helpers", ("contracts.plugin", "settings", "files")
    ),
    "transport": Page("Transports", "a chat network", ("contracts.transport",)),
    "messages": Page("Messages", "what travels between a transport and the core", ("messages",)),
    "backend": Page("Backends", "where an assistant thinks", ("contracts.backend", "conversation.prompt")),
    "auth": Page("Auth plugins", "an account that pays", ("contracts.auth", "refusals")),
    "errors": Page("Errors", "what a plugin raises, and what commands show", ("errors",)),
    "testing": Page(
        "The testing kit",
        "what a plugin is tested with",
        (
            "testing.bot",
            "testing.network",
            "testing.agent",
            "testing.account",
            "testing.clock",
            "testing.plugin",
            "testing.suites",
            "testing.conformance.rigs",
            "testing.conformance.checks",
            "testing.conformance.transport.abilities",
            "testing.conformance.backend.abilities",
            "testing.conformance.auth.abilities",
            "testing",
        ),
    ),
}


def home(value: Any, name: str) -> str:
    """Give the module in which a public name is defined, beneath ``nanokimi_core``."""
    for package in (nanokimi_core, nanokimi_core.testing):
        for module, names in package._HOMES.items():
            if name in names and getattr(package, name) is value:
                return f"{package.__name__}.{module}".removeprefix("nanokimi_core.")
    raise AssertionError(f"{name} is public, and _HOMES doesn't say where it comes from")


def public() -> dict[str, list[tuple[str, Any]]]:
    """Give the public names of each page."""
    found: dict[str, list[tuple[str, Any]]] = {page: [] for page in PAGES}
    for package in (nanokimi_core, nanokimi_core.testing):
        for name in package.__all__:
            value = getattr(package, name)
            found[_page_of(home(value, name))].append((name, value))
    return found


def _page_of(module: str) -> str:
    places = [page for page, told in PAGES.items() if module.startswith(told.modules)]
    return places[0] if places else _ELSEWHERE


def rendered() -> dict[str, str]:
    """Give every page as it should be, by its file's name."""
    names = public()
    return {"README.md": _index(names), **{f"{page}.md": _page(page, names[page]) for page in PAGES}}


def _index(names: dict[str, list[tuple[str, Any]]]) -> str:
    rows = [
        f"| [{told.title}]({page}.md) | {told.about} | {', '.join(f'`{name}`' for name, _ in sorted(names[page]))} |"
        for page, told in PAGES.items()
    ]
    text = [
        "# Reference",
        "Made from the docstrings of what plugins may import: from `nanokimi_core`, and on the last page from "
        "`nanokimi_core.testing`. How the parts work together is told in the [guide](../README.md).",
        "\n".join(["| page | | names |", "|---|---|---|", *rows]),
    ]
    return "\n\n".join(text) + "\n"


def _page(page: str, names: list[tuple[str, Any]]) -> str:
    told = PAGES[page]
    package = "nanokimi_core.testing" if page == "testing" else "nanokimi_core"
    parts = [f"# {told.title}", f"[Reference](README.md) · `from {package} import …`"]
    for module, described_names in _by_module(names):
        parts += ["---"] * (len(parts) > 2) + [Docstring.of(module.__doc__).prose]
        if module is hookspecs:
            parts += _hooks()
        for one in described_names:
            parts += _name(one)
    if page == "testing":
        parts += ["---", *_fixtures()]
    return "\n\n".join(filter(None, parts)) + "\n"


def _by_module(names: list[tuple[str, Any]]) -> Iterator[tuple[ModuleType, list[Described]]]:
    """Group names by module, in the order of the source."""
    modules: dict[str, list[tuple[str, Any]]] = {}
    for name, value in names:
        modules.setdefault(home(value, name), []).append((name, value))
    for module in sorted(modules, key=_rank):
        found = sys.modules[f"nanokimi_core.{module}"]
        yield found, sorted((described(*each, found) for each in modules[module]), key=lambda one: one.line)


def _rank(module: str) -> tuple[int, str]:
    listed = [one for told in PAGES.values() for one in told.modules]
    return (listed.index(module) if module in listed else len(listed), module)


def _hooks() -> list[str]:
    hooks = described("Hooks", hookspecs.Hooks, hookspecs)
    rows = [f"| `{hook.signature.removeprefix('def Hooks.')}` | {hook.doc.prose} |" for hook in hooks.members]
    return ["## Hooks", "\n".join(["| hook | |", "|---|---|", *rows])]


def _fixtures() -> list[str]:
    found = [described(name, None, plugin) for name in vars(plugin) if name.startswith("nanokimi_")]
    rows = [f"| `{one.name}` | {_text(one.doc.prose)} |" for one in found]
    head = "## Fixtures", "pytest finds them by itself where NanoKimi is installed."
    return [*head, "\n".join(["| fixture | |", "|---|---|", *rows])]


def _name(one: Described) -> list[str]:
    plain = [member for member in one.members if not member.signature]
    methods = [member for member in one.members if member.signature]
    parts = [f"## `{one.name}`", _code(one.signature), one.doc.prose]
    if one.bases and "(" in one.signature and not one.signature.endswith(f"({', '.join(one.bases)})"):
        parts.append(f"Derived from {', '.join(f'`{base}`' for base in one.bases)}.")
    parts += [_fields(plain), *_sections(one.doc, besides="Attributes")]
    for method in methods:
        parts += [f"### `{one.name}.{method.name}`", _code(method.signature), method.doc.prose, *_sections(method.doc)]
    return parts


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _fields(members: list[Member]) -> str:
    if not members:
        return ""
    rows = [
        f"| `{each.name}` | {_cell(each.annotation)} | {_cell(each.default)} | {_text(each.doc.prose)} |"
        for each in members
    ]
    return "\n".join(["| field | type | default | |", "|---|---|---|---|", *rows])


def _cell(text: str) -> str:
    return f"`{_text(text)}`" if text else ""


def _text(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _sections(doc: Docstring, besides: str = "") -> list[str]:
    return [
        "\n".join([f"{title}:", "", *(f"- `{name}`: {text}" for name, text in entries.items())])
        for title, entries in doc.sections.items()
        if title != besides and entries
    ]


def write() -> None:
    """Write every page, and remove what is none."""
    FOLDER.mkdir(exist_ok=True)
    pages = rendered()
    for path in FOLDER.iterdir():
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (FOLDER / name).write_text(text)
