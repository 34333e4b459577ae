from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nanokimi_auth_oauth_file.settings import Settings


def refusal(table: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(table)
    return "; ".join(error["msg"] for error in caught.value.errors(include_input=False))


def test_an_empty_table_is_the_subscription_in_china_with_its_default_model() -> None:
    settings = Settings.model_validate({})
    assert (settings.host, settings.endpoint) == ("https://auth.kimi.com", "https://api.kimi.com/coding/v1")
    assert (settings.model, settings.context_size) == ("kimi-for-coding", 262_144)
    assert settings.capabilities == {"thinking", "image_in", "video_in"}
    assert settings.is_default
    assert settings.path is None


@pytest.mark.parametrize(
    ("table", "host", "endpoint"),
    [
        ({"region": "ai"}, "https://auth.kimi.ai", "https://api.kimi.ai/coding/v1"),
        ({"base_url": "https://proxy.example/v1/"}, "https://auth.kimi.com", "https://proxy.example/v1"),
        ({"oauth_host": "http://127.0.0.1:9/"}, "http://127.0.0.1:9", "https://api.kimi.com/coding/v1"),
    ],
)
def test_region_and_servers_can_be_set(table: dict[str, Any], host: str, endpoint: str) -> None:
    settings = Settings.model_validate(table)
    assert (settings.host, settings.endpoint) == (host, endpoint)
    assert not settings.is_default


def test_the_default_servers_written_out_are_still_the_default() -> None:
    assert Settings(oauth_host="https://auth.kimi.com/", base_url="https://api.kimi.com/coding/v1/").is_default


def test_region_and_servers_do_not_go_together() -> None:
    assert "leave out region" in refusal({"region": "ai", "oauth_host": "https://auth.example"})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"pth": "x"}, "Extra inputs"),
        ({"region": "global"}, "'cn' or 'ai'"),
        ({"oauth_host": "auth.kimi.com"}, "must be a URL"),
        ({"oauth_host": "https://[::1"}, "must be a URL"),
        ({"oauth_host": "http://auth.kimi.com"}, "unencrypted"),
        ({"base_url": "http://203.0.114.9/v1"}, "unencrypted"),
        ({"base_url": "https://me:secret@api.kimi.com"}, "plain URL"),
        ({"model": ""}, "must be a model's id"),
        ({"capabilities": ["No Such"]}, "must be a word"),
        ({"context_size": 1}, "greater than or equal"),
    ],
)
def test_what_cannot_be_used_is_refused(table: dict[str, Any], said: str) -> None:
    assert said in refusal(table)


def test_a_relative_path_starts_from_the_tomls_folder(tmp_path: Path) -> None:
    table = {"path": "data/credentials"}
    there = Settings.model_validate(table, context={"config_path": tmp_path / "nanokimi.toml", "base": tmp_path})
    assert there.path == tmp_path / "data/credentials"
    assert Settings.model_validate(table).path == Path.cwd() / "data/credentials"
    assert Settings.model_validate({"path": "~/.kimi-code"}).path == Path.home() / ".kimi-code"
