"""The guide for plugin authors leaves nothing out, and what it shows can be seen."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import nanokimi_core
from nanokimi_core import Spec, Traits
from nanokimi_core.config.model import Limits
from testbed.reference import DOCS, _keys, commands, models, parts, rendered

GUIDE = DOCS / "plugins"
SOURCE = DOCS.parent / "src" / "nanokimi_core"
PICTURE = GUIDE / "how-a-message-travels.svg"
PAGES = sorted(GUIDE.glob("*.md"))
SVG = "{http://www.w3.org/2000/svg}"


def first_cells(page: str, head: str) -> list[str]:
    """Give the first column of the table on a page whose head begins so."""
    table = re.search(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", (GUIDE / page).read_text(), re.MULTILINE)
    assert table is not None, f"{page} has no table that begins with {head}"
    return [line.split("|")[1].strip() for line in table[1].splitlines()]


def code_in(*texts: str) -> set[str]:
    """Give every word that is set as code."""
    return set(re.findall(r"\w+", " ".join(span for text in texts for span in re.findall(r"`([^`\n]+)`", text))))


def protocols() -> list[str]:
    values = [(name, getattr(nanokimi_core, name)) for name in nanokimi_core.__all__]
    return [name for name, value in values if getattr(value, "_is_protocol", False)]


def untold(names: list[str], texts: list[str]) -> list[str]:
    return sorted(set(names) - code_in(*texts))


# --------------------------------------------------------------------- nothing is left out
def test_every_page_is_reached_from_the_entry() -> None:
    entry = (GUIDE / "README.md").read_text()
    assert [page.name for page in PAGES if page.name != "README.md" and f"]({page.name})" not in entry] == []
    assert [each.name for each in GUIDE.iterdir() if each.is_dir() and f"]({each.name}" not in entry] == []


def test_every_protocol_is_told_in_the_guide() -> None:
    assert len(protocols()) > 15
    assert untold(protocols(), [page.read_text() for page in PAGES]) == []


def test_a_protocol_that_nobody_tells_of_would_be_noticed() -> None:
    pages = [page.read_text().replace("`ListsMembers`", "them") for page in PAGES]
    assert untold(protocols(), pages) == ["ListsMembers"]


def test_every_trait_and_every_part_of_a_spec_is_told() -> None:
    traits = [field for cell in first_cells("network.md", "trait") for field in re.findall(r"`(\w+)`", cell)]
    assert sorted(traits) == sorted(Traits.__dataclass_fields__)
    entry = (GUIDE / "README.md").read_text()
    assert [name for name in inspect.signature(Spec).parameters if f"`{name}" not in entry and name != "name"] == []


def test_every_error_that_an_author_meets_is_one_that_the_core_says() -> None:
    source = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    told = first_cells("life.md", "the error says")
    assert len(told) > 10
    assert [phrase for phrase in told if not said_in(source, phrase)] == []
    assert not said_in(source, "has no hoook in")


def said_in(source: str, phrase: str) -> bool:
    """Whether what stands between the gaps and the code of a phrase stands in the source."""
    fixed = [part.strip(" ,") for part in re.split(r"…|`[^`]*`", phrase)]
    return all(part in source for part in fixed if part)


# --------------------------------------------------------------------- generated parts, and that they are compared
def test_a_changed_key_a_changed_command_and_a_changed_example_would_be_noticed() -> None:
    pages = {"configuration.md": "turn_silence", "commands.md": "--once TEXT", "plugins/backend.md": "async def cancel"}
    for name, word in pages.items():
        page = (DOCS / name).read_text()
        assert word in page
        assert rendered(page.replace(word, "")) == rendered(page) != page.replace(word, "")


def test_every_key_of_the_toml_is_in_a_part_that_is_made_from_its_model() -> None:
    told = parts((DOCS / "configuration.md").read_text(), "keys")
    fields = {name: list(model.model_fields) for name, model in models().items()}
    assert sorted(told) == sorted(fields)
    assert {"top", "limits", "chats", "plugins.apikey", "plugins.oauth_file", "plugins.kimi_docker"} <= fields.keys()
    rows = {name: re.findall(r"^\| `(\w+)` \|", _keys(model), re.MULTILINE) for name, model in models().items()}
    assert {name: len(row) for name, row in rows.items()} == {name: len(row) for name, row in fields.items()}
    assert set(Limits.model_fields) <= set(rows["limits"])


def test_every_command_and_subcommand_is_known_to_the_docs() -> None:
    named = commands()
    assert {"run", "auth login", "plugins", "plugins new", "plugins check", "dead retry", "debug probe"} <= set(named)
    assert len(named) == len(set(named)) > 25


# --------------------------------------------------------------------- the picture
def test_the_pictures_numbers_are_those_of_the_table() -> None:
    texts = [each.text or "" for each in ElementTree.parse(PICTURE).iter(f"{SVG}text") if each.get("class") == "number"]  # noqa: S314
    numbers = [text.split()[0] for text in texts]
    rows = [cell.split()[0] for cell in first_cells("how-a-message-travels.md", "station")]
    assert sorted(numbers) == rows == [str(number) for number in range(1, 9)]


def test_the_picture_needs_nothing_from_elsewhere_and_can_be_read_in_the_dark_and_aloud() -> None:
    text = PICTURE.read_text()
    root = ElementTree.parse(PICTURE).getroot()  # noqa: S314
    assert (root.findtext(f"{SVG}title"), bool(root.findtext(f"{SVG}desc"))) == ("How a message travels", True)
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)|@import|@font-face|<image|<script", text) == []
    alternatives = re.findall(r"!\[([^\]]*)\]", (GUIDE / "how-a-message-travels.md").read_text())
    assert [len(alternative) > 40 for alternative in alternatives] == [True]


def test_each_colour_of_the_picture_has_another_one_in_the_dark() -> None:
    light, _, dark = PICTURE.read_text().partition("@media (prefers-color-scheme: dark)")
    coloured = re.findall(r"^\s*(\.?\w+) \{[^}]*(?:fill|stroke): #", light, re.MULTILINE)
    assert len(coloured) > 5
    assert [name for name in coloured if not re.search(rf"^\s*{re.escape(name)} \{{", dark, re.MULTILINE)] == []


# --------------------------------------------------------------------- first steps
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_short(page: Path) -> None:
    prose: Any = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert len(prose.split()) < 1500
