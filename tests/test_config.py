"""nanokimi.toml: what it may say, what holds for a chat, and what is said when it is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, SecretStr

from nanokimi_core import ConfigError, TomlPath
from nanokimi_core.builtin.console import ConsoleConfig
from nanokimi_core.config import Location, Settings, load, locate, validate_table
from nanokimi_core.contracts.plugin import NoConfig


def settings(text: str, folder: Path, environ: dict[str, str] | None = None) -> Settings:
    file = folder / "nanokimi.toml"
    file.write_text(text)
    return load(Location(file, folder / "data"), environ or {})


def refusal(text: str, folder: Path) -> str:
    with pytest.raises(ConfigError) as error:
        settings(text, folder)
    return str(error.value)


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_an_empty_toml_is_console_and_echo(tmp_path: Path, text: str) -> None:
    given = settings(text, tmp_path)
    assert (given.transports, given.backend, given.auth, given.assistant) == (("console",), "echo", (), "Kai")


def test_an_absent_toml_is_the_same_as_an_empty_one(tmp_path: Path) -> None:
    assert load(Location(None, tmp_path), {}) == settings("", tmp_path)


def test_the_environment_names_the_assistant(tmp_path: Path) -> None:
    assert settings('assistant = "Mia"', tmp_path, {"ASSISTANT_NAME": "Robin"}).assistant == "Robin"
    assert settings('assistant = "Mia"', tmp_path, {}).assistant == "Mia"


def test_auth_is_one_name_or_a_chain(tmp_path: Path) -> None:
    assert settings('auth = "apikey"', tmp_path).auth == ("apikey",)
    assert settings('auth = ["oauth_file", "apikey"]', tmp_path).auth == ("oauth_file", "apikey")


def test_durations_are_written_for_people(tmp_path: Path) -> None:
    limits = settings('[limits]\nidle_timeout = "1h30m"\nturn_time = 90\nturn_silence = "2.5s"', tmp_path).limits
    assert limits.idle_timeout == timedelta(minutes=90)
    assert limits.turn_time == timedelta(seconds=90)
    assert limits.turn_silence == timedelta(seconds=2.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('trasnports = ["console"]', 'nanokimi.toml: unknown key "trasnports"; did you mean "transports"?'),
        ("[limits]\nmax_turn = 3", 'nanokimi.toml: [limits] unknown key "max_turn"; did you mean "max_turns"?'),
        ('[chats."net:a"]\ntriger = "always"', '[chats."net:a"] unknown key "triger"; did you mean "trigger"?'),
        ('[limits]\nidle_timeout = "soon"', '[limits] "idle_timeout": write a duration as "90s", "2m" or "1h30m"'),
        ('[limits]\nidle_timeout = "0s"', '"idle_timeout": must be longer than nothing'),
        ('[chats."net:a"]\ntrigger = "sometimes"', "'always', 'mention' or 'never'"),
        ('[chats."nobody"]', '"nobody" is neither a chat nor a pattern; write it as "transport:chat"'),
        ('[chats."*:a"]', '"*:a" is neither a chat nor a pattern'),
        ('owner = "me"', '"owner": write the owner\'s chat as "transport:chat"'),
        ("transports = []", "name at least one transport"),
        ('transports = ["a", "a"]', "names a transport twice"),
        ('backend = "../x"', "is not a plugin's name"),
        ("[limits]\nmax_turns = true", '[limits] "max_turns": Input should be a valid integer'),
        ('assistant = " - "', '"assistant": needs at least one letter or digit'),
        ("assistant = \n", "is not valid TOML"),
        ("[limits]\nmax_warm = 0", '[limits] "max_warm": write "auto" or a number of agents, 1 or more'),
        ("[limits]\nmax_warm = true", '[limits] "max_warm": write "auto" or a number of agents, 1 or more'),
        ('[limits]\nmax_warm = "many"', '[limits] "max_warm": write "auto" or a number of agents, 1 or more'),
        ('limits = "x"', "nanokimi.toml: [limits] must be a table"),
        ("plugins = 3", "nanokimi.toml: [plugins] must be a table"),
        ("[plugins]\nline = 3", "nanokimi.toml: [plugins.line] must be a table"),
        ("[plugins.line]\nuse = 3", 'nanokimi.toml: [plugins.line] "use": must be the name of a plugin'),
        ("[plugins.line]\nuse = {a = 1}", 'nanokimi.toml: [plugins.line] "use": must be the name of a plugin'),
        ('[limits]\nturn_time = "99999999999999h"', '[limits] "turn_time": is longer than any duration can be'),
        (f'[limits]\nturn_time = "{"9" * 5000}s"', '[limits] "turn_time": is longer than any duration can be'),
        (f"[limits]\nturn_time = {'9' * 400}", '[limits] "turn_time": is longer than any duration can be'),
        ("[limits]\nturn_time = nan", '[limits] "turn_time": is longer than any duration can be'),
        (f"[limits]\nmax_turns = {'9' * 5000}", "nanokimi.toml has a number of too many digits in line 2; mend it"),
    ],
)
def test_a_mistake_is_named_with_its_table_and_key(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refusal(text, tmp_path)


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "nanokimi.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8 text; save it as UTF-8"):
        load(Location(file, tmp_path), {})


def test_a_byte_order_mark_before_the_text_is_no_mistake(tmp_path: Path) -> None:
    assert settings('\ufeffassistant = "Mia"', tmp_path).assistant == "Mia"


@given(st.text(max_size=200))
def test_no_text_makes_anything_but_settings_or_one_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("toml") / "nanokimi.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(ConfigError):
        assert load(Location(file, file.parent), {}).assistant


CHATS = """
backend = "echo"
auth = "apikey"
[limits]
max_age = "3h"
[chats."net:*"]
trigger = "mention"
sandbox = "all"
[chats."net:team-*"]
trigger = "always"
auth = ["oauth_file", "apikey"]
max_age = "7d"
[chats."net:team-a"]
backend = "kimi_docker"
"""


def test_for_each_key_the_exact_chat_then_the_longest_prefix_then_the_default(tmp_path: Path) -> None:
    given = settings(CHATS, tmp_path)
    exact = given.rules(["net:team-a"])
    assert (exact.backend, exact.trigger, exact.sandbox) == ("kimi_docker", "always", "all")
    assert exact.auth == ("oauth_file", "apikey")
    assert given.rules(["net:team-b"]).backend == "echo"
    assert given.rules(["net:other"]).trigger == "mention"
    assert given.rules(["net:other"]).auth == ("apikey",)
    ages = [given.rules([f"net:{chat}"]).max_age for chat in ("team-a", "other")]
    assert ages == [timedelta(days=7), timedelta(hours=3)]


def test_an_alias_of_a_chat_finds_its_rules(tmp_path: Path) -> None:
    assert settings(CHATS, tmp_path).rules(["net:4711", "net:team-a"]).backend == "kimi_docker"


def test_a_chat_that_no_table_names_is_unknown_and_console_is_always_let_in(tmp_path: Path) -> None:
    given = settings('[chats."net:a"]', tmp_path)
    assert not given.rules(["net:b"]).known
    assert not given.rules(["nets:a"]).known
    assert given.rules(["console:local"]).known
    assert given.rules(["console:local"]).trigger == "always"


def test_square_brackets_in_a_pattern_are_letters(tmp_path: Path) -> None:
    given = settings('[chats."net:[ab]*"]', tmp_path)
    assert given.rules(["net:[ab]c"]).known
    assert not given.rules(["net:ac"]).known


class Fine(BaseModel):
    model_config = ConfigDict(extra="forbid")
    path: str
    secret: SecretStr | None = None


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"pth": "x", "path": "y"}, '[plugins.line] unknown key "pth"; did you mean "path"?'),
        ({}, '[plugins.line] "path" is needed'),
        ({"path": 3}, '[plugins.line] "path": Input should be a valid string'),
    ],
)
def test_a_plugins_table_is_checked_by_the_plugins_model(tmp_path: Path, table: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        validate_table(Fine, table, "line", Location(None, tmp_path))
    assert expected in str(error.value)


@pytest.mark.parametrize(("model", "known"), [(NoConfig, "none"), (ConsoleConfig, "once")])
def test_the_tables_of_the_built_in_plugins_refuse_what_they_do_not_know(
    tmp_path: Path, model: type[BaseModel], known: str
) -> None:
    with pytest.raises(ConfigError) as error:
        validate_table(model, {"volume": 11}, "mine", Location(None, tmp_path))
    assert f'[plugins.mine] unknown key "volume"; known keys: {known}' in str(error.value)


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        validate_table(Fine, {"path": "x", "secret": ["sk-canary"]}, "line", Location(None, tmp_path))
    assert "sk-canary" not in str(error.value)


def test_instances_use_the_plugin_that_their_table_names(tmp_path: Path) -> None:
    given = settings('auth = "work"\n[plugins.work]\nuse = "apikey"\naccount = "platform"', tmp_path)
    assert given.use("work") == "apikey"
    assert given.use("apikey") == "apikey"
    assert given.table("work") == {"account": "platform"}


def test_the_toml_is_found_by_option_environment_folder_and_users_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, users, named = tmp_path / "here", tmp_path / "config" / "nanokimi", tmp_path / "named.toml"
    for folder in (here, users):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert locate(None, {}) == Location(None, tmp_path / "share" / "nanokimi")
    (users / "nanokimi.toml").touch()
    assert locate(None, {}) == Location(users / "nanokimi.toml", users / "data")
    (here / "nanokimi.toml").touch()
    assert locate(None, {}) == Location(here / "nanokimi.toml", here / "data")
    named.touch()
    assert locate(None, {"NANOKIMI_CONFIG": str(named)}).toml == named
    assert locate(here / "nanokimi.toml", {"NANOKIMI_CONFIG": str(named)}).toml == here / "nanokimi.toml"
    assert locate(named, {"NANOKIMI_HOME": str(tmp_path / "home")}) == Location(named, tmp_path / "home")


def test_a_named_toml_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"NANOKIMI_CONFIG names .* but there is no such file"):
        locate(None, {"NANOKIMI_CONFIG": str(tmp_path / "gone.toml")})


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("gone")])
def test_a_toml_that_is_no_regular_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "nanokimi.toml")
    for environ in ({}, {"NANOKIMI_CONFIG": "nanokimi.toml"}):
        with pytest.raises(ConfigError, match=r"nanokimi\.toml is no regular file; put a file in its place"):
            locate(None, environ)


def test_a_home_of_an_unknown_user_is_an_error(tmp_path: Path) -> None:
    for name in ("NANOKIMI_HOME", "NANOKIMI_CONFIG"):
        with pytest.raises(ConfigError, match=rf"{name} names ~nosuchuser/x, and there is no such user's home"):
            locate(None, {name: "~nosuchuser/x"})


def test_a_working_folder_that_was_deleted_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="the working folder doesn't exist any more"):
        locate(None, {})


def test_a_path_beside_the_toml_starts_there_and_an_unknown_home_is_named(tmp_path: Path) -> None:
    class Table(BaseModel):
        path: TomlPath

    location = Location(tmp_path / "nanokimi.toml", tmp_path / "data")
    assert validate_table(Table, {"path": "keys/a"}, "line", location).path == tmp_path / "keys" / "a"
    with pytest.raises(ConfigError, match=r"\[plugins.line\] \"path\": begins with the home of a user"):
        validate_table(Table, {"path": "~nosuchuser/a"}, "line", location)
