"""The plugin API changes only as its version policy allows: knowingly, and never by accident."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

import nanokimi_core
from nanokimi_core import testing
from testbed.api_changes import FULFILLED, Change, changes
from testbed.plugin_api import SNAPSHOT, Lines, plugin_api, read, text_of, written

ROOT = Path(__file__).parent.parent
POLICY = ROOT / "docs" / "plugins" / "versions.md"


def test_the_plugin_api_is_as_it_is_written_down() -> None:
    found = changes(read(SNAPSHOT.read_text()), plugin_api())
    if found:
        pytest.fail("\n".join(map(str, found)), pytrace=False)


def test_every_public_name_is_written_down() -> None:
    lines = read(SNAPSHOT.read_text())
    names = {f"{module.__name__}.{name}" for module in (nanokimi_core, testing) for name in module.__all__}
    assert names - lines.keys() - {"nanokimi_core.__version__"} == set()


def test_what_is_written_down_says_nothing_of_one_machine_or_one_run() -> None:
    text = SNAPSHOT.read_text()
    assert re.findall(r" at 0x\w+|<[\w ]+>|/site-packages|\w+\.py\b(?!\n)", text) == []
    assert text_of(read(text)) == text


def test_the_core_fulfils_the_protocols_that_may_grow() -> None:
    assert {name.partition(".")[2] for name in FULFILLED} <= set(nanokimi_core.__all__)
    text = POLICY.read_text()
    assert [name for name in FULFILLED if f"`{name.partition('.')[2]}`" not in text] == []


def test_the_bounds_that_the_policy_asks_for_are_those_of_our_own_plugins_and_fit_this_core() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", POLICY.read_text(), flags=re.DOTALL | re.MULTILINE)
    (bounds,) = tomllib.loads(block)["project"]["dependencies"]
    assert Requirement(bounds).specifier.contains(nanokimi_core.__version__)
    for file in (ROOT / "plugins").glob("*/pyproject.toml"):
        assert bounds in tomllib.loads(file.read_text())["project"]["dependencies"], file


# --------------------------------------------------------------------- the comparison
BEFORE = """
from __future__ import annotations
import enum
from dataclasses import dataclass, field
from typing import Literal, Protocol

__all__ = ["Line", "Failure", "Inbox", "LineError", "MODE", "Post", "Rig", "cut"]

@dataclass(frozen=True)
class Line:
    text: str
    width: int = 80
    marks: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)

class Failure(enum.Enum):
    LOST = "lost"
    TORN = "torn"

class Post(Protocol):
    name: str
    async def send(self, line: Line, *, again: bool = False) -> str | None: ...
    def lines(self, at: int) -> list[Line]: ...

class Inbox(Protocol):
    async def deliver(self, line: Line) -> None: ...

class LineError(ValueError):
    code = 3
    def __init__(self, why: str, *, line: Line | None = None) -> None: ...

class Rig:
    patience: float = 30.0
    @property
    def ready(self) -> bool: ...
    @classmethod
    def of(cls, name: str) -> Rig: ...

MODE = Literal["plain", "rich"]

def cut(text: str, width: int, mark: str = "-") -> list[Line]: ...
"""
CHANGES: dict[str, tuple[str, str, str, bool]] = {
    "a name is removed": ('"MODE", ', "", "MODE: it is gone", True),
    "a name is added": ('"cut"]', '"cut", "enum"]', "enum: it is new", False),
    "a class is renamed": ("Rig", "Frame", "Rig: it is gone", True),
    "a function's default is changed": (
        '= "-"',
        '= "+"',
        "cut: the default of its parameter mark was '-', and is '+'",
        True,
    ),
    "a default is taken away": (
        ': str = "-"',
        ": str",
        "cut: the default of its parameter mark was '-', and is none",
        True,
    ),
    "a default is given": (
        "width: int, mark",
        "width: int = 80, mark",
        "cut: the default of its parameter width was none, and is 80",
        False,
    ),
    "the order of parameters is changed": (
        "cut(text: str, width: int,",
        "cut(width: int, text: str,",
        "cut: its parameter text was number 1, and is number 2",
        True,
    ),
    "a parameter is renamed": ("cut(text", "cut(words", "cut: its parameter text is gone", True),
    "a parameter is given by name only": (
        'int, mark: str = "-"',
        'int, *, mark: str = "-"',
        "cut: its parameter mark was number 3, and is given by name only",
        True,
    ),
    "a required parameter is added": (
        "width: int, mark",
        "width: int, height: int, mark",
        "cut: its parameter height is new, and needed",
        True,
    ),
    "an optional parameter is added": (
        '"-")',
        '"-", *, deep: bool = False)',
        "cut: its parameter deep is new, with the default False",
        False,
    ),
    "an annotation is changed": (
        "width: int, mark",
        "width: str, mark",
        "cut: its parameter width was int, and is str",
        True,
    ),
    "a result is changed": (
        "-> list[Line]: ...\n\nclass Inbox",
        "-> tuple[Line]: ...\n\nclass Inbox",
        "Post.lines: it gave list[Line], and gives tuple[Line]",
        True,
    ),
    "a method becomes async": (
        "    def lines",
        "    async def lines",
        'Post.lines: it was "def(at: int) -> list[Line]", and is "async def(at: int) -> list[Line]"',
        True,
    ),
    "a field is removed": ("    width: int = 80\n", "", "Line: its parameter width is gone", True),
    "a field's default is changed": (
        "= 80",
        "= 72",
        "Line: the default of its parameter width was 80, and is 72",
        True,
    ),
    "an optional field is added at the end": (
        "default_factory=dict)\n",
        "default_factory=dict)\n    colour: str = ''\n",
        "Line: its parameter colour is new, with the default ''",
        False,
    ),
    "an optional field is added in the middle": (
        "    width: int = 80\n",
        "    colour: str = ''\n    width: int = 80\n",
        "Line: its parameter width was number 2, and is number 3",
        True,
    ),
    "a required field is added": (
        "    text: str\n",
        "    text: str\n    chat: str\n",
        "Line: its parameter chat is new, and needed",
        True,
    ),
    "a dataclass thaws": ("frozen=True", "frozen=False", 'Line: it was "frozen dataclass(', True),
    "a protocol gets a method": (
        "    def lines",
        "    async def close(self) -> None: ...\n    def lines",
        "Post.close: it is new in a protocol, and plugins that have all the rest of made.Post lack it",
        True,
    ),
    "a method of a protocol gets an optional parameter": (
        "again: bool = False)",
        "again: bool = False, late: bool = False)",
        "Post.send: its parameter late is new, with the default False",
        True,
    ),
    "a protocol that the core fulfils gets a method": (
        "    async def deliver",
        "    def typing(self) -> None: ...\n    async def deliver",
        "Inbox.typing: it is new",
        False,
    ),
    "a protocol that the core fulfils gets an optional parameter": (
        "deliver(self, line: Line)",
        "deliver(self, line: Line, *, late: bool = False)",
        "Inbox.deliver: its parameter late is new, with the default False",
        False,
    ),
    "a protocol loses a method": (
        "    def lines(self, at: int) -> list[Line]: ...\n",
        "",
        "Post.lines: it is gone",
        True,
    ),
    "an attribute of a protocol changes its type": (
        "    name: str\n",
        "    name: bytes\n",
        'Post.name: it was "attribute str", and is "attribute bytes"',
        True,
    ),
    "an enum loses a member": ('    TORN = "torn"\n', "", "Failure.TORN: it is gone", True),
    "an enum gets a member": (
        '    TORN = "torn"\n',
        '    TORN = "torn"\n    WET = "wet"\n',
        "Failure.WET: it is new",
        False,
    ),
    "an enum's value is changed": (
        '"torn"',
        '"ripped"',
        "Failure.TORN: it was \"value 'torn'\", and is \"value 'ripped'\"",
        True,
    ),
    "an exception gets another base": (
        "(ValueError)",
        "(OSError)",
        'LineError: it was "exception of ValueError(',
        True,
    ),
    "an exception's constructor needs more": (
        "*, line: Line | None = None",
        "*, line: Line | None",
        "LineError: the default of its parameter line was None, and is none",
        True,
    ),
    "an attribute of a class is changed": (
        "code = 3",
        "code = 4",
        'LineError.code: it was "attribute = 3", and is "attribute = 4"',
        True,
    ),
    "a property becomes a method": (
        "    @property\n    def ready",
        "    def ready",
        'Rig.ready: it was "property -> bool", and is "def() -> bool"',
        True,
    ),
    "a class gets an abstract method": (
        "    @classmethod",
        "    from abc import abstractmethod\n    @abstractmethod\n    def wait(self) -> None: ...\n    @classmethod",
        "Rig.wait: it is new and abstract, and what derives from made.Rig lacks it",
        True,
    ),
    "a choice is taken from a type": (
        '"plain", "rich"',
        '"plain"',
        "MODE: it was \"type Literal['plain', 'rich']\", and is \"type Literal['plain']\"",
        True,
    ),
}


def made(source: str) -> Lines:
    module = sys.modules["made"] = ModuleType("made")
    try:
        exec(compile(source, "made.py", "exec", dont_inherit=True), vars(module))  # noqa: S102  # the test's own text
        return written(module)
    finally:
        del sys.modules["made"]


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_named_and_told_from_an_addition(what: str) -> None:
    before, after, wanted, breaks = CHANGES[what]
    assert before in BEFORE
    found = changes(made(BEFORE), made(BEFORE.replace(before, after)), fulfilled={"made.Inbox"})
    matching = [change for change in found if f"{change.name}: {change.what}".startswith(f"made.{wanted}")]
    assert matching, f"only these were found: {found}"
    assert all(change.breaks is breaks for change in matching)
    assert any(change.breaks for change in found) is breaks


def test_what_stays_the_same_is_no_change() -> None:
    assert changes(made(BEFORE), made(BEFORE)) == []
    assert changes(read(text_of(made(BEFORE))), made(BEFORE)) == []


def test_a_class_that_is_gone_is_named_once_and_not_with_all_that_it_had() -> None:
    found = changes(made(BEFORE), made(BEFORE.replace('"Post", ', "")))
    assert found == [Change("made.Post", "it is gone", True)]


def test_the_sentence_says_what_the_policy_asks_for() -> None:
    breaking, harmless = Change("made.cut", "it is gone", True), Change("made.saw", "it is new", False)
    assert str(breaking).startswith(
        "made.cut: it is gone; that can break a plugin: docs/plugins/versions.md asks for a "
    )
    assert "a new minor version, and for a line under Changed in CHANGELOG.md" in str(breaking)
    assert str(harmless) == (
        "made.saw: it is new; that breaks nothing: renew tests/plugin_api.txt with "
        "PYTHONPATH=tests .venv/bin/python -m testbed.plugin_api"
    )
