"""The pages that list every key and every command say what the code says."""

from __future__ import annotations

import json
import re

import pytest

from nanokimi_core import errors
from testbed.reference import DOCS, PAGES, commands, models, parts, plugin_commands, rendered
from testbed.site import Call, Site

REMEDY = "run: PYTHONPATH=tests python -m testbed.reference"


@pytest.mark.parametrize("name", PAGES)
def test_the_generated_parts_are_up_to_date(name: str) -> None:
    page = (DOCS / name).read_text()
    assert rendered(page) == page, REMEDY


def test_every_table_of_the_toml_is_documented() -> None:
    assert sorted(parts((DOCS / "configuration.md").read_text(), "keys")) == sorted(models())


def test_every_command_is_documented() -> None:
    assert sorted(parts((DOCS / "commands.md").read_text(), "help")) == sorted(commands())


def test_every_command_of_a_plugin_is_documented() -> None:
    documented = [command for page in PAGES for command in parts((DOCS / page).read_text(), "help")]
    assert set(plugin_commands()) <= set(documented)


def test_every_exit_code_of_an_error_is_documented() -> None:
    codes = re.findall(r"^\| (\d+) \|", (DOCS / "commands.md").read_text(), flags=re.MULTILINE)
    trees: list[type[errors.NanoKimiError]] = [errors.NanoKimiError, *errors.NanoKimiError.__subclasses__()]
    assert {str(tree.exit_code) for tree in trees} <= set(codes)


def documented(command: str) -> dict[str, object]:
    _, _, after = (DOCS / "commands.md").read_text().partition(f"## `nanokimi {command}`")
    found = re.search(r"^```json\n(.*?)^```", after, flags=re.DOTALL | re.MULTILINE)
    assert found is not None
    answer: dict[str, object] = json.loads(found[1])
    return answer


def shape(value: object) -> object:
    """Give the keys of a JSON value, all the way down; what is free there is left out."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key not in ("details", "counters")}
    return [shape(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None


@pytest.mark.parametrize("command", ["plugins", "doctor", "image status", "auth status", "debug config", "debug probe"])
def test_what_is_printed_for_programs_has_the_documented_form(call: Call, site: Site, command: str) -> None:
    site.ours("lab", "vault")
    site.toml('backend = "lab"\nauth = "vault"\n')
    printed = json.loads(call(*command.split(), "--json").out)
    assert shape(printed) == shape(documented(command))
