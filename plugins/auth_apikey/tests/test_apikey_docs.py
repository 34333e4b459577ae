from __future__ import annotations

from pathlib import Path

import pytest

from nanokimi_auth_apikey import Settings
from testbed.plugin_docs import PluginPages

PAGES = PluginPages("apikey", Path(__file__).parent.parent, Settings)


@pytest.mark.parametrize("page", ["README.md", "auth.md"])
def test_every_example_is_accepted(page: str) -> None:
    PAGES.accept_every_example(page)


@pytest.mark.parametrize("page", ["README.md", "auth.md"])
def test_every_setting_is_documented(page: str) -> None:
    assert PAGES.undocumented(page) == []


def test_what_the_readme_leaves_as_a_comment_is_accepted_too() -> None:
    table = PAGES.commented_out()
    assert set(table) <= set(Settings.model_fields)
    for key, value in table.items():
        Settings.model_validate({"account": table["account"]} | {key: value})
