from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nanokimi_auth_oauth_file import Settings

HERE = Path(__file__).parent.parent
PAGES = {"README.md": HERE / "README.md", "auth.md": HERE.parent.parent / "docs/auth.md"}


def tables(page: Path) -> list[dict[str, Any]]:
    """This plugin's tables in a page's examples, as they stand and with what is commented out."""
    blocks = re.findall(r"^```toml\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = []
    for block in blocks:
        plugins = tomllib.loads(block).get("plugins", {})
        found += [table for name, table in plugins.items() if table.pop("use", name) == "oauth_file"]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_example_is_accepted(page: str) -> None:
    for table in tables(PAGES[page]):
        Settings.model_validate(table)


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_is_documented(page: str) -> None:
    text = PAGES[page].read_text()
    section = text[text.index("## `oauth_file`") :] if page == "auth.md" else text
    assert [name for name in Settings.model_fields if name not in section] == []


def test_what_the_readme_leaves_as_a_comment_is_accepted_too() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGES["README.md"].read_text(), flags=re.DOTALL | re.MULTILINE)
    table = tomllib.loads(re.sub(r"^# ", "", block, flags=re.MULTILINE))["plugins"]["oauth_file"]
    assert set(table) <= set(Settings.model_fields)
    for key, value in table.items():
        Settings.model_validate({key: value})
