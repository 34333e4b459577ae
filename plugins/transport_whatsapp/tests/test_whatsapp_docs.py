"""What the pages say of the plugin's table, states and commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nanokimi_transport_whatsapp import Settings
from nanokimi_transport_whatsapp.child.limits import MB, Limits
from nanokimi_transport_whatsapp.states import STATES
from testbed.reference import DOCS, parts, plugin_commands

PAGE = (DOCS / "whatsapp.md").read_text()
README = (Path(__file__).parent.parent / "README.md").read_text()


def section(title: str) -> str:
    """Give the text beneath a heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def tables(text: str) -> list[dict[str, Any]]:
    """Give the tables of this plugin's instances in a page's examples."""
    blocks = [tomllib.loads(block) for block in re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    found = [(name, table) for block in blocks for name, table in block.get("plugins", {}).items()]
    return [table for name, table in found if table.pop("use", name) == "whatsapp"]


@pytest.mark.parametrize("page", [PAGE, README], ids=["whatsapp.md", "README.md"])
def test_every_example_is_accepted(page: str) -> None:
    for table in tables(page):
        Settings.model_validate(table)
    assert "```toml" in page


def test_every_setting_is_explained_and_none_that_there_is_not() -> None:
    listed = re.findall(r"`([a-z_]+)`(?=[,:; ])", " ".join(re.findall(r"^- (.*?):", section("Settings"), re.M)) + " ")
    text = section("Settings")
    assert [name for name in Settings.model_fields if f"`{name}`" not in text] == []
    assert [name for name in listed if name not in Settings.model_fields] == []


def test_every_state_is_explained_and_none_that_there_is_not() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", section("How it stands"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(STATES)


def test_every_command_stands_on_the_page_with_its_help() -> None:
    ours = [command for command in plugin_commands() if command.startswith("whatsapp ")]
    assert parts(PAGE, "help") == ours
    assert len(ours) == 4


def test_the_waits_and_limits_that_the_page_names_are_the_settings_own() -> None:
    default = Settings()
    assert f"from {default.first_retry:g} s to {default.longest_retry / 60:g} minutes" in PAGE
    assert f"begun anew after {default.away_seconds / 60:g} minutes" in PAGE
    assert (
        f"{default.per_minute} a minute in all, {default.per_minute_chat} a minute and {default.burst} at once" in PAGE
    )
    assert f"over {default.max_media} MB" in PAGE
    limits = Limits()
    assert f"less than {limits.room_to_stay // MB} MB are free" in " ".join(PAGE.split())
    assert f"until {limits.room_to_open // MB} MB are" in PAGE
