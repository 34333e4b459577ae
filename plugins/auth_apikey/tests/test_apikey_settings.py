from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from nanokimi_auth_apikey.endpoints import MODELS
from nanokimi_auth_apikey.settings import KeySource, LiteralKey, Settings

CANARY = "sk-canary-0123456789abcdefghij"


def refusal(table: dict[str, Any], context: dict[str, Any] | None = None) -> str:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(table, context=context)
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value)
    errors = caught.value.errors(include_input=False)
    assert CANARY not in repr(errors)
    return "; ".join(error["msg"] for error in errors)


def toml_of_mode(folder: Path, mode: int) -> dict[str, Any]:
    toml = folder / "nanokimi.toml"
    toml.write_text(f'[plugins.apikey]\nkey = "{CANARY}"\n')
    toml.chmod(mode)
    return {"config_path": toml, "base": folder}


def test_an_empty_table_is_the_platform_in_china_with_its_default_model() -> None:
    settings = Settings.model_validate({})
    assert settings.endpoint == "https://api.moonshot.cn/v1"
    assert settings.model_id == "kimi-k2.6"
    assert settings.known.context_size == 262_144
    assert "thinking" in settings.known.capabilities


@pytest.mark.parametrize(
    ("table", "endpoint", "model"),
    [
        ({"region": "ai"}, "https://api.moonshot.ai/v1", "kimi-k2.6"),
        ({"account": "kimi-code"}, "https://api.kimi.com/coding/v1", "kimi-for-coding"),
        ({"account": "kimi-code", "region": "ai"}, "https://api.kimi.ai/coding/v1", "kimi-for-coding"),
        ({"base_url": "https://proxy.example/v1/", "model": "m"}, "https://proxy.example/v1", "m"),
        ({"base_url": "http://127.0.0.1:8080/v1"}, "http://127.0.0.1:8080/v1", "kimi-k2.6"),
        ({"base_url": "http://gateway:8080/v1"}, "http://gateway:8080/v1", "kimi-k2.6"),
    ],
)
def test_the_account_chooses_endpoint_and_model_unless_they_are_given(
    table: dict[str, Any], endpoint: str, model: str
) -> None:
    settings = Settings.model_validate(table)
    assert (settings.endpoint, settings.model_id) == (endpoint, model)


def test_a_model_brings_its_context_size_and_both_can_be_set() -> None:
    assert Settings.model_validate({"model": "kimi-k3"}).known == MODELS["kimi-k3"]
    unknown = Settings.model_validate({"model": "something-new"}).known
    assert (unknown.context_size, unknown.capabilities) == (131_072, frozenset())
    given = Settings.model_validate({"context_size": 50_000, "capabilities": ["image_in"]}).known
    assert (given.context_size, given.capabilities) == (50_000, frozenset({"image_in"}))


@pytest.mark.parametrize(
    "table",
    [
        {"keys": "x"},
        {"keys": []},
        {"keys": [{"env": "A"}] * 17},
        {"keys": [{"env": "A", "file": "b"}]},
        {"keys": [5]},
        {"order": "random"},
        {"usage_minutes": -1},
        {"key": {"env": "A", "fle": "b"}},
        {"key": {"text": "x"}},
        {"account": "moonshot"},
        {"region": "us"},
        {"context_size": 12},
        {"capabilities": ["Image In"]},
        {"model": "two words"},
        {"model": ""},
        {"key": 5},
    ],
)
def test_what_is_not_known_is_refused(table: dict[str, Any]) -> None:
    assert refusal(table)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("api.moonshot.cn/v1", "must be a URL"),
        ("ftp://api.moonshot.cn", "must be a URL"),
        ("https://", "must be a URL"),
        ("https://[::1", "must be a URL"),
        ("https://a:99999999/v1", "must be a URL"),
        ("https://host name/v1", "must be a URL"),
        ("http://api.moonshot.cn/v1", "unencrypted"),
        ("http://8.8.8.8/v1", "unencrypted"),
        (f"https://me:{CANARY}@api.moonshot.cn/v1", "plain URL"),
        (f"https://api.moonshot.cn/v1?key={CANARY}", "plain URL"),
    ],
)
def test_a_base_url_that_cannot_be_one_is_refused(url: str, said: str) -> None:
    assert said in refusal({"base_url": url})


def test_a_base_url_of_another_kind_of_account_is_named() -> None:
    assert 'account = "kimi-code"' in refusal({"base_url": "https://api.kimi.com/coding/v1"})
    assert 'account = "platform"' in refusal({"account": "kimi-code", "base_url": "https://api.moonshot.cn/v1"})


def test_region_and_base_url_do_not_go_together() -> None:
    assert "leave out region" in refusal({"region": "ai", "base_url": "https://proxy.example/v1"})


@pytest.mark.parametrize("table", [{}, {"env": "A", "file": "b"}])
def test_a_key_table_names_exactly_one_source(table: dict[str, str]) -> None:
    assert '{ env = "NAME" }' in refusal({"key": table})


@pytest.mark.parametrize("table", [{"env": CANARY}, {"file": CANARY}, {"file": "eyJa.eyJb.c-d"}])
def test_a_key_in_the_place_of_a_name_or_path_is_refused_without_being_shown(table: dict[str, str]) -> None:
    assert "eyJa" not in refusal({"key": table})


def test_a_relative_key_file_starts_from_the_tomls_folder(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"key": {"file": "secrets/key"}}, context={"config_path": None, "base": tmp_path}
    )
    assert settings.key == KeySource.model_construct(env=None, file=tmp_path / "secrets/key")
    assert Settings.model_validate({"key": {"file": "~/key"}}).key is not None
    alone = Settings.model_validate({"key": {"file": "key"}}).key
    assert alone is not None
    assert alone.file == Path.cwd() / "key"


def test_a_literal_key_is_taken_from_a_toml_that_nobody_else_can_read(tmp_path: Path) -> None:
    settings = Settings.model_validate({"key": CANARY}, context=toml_of_mode(tmp_path, 0o600))
    assert isinstance(settings.key, LiteralKey)
    assert settings.key.text == SecretStr(CANARY)
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert CANARY not in shown
    assert CANARY in settings.key.text.get_secret_value()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_literal_key_in_a_toml_that_others_can_read_is_refused_with_the_command(tmp_path: Path, mode: int) -> None:
    said = refusal({"key": CANARY}, toml_of_mode(tmp_path, mode))
    assert f"chmod 600 {tmp_path / 'nanokimi.toml'}" in said


def test_a_literal_key_from_nowhere_is_refused_with_what_to_do_instead() -> None:
    assert "nanokimi auth set-key" in refusal({"key": CANARY})
    assert "nanokimi auth set-key" in refusal({"key": CANARY}, {"config_path": None, "base": Path("/")})


def test_one_key_and_several_do_not_go_together() -> None:
    assert "leave out key" in refusal({"key": {"env": "A"}, "keys": [{"env": "B"}]})


def test_several_keys_are_as_hidden_as_one(tmp_path: Path) -> None:
    keys = [CANARY, {"env": "A"}, {"file": "k"}]
    settings = Settings.model_validate({"keys": keys}, context=toml_of_mode(tmp_path, 0o600))
    assert settings.keys is not None
    literal, _, file = settings.keys
    assert isinstance(literal, LiteralKey)
    assert file.file == tmp_path / "k"
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert CANARY not in shown
    assert literal.text.get_secret_value() == CANARY
    assert "chmod 600" in refusal({"keys": keys}, toml_of_mode(tmp_path, 0o644))
    assert "a key itself" in refusal({"keys": [{"env": "A"}, {"file": CANARY}]})
