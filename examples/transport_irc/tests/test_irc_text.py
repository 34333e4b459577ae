"""What stands in a line of IRC, and what may stand in the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from nanokimi_core import ConfigError
from nanokimi_transport_irc.settings import Secret, Settings
from nanokimi_transport_irc.text import fold, mentions, plain, sendable


@pytest.mark.parametrize(
    ("casemapping", "folded"),
    [
        ("rfc1459", "#ab{}|~~"),
        ("strict-rfc1459", "#ab{}|^~"),
        ("ascii", "#ab[]\\^~"),
        ("something-new", "#ab[]\\^~"),
    ],
)
def test_names_that_differ_in_case_are_one_as_the_server_says(casemapping: str, folded: str) -> None:
    assert fold("#AB[]\\^~", casemapping) == folded
    assert fold(folded, casemapping) == folded


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("plain", "plain"),
        ("\x0304,12colours\x03 \x0312\x02and\x02\x0f more", "colours and more"),
        ("\x03 5 \x0355 \x04ff8800hex\x04", "5  hex"),
        ("\x01ACTION waves\x01", "* Ana waves"),
        ("\x01VERSION\x01", None),
        ("\x01DCC SEND x 1 2 3\x01", None),
        (" \x02 ", None),
        ("", None),
    ],
)
def test_what_somebody_typed_is_read_without_codes(said: str, read: str | None) -> None:
    assert plain(said, "Ana") == read


def test_a_text_to_send_is_one_line_without_codes() -> None:
    assert sendable("\x01ACTION x\x01\r\nQUIT\0\x03") == " ACTION x   QUIT  "


def test_a_nick_with_brackets_is_a_word_of_its_own() -> None:
    assert mentions("hey kai{away}: hello", {fold("Kai[away]")}, "rfc1459")
    assert not mentions("hey kai[away]x: hello", {fold("Kai[away]")}, "rfc1459")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"server": "irc test"}, "must be a host's name or address"),
        ({"nick": "9lives"}, "must be a nick"),
        ({"nick": "a b"}, "must be a nick"),
        ({"channels": ["garden"]}, "must be a channel"),
        ({"channels": ["#a,#b"]}, "must be a channel"),
        ({"channels": ["#a\r\nQUIT"]}, "must be a channel"),
        ({"account": "two words"}, "must be one word"),
        ({"password": {}}, "must be one of"),
        ({"password": {"env": "A", "file": "b"}}, "must be one of"),
        ({"password": {"env": "A"}, "tls": False}, "would travel unencrypted"),
        ({"chanels": []}, "Extra inputs"),
    ],
)
def test_a_table_that_cannot_work_is_refused_with_the_reason(table: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings.model_validate({"server": "irc.test", **table})


def test_the_port_follows_from_the_encryption() -> None:
    assert Settings(server="irc.test").address == ("irc.test", 6697)
    assert Settings(server="irc.test", tls=False).address == ("irc.test", 6667)
    assert Settings(server="irc.test", port=7000).address == ("irc.test", 7000)


def test_a_password_is_read_from_its_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file := tmp_path / "password").write_text("open sesame\n")
    file.chmod(0o600)
    monkeypatch.setenv("IRC_PASSWORD", "sesame")
    assert Secret(file=file).read().get_secret_value() == "open sesame"
    assert Secret(env="IRC_PASSWORD").read().get_secret_value() == "sesame"
    assert "sesame" not in repr(Secret(env="IRC_PASSWORD").read())


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("sesame", 0o644, "run: chmod 600"),
        ("", 0o600, "holds no password"),
        ("sesame\nswordfish", 0o600, "holds no password"),
        (None, 0o600, "can't be read: No such file"),
    ],
)
def test_a_password_file_that_cannot_be_used_is_said_without_its_content(
    tmp_path: Path, content: str | None, mode: int, said: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(ConfigError, match=said) as refused:
        Secret(file=file).read()
    assert "sesame" not in str(refused.value)


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IRC_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match="environment variable IRC_PASSWORD holds no password"):
        Secret(env="IRC_PASSWORD").read()
