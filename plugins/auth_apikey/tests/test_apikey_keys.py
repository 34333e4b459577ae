from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanokimi_auth_apikey.keys import Key, KeyProblem, check_fit, check_form, find_keys, tail, without_keys
from nanokimi_auth_apikey.settings import Settings

PLATFORM_KEY = "sk-canaryPlatform0123456789"
CODING_KEY = "sk-kimi-canaryCoding0123456789"
PLATFORM = Settings()
CODING = Settings(account="kimi-code")
KEY_CHARACTERS = st.characters(min_codepoint=33, max_codepoint=126)
KEY_TEXT = st.text(KEY_CHARACTERS, min_size=8, max_size=200).filter(lambda text: text[0] not in "\"'")


def write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def find_key(settings: Settings, folder: Path, environ: dict[str, str]) -> Key:
    (key,) = find_keys(settings, folder, environ).required()
    return key


def problem(settings: Settings, folder: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(KeyProblem) as caught:
        find_key(settings, folder, environ or {})
    return str(caught.value)


def misfit(key: str, settings: Settings) -> str | None:
    return _said(lambda: check_fit(key, settings, "a test"))


def _said(work: Callable[[], object]) -> str | None:
    try:
        work()
    except KeyProblem as found:
        return str(found)
    return None


def jwt(claims: dict[str, Any]) -> str:
    parts = [{"alg": "HS512", "typ": "JWT"}, claims]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".s-g"


def from_file(path: Path) -> Settings:
    return Settings.model_validate({"key": {"file": str(path)}})


# ------------------------------------------------------------------- where it is found
def test_the_default_is_the_environment_then_the_stored_key(tmp_path: Path) -> None:
    write(tmp_path / "key", PLATFORM_KEY + "\n")
    other = "sk-fromTheEnvironment0123"
    found = find_key(PLATFORM, tmp_path, {"MOONSHOT_API_KEY": other})
    assert (found.secret.get_secret_value(), found.source) == (other, "environment variable MOONSHOT_API_KEY")
    for environ in ({}, {"MOONSHOT_API_KEY": ""}):
        found = find_key(PLATFORM, tmp_path, environ)
        assert (found.secret.get_secret_value(), found.source) == (PLATFORM_KEY, f"file {tmp_path / 'key'}")


def test_without_any_key_the_sentence_says_how_to_store_one(tmp_path: Path) -> None:
    assert "nanokimi auth set-key" in problem(PLATFORM, tmp_path)


def test_a_named_variable_is_the_only_one_that_is_asked(tmp_path: Path) -> None:
    settings = Settings.model_validate({"key": {"env": "MY_KEY"}})
    assert find_key(settings, tmp_path, {"MY_KEY": PLATFORM_KEY}).secret.get_secret_value() == PLATFORM_KEY
    write(tmp_path / "key", PLATFORM_KEY)
    assert "MY_KEY is not set" in problem(settings, tmp_path, {"MOONSHOT_API_KEY": PLATFORM_KEY})


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_one_line_end_and_a_byte_order_mark_are_no_part_of_the_key(tmp_path: Path, ending: str) -> None:
    file = write(tmp_path / "k", b"\xef\xbb\xbf" + (PLATFORM_KEY + ending).encode())
    assert find_key(from_file(file), tmp_path, {}).secret.get_secret_value() == PLATFORM_KEY


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_key_file_that_others_can_touch_is_refused_with_the_command(tmp_path: Path, mode: int) -> None:
    file = write(tmp_path / "k", PLATFORM_KEY, mode)
    assert f"chmod 600 {file}" in problem(from_file(file), tmp_path)
    stored = write(tmp_path / "key", PLATFORM_KEY, mode)
    assert f"chmod 600 {stored}" in problem(PLATFORM, tmp_path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_may_be_a_link_and_the_targets_mode_counts(tmp_path: Path, mode: int) -> None:
    target = write(tmp_path / "target", PLATFORM_KEY, mode)
    link = tmp_path / "link"
    link.symlink_to(target)
    assert find_key(from_file(link), tmp_path, {}).tail == "…6789"
    target.chmod(0o644)
    assert "can be read by others" in problem(from_file(link), tmp_path)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    assert "not a regular file" in problem(from_file(tmp_path), tmp_path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    assert "not a regular file" in problem(from_file(fifo), tmp_path)
    assert "can't be read" in problem(from_file(tmp_path / "none"), tmp_path)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "none")
    assert "can't be read" in problem(from_file(dangling), tmp_path)
    (tmp_path / "key").symlink_to(tmp_path / "none")
    assert "can't be read" in problem(PLATFORM, tmp_path)


def test_a_huge_key_file_is_refused(tmp_path: Path) -> None:
    assert "too large" in problem(from_file(write(tmp_path / "k", "s" * 5000)), tmp_path)


# ------------------------------------------------------------------- its form
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("   \n", "is empty"),
        (f"{PLATFORM_KEY}\n{PLATFORM_KEY}\n", "more than one line"),
        (f"\n{PLATFORM_KEY}\n", "more than one line"),
        (f" {PLATFORM_KEY}\n", "white space"),
        (f"{PLATFORM_KEY} \n", "white space"),
        ("sk-two words", "white space"),
        (f'"{PLATFORM_KEY}"', "quotation marks"),
        (f"Bearer {PLATFORM_KEY}", "Bearer"),
        ("sk-\x00\x01", "characters that no key has"),
        ("sk-schlüssel-0123456789", "characters that no key has"),
        (b"\xff\xfe\x00s\x00k", "characters that no key has"),
    ],
)
def test_the_usual_slips_are_named(tmp_path: Path, content: str | bytes, said: str) -> None:
    text = problem(from_file(write(tmp_path / "k", content)), tmp_path)
    assert said in text
    assert PLATFORM_KEY not in text


@given(st.text(max_size=300))
def test_any_text_is_taken_or_refused_with_a_sentence_that_does_not_show_it(text: str) -> None:
    said = _said(lambda: check_form(text, "a test"))
    if said is None:
        assert text.isascii()
        assert text.isprintable()
        assert text.split() == [text]
    else:
        assert len(text) < 20 or text not in said


@given(st.binary(max_size=300))
def test_any_bytes_in_a_key_file_give_a_key_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = write(tmp_path_factory.mktemp("any") / "k", data)
    assert _said(lambda: find_key(from_file(file), file.parent, {})) != ""


# ------------------------------------------------------------------- whether it fits
@given(KEY_TEXT)
def test_a_kimi_code_key_fits_kimi_code_only(rest: str) -> None:
    key = "sk-kimi-" + rest
    assert misfit(key, CODING) is None
    assert 'account = "kimi-code"' in (misfit(key, PLATFORM) or "")
    assert 'account = "kimi-code"' in (misfit(key, Settings(base_url="https://proxy.example/v1")) or "")


@given(KEY_TEXT.filter(lambda text: not text.startswith("kimi-")))
def test_a_platform_key_fits_the_platform_only(rest: str) -> None:
    key = "sk-" + rest
    assert misfit(key, PLATFORM) is None
    assert misfit(key, Settings(region="ai")) is None
    assert 'account = "platform"' in (misfit(key, CODING) or "")


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=30), max_size=4))
def test_an_access_token_fits_nowhere(claims: dict[str, str]) -> None:
    for settings in (PLATFORM, CODING, Settings(base_url="https://proxy.example/v1")):
        said = misfit(jwt(claims), settings) or ""
        assert "OAuth access token" in said
        assert "oauth_file" in said


@given(KEY_TEXT.filter(lambda text: not text.startswith(("sk-", "eyJ"))))
def test_a_key_without_sk_fits_only_a_server_that_is_not_moonshots(key: str) -> None:
    assert "begin with sk-" in (misfit(key, PLATFORM) or "")
    assert misfit(key, Settings(base_url="https://proxy.example/v1")) is None


@given(KEY_TEXT, st.sampled_from([PLATFORM, CODING]))
def test_no_sentence_shows_more_of_a_key_than_its_last_four_characters(key: str, settings: Settings) -> None:
    said = misfit(key, settings)
    if said is not None and len(key) >= 16:
        assert key[-5:] not in said
        assert f"…{key[-4:]} " in said


# ------------------------------------------------------------------- how it is named
def test_a_short_key_is_not_shown_at_all() -> None:
    assert tail("sk-12345") == "…"
    assert tail(PLATFORM_KEY) == "…6789"


def test_what_a_server_says_loses_its_keys_and_tokens() -> None:
    said = without_keys(f"bad key {PLATFORM_KEY}\nand {CODING_KEY} and {jwt({'a': 'b'})}!", PLATFORM_KEY)
    assert said == "bad key …6789 and …6789 and …!"
    assert without_keys("odd-key-0123456789 is bad", "odd-key-0123456789") == "…6789 is bad"
    assert len(without_keys("x" * 5000)) == 300
