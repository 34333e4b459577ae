"""The README's table is one that the transport takes, and names every key of it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from nanokimi_transport_irc.settings import Secret, Settings

README = (Path(__file__).parent.parent / "README.md").read_text()


def table(*, with_comments: bool = False) -> dict[str, Any]:
    """Give [plugins.irc] of the README's toml, with what stands in comments where that is wanted."""
    (block,) = re.findall(r"^```toml\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    if with_comments:
        block = re.sub(r"^# (?=\w+ = )", "", block, flags=re.MULTILINE)
    found: dict[str, Any] = tomllib.loads(block)["plugins"]["irc"]
    return found


def test_the_readmes_table_is_accepted_as_it_stands_and_with_what_it_leaves_as_comments() -> None:
    assert Settings.model_validate(table()).nick == "Kai"
    assert Settings.model_validate(table(with_comments=True)).login == "sasl"


def test_what_the_readme_gives_as_defaults_are_the_defaults() -> None:
    told = {key: value for key, value in table(with_comments=True).items() if key not in table()}
    given = {key: value for key, value in told.items() if key != "ca_file"}  # an example: there is none by default
    settings = Settings.model_validate(table())
    assert {"port": settings.address[1]} | {key: getattr(settings, key) for key in given if key != "port"} == given


@pytest.mark.parametrize("model", [Settings, Secret])
def test_every_key_is_in_the_readme(model: type[BaseModel]) -> None:
    assert [key for key in model.model_fields if not re.search(rf"\b{key} = ", README)] == []
