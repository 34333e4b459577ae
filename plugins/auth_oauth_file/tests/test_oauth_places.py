from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nanokimi_auth_oauth_file.disk.login import LoginProblem, for_instance
from nanokimi_auth_oauth_file.disk.places import choose, find_place, name_for
from nanokimi_auth_oauth_file.settings import Settings


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_the_default_is_the_instances_own_folder(tmp_path: Path) -> None:
    place = find_place(Settings(), tmp_path)
    assert (place.credentials, place.locks) == (tmp_path / "credentials", tmp_path / "oauth")
    assert place.own
    assert place.names() == []


@pytest.mark.parametrize("form", ["home", "home/credentials"])
def test_an_agents_home_and_its_credentials_are_the_same_place(tmp_path: Path, form: str) -> None:
    put(tmp_path / "home/credentials", "kimi-code.json", "kimi-code.lock", "other.json", "kimi-code.json.tmp.1.ab")
    put(tmp_path / "home", "config.toml")
    place = find_place(Settings(path=tmp_path / form), tmp_path / "own")
    assert (place.credentials, place.locks) == (tmp_path / "home/credentials", tmp_path / "home/oauth")
    assert (place.own, place.agent_home) == (False, True)
    assert place.names() == ["kimi-code"]


def test_the_old_bots_credentials_with_the_config_in_them_are_taken(tmp_path: Path) -> None:
    put(tmp_path / "data/credentials", "kimi-code.json", "config.toml")
    place = find_place(Settings(path=tmp_path / "data/credentials"), tmp_path / "own")
    assert (place.credentials, place.locks) == (tmp_path / "data/credentials", tmp_path / "data/oauth")
    assert not place.agent_home


def test_a_directory_of_another_name_has_its_locks_where_no_agent_can_replace_them(tmp_path: Path) -> None:
    put(tmp_path / "login", "kimi-code.json")
    place = find_place(Settings(path=tmp_path / "login"), tmp_path / "own")
    assert (place.credentials, place.locks) == (tmp_path / "login", tmp_path / "own/oauth")


def test_a_directory_that_is_a_link_is_followed_once_and_for_all(tmp_path: Path) -> None:
    put(tmp_path / "real/credentials", "kimi-code.json")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert find_place(Settings(path=tmp_path / "link"), tmp_path).credentials == tmp_path / "real/credentials"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(LoginProblem, match="can't look into"):
        find_place(Settings(path=tmp_path / "loop"), tmp_path).names()


def test_a_single_file_is_refused_with_the_command_that_imports_it(tmp_path: Path) -> None:
    put(tmp_path, "kimi-code.json")
    with pytest.raises(LoginProblem) as caught:
        find_place(Settings(path=tmp_path / "kimi-code.json"), tmp_path)
    assert caught.value.kind == "misplaced"
    assert f"nanokimi auth import {tmp_path / 'kimi-code.json'}" in caught.value.remedy


@pytest.mark.parametrize(
    ("agent", "table", "name"),
    [
        ("kimi-code", {}, "kimi-code"),
        ("kimi-cli", {}, "kimi-code"),
        # Computed with Node's JSON.stringify and SHA-256, as kimi-code does.
        ("kimi-code", {"region": "ai"}, "kimi-code-env-0e4f99c69cc27850"),
        ("kimi-code", {"base_url": "https://proxy.example/coding/v1"}, "kimi-code-env-ec2d3f5acaeecc35"),
        ("kimi-code", {"base_url": "https://proxy.example/coding/v1/"}, "kimi-code-env-ec2d3f5acaeecc35"),
        ("kimi-cli", {"region": "ai"}, "kimi-code"),
    ],
)
def test_each_agent_looks_for_the_login_under_its_own_name(agent: str, table: dict[str, Any], name: str) -> None:
    assert name_for(agent, Settings.model_validate(table)) == name


def test_an_agent_that_is_not_known_is_refused() -> None:
    with pytest.raises(LoginProblem, match='not the agent "other"'):
        name_for("other", Settings())


def test_the_right_name_goes_before_the_only_one(tmp_path: Path) -> None:
    env = "kimi-code-env-0e4f99c69cc27850"
    place = find_place(Settings(), tmp_path)
    with pytest.raises(LoginProblem, match="there is no login"):
        choose(place, "kimi-code")
    put(place.credentials, f"{env}.json")
    assert choose(place, "kimi-code") == env
    put(place.credentials, "kimi-code.json")
    assert choose(place, "kimi-code") == "kimi-code"
    with pytest.raises(LoginProblem, match="several logins"):
        choose(place, "kimi-code-env-ec2d3f5acaeecc35")


@pytest.mark.parametrize(("made", "said"), [(False, "there is no folder"), (True, "there is no login in")])
def test_a_path_without_a_login_has_its_line_of_the_toml_named(tmp_path: Path, made: bool, said: str) -> None:
    if made:
        put(tmp_path / "mine")
    with pytest.raises(LoginProblem) as caught:
        choose(find_place(Settings(path=tmp_path / "mine"), tmp_path), "kimi-code")
    assert caught.value.cause.startswith(f"{said} {tmp_path / 'mine'}")
    assert "correct [plugins.oauth_file] path" in caught.value.remedy
    assert "correct [plugins.work] path" in for_instance(caught.value.remedy, "work")
