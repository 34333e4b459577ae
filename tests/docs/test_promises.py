"""Every promise in the docs is kept by a test that exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from nanokimi_core.testing.conformance.auth.suite import AUTH_CHECKS
from nanokimi_core.testing.conformance.backend.suite import BACKEND_CHECKS
from nanokimi_core.testing.conformance.transport.suite import TRANSPORT_CHECKS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "plugins" / "promises.md").read_text()
OURS, THEIRS = PAGE.split("## What a plugin promises")
CHECKS = {"transport": TRANSPORT_CHECKS, "backend": BACKEND_CHECKS, "auth": AUTH_CHECKS}


def rows(text: str) -> list[list[str]]:
    """Give the rows of a page's tables, without heads and rules."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    rules = {number for number, row in enumerate(cells) if set("".join(row)) == {"-"}}
    return [row for number, row in enumerate(cells) if number not in rules and number + 1 not in rules]


@cache
def found_in(file: str) -> frozenset[str]:
    path = ROOT / file
    tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(node.name for node in found if node.name.startswith("test_"))


def broken(text: str) -> list[str]:
    """Name the promises without a test, and the tests that there are not."""
    found = []
    for *_, promise, kept in rows(text):
        named = re.findall(r"`([\w/.]+)::(\w+)`", kept)
        found += [promise] if not named else []
        found += [f"{file}::{test}" for file, test in named if test not in found_in(file)]
    return found


def unchecked(text: str) -> list[str]:
    """Name the promises without a check, and the checks that the suites don't have."""
    found = []
    for kind, promise, kept in rows(text):
        kinds = CHECKS.values() if kind == "all" else [CHECKS[kind]]
        known = {check.name for checks in kinds for check in checks}
        named = re.findall(r"`([\w ]+)`", kept)
        found += [promise] if not named else []
        found += [f"{kind}: {name}" for name in named if name not in known]
    return found


def test_every_promise_of_the_core_names_tests_that_exist() -> None:
    assert len(rows(OURS)) > 20
    assert broken(OURS) == []


def test_each_of_the_thirteen_promises_of_the_design_is_there() -> None:
    numbered = {row[0]: row[1] for row in rows(OURS) if row[0].isdigit()}
    words = {
        "1": ("deliver", "kill -9"),
        "2": ("one turn",),
        "3": ("dead letter", "tried again", "owner"),
        "4": ("same key",),
        "5": ("order", "side by side", "stuck"),
        "6": ("cap",),
        "7": ("counted before", "dead letter"),
        "8": ("raises", "hangs", "named"),
        "9": ("SIGTERM", "second signal"),
        "10": ("one plain sentence", "secret", "triggers"),
        "11": ("refused",),
        "12": ("One process",),
        "13": ("duplicate, refused or accepted",),
    }
    assert sorted(numbered, key=int) == list(words)
    assert [number for number, told in words.items() if any(word not in numbered[number] for word in told)] == []


def test_every_promise_of_a_plugin_names_checks_that_exist() -> None:
    assert len(rows(THEIRS)) > 10
    assert unchecked(THEIRS) == []


def test_a_promise_that_nothing_keeps_would_be_noticed() -> None:
    real = "tests/test_plugins.py::test_only_what_is_asked_for_is_imported"
    table = "| promise | kept by |\n|---|---|\n| {} | {} |\n"
    assert broken(table.format("It is so.", f"`{real}`")) == []
    assert broken(table.format("It is so.", f"`{real}_not`")) == [f"{real}_not"]
    assert broken(table.format("It is so.", "our word")) == ["It is so."]
    three = "| | promise | check |\n|---|---|---|\n| transport | It is so. | {} |\n"
    assert unchecked(three.format("`keeps the order`")) == []
    assert unchecked(three.format("`keeps the odour`")) == ["transport: keeps the odour"]
