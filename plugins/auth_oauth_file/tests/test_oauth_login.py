from __future__ import annotations

import base64
import json
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanokimi_auth_oauth_file.disk.login import (
    LARGEST,
    Login,
    LoginProblem,
    NotALogin,
    counted,
    for_instance,
    how_to_log_in,
    parse,
    read,
    read_foreign,
)

CANARY = "canaryToken0123456789"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=12,
)
TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80)
FIELDS = st.sampled_from(["access_token", "refresh_token", "expires_at", "scope", "token_type", "expires_in"])


def login(**fields: Any) -> Login:
    return parse(json.dumps(fields).encode())


def jwt(claims: Any) -> str:
    parts = [{"alg": "HS512"}, claims]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".sig"


def why_not(data: bytes) -> str:
    with pytest.raises(NotALogin) as caught:
        parse(data)
    return str(caught.value)


# ------------------------------------------------------------------- what agents write
@given(TOKENS, TOKENS, st.integers(0, 4_000_000_000) | st.floats(0, 4e9), st.booleans())
def test_what_an_agent_writes_is_read(access: str, refresh: str, expires_at: float, newer: bool) -> None:
    fields = {"access_token": access, "refresh_token": refresh, "expires_at": expires_at, "scope": "x"}
    found = login(**fields, token_type="Bearer", **({"expires_in": 900} if newer else {}))
    assert found.access_token.get_secret_value() == access
    assert found.refresh_token.get_secret_value() == refresh
    assert found.expires_at == pytest.approx(expires_at)
    assert found.revoked == (access == "")
    assert found.refreshable == (access != "" and refresh != "")


def test_the_end_of_the_access_token_is_known_or_not() -> None:
    found = login(access_token="a", refresh_token="b", expires_at=1_700_000_000)
    assert found.until == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found.expired(1_700_000_000)
    assert not found.expired(1_699_999_999)
    unknown = login(access_token="a", refresh_token="b")
    assert (unknown.until, unknown.expired(9e9)) == (None, False)


@pytest.mark.parametrize("value", [-5, 10**400, 1e308, 253_402_300_800])
def test_an_absurd_end_is_no_crash(value: float) -> None:
    found = login(access_token="a", refresh_token="b", expires_at=value)
    assert found.until is None or found.until.year == 9999


# ------------------------------------------------------------------- what isn't a login
@given(st.binary(max_size=400))
def test_any_bytes_give_a_login_or_a_reason(data: bytes) -> None:
    _parse_or_reason(data)


@given(JSON)
def test_any_json_gives_a_login_or_a_reason(value: Any) -> None:
    _parse_or_reason(json.dumps(value).encode("utf-8", "surrogatepass"))


@given(st.dictionaries(FIELDS, JSON, min_size=1))
def test_any_types_in_the_fields_give_a_login_or_a_reason(value: dict[str, Any]) -> None:
    _parse_or_reason(json.dumps(value).encode("utf-8", "surrogatepass"))


@given(st.integers(0, 200))
def test_a_truncated_file_is_never_a_login(length: int) -> None:
    whole = json.dumps({"access_token": CANARY, "refresh_token": CANARY, "expires_at": 1_700_000_000}).encode()
    if length < len(whole):
        assert CANARY not in why_not(whole[:length])


def _parse_or_reason(data: bytes) -> None:
    try:
        found = parse(data)
    except NotALogin as error:
        reason: str | None = str(error)
        caught = error
    else:
        reason = None
        assert found.who == "" or found.who.isprintable()
        assert found.until is None or found.until.tzinfo is UTC
    if reason is not None:
        assert reason.startswith("it")
        assert len(reason) < 100
        assert caught.__context__ is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"{", "it is not JSON"),
        (b"\xff\xfe{}", "it is not UTF-8 text"),
        (b"[1]", "it is not a JSON object"),
        (b"{}", "it has neither access_token nor refresh_token"),
        (b"[" * 60_000, "it is not JSON"),
        (b'{"access_token": 5}', "its access_token is not a string"),
        (b'{"access_token": "a", "refresh_token": ["b"]}', "its refresh_token is not a string"),
        (b'{"access_token": "a b"}', "its access_token has characters that no token has"),
        (b'{"access_token": "a", "expires_at": "soon"}', "its expires_at is not a number"),
        (b'{"access_token": "a", "expires_at": true}', "its expires_at is not a number"),
        (b'{"access_token": "a", "expires_at": NaN}', "its expires_at is not a time"),
        (b'{"access_token": "a", "expires_at": -Infinity}', "its expires_at is not a time"),
        (b" " * (LARGEST + 1), f"it is larger than {LARGEST} bytes"),
    ],
)
def test_each_way_of_being_broken_has_its_reason(data: bytes, reason: str) -> None:
    assert why_not(data) == reason


# ------------------------------------------------------------------- the file
def kind_of(path: Path) -> str:
    with pytest.raises(LoginProblem) as caught:
        read(path)
    assert caught.value.remedy
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    return caught.value.kind


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    good.write_text(json.dumps({"access_token": CANARY, "refresh_token": CANARY}))
    assert kind_of(tmp_path / "none.json") == "missing"
    assert kind_of(tmp_path) == "broken"
    link = tmp_path / "link.json"
    link.symlink_to(good)
    assert kind_of(link) == "broken"
    fifo = tmp_path / "fifo.json"
    os.mkfifo(fifo)
    assert kind_of(fifo) == "broken"
    huge = tmp_path / "huge.json"
    huge.write_bytes(good.read_bytes() + b" " * LARGEST)
    assert kind_of(huge) == "broken"
    assert read(good).refreshable


def test_a_file_that_the_owner_names_may_be_a_link_and_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    content = json.dumps({"access_token": CANARY, "refresh_token": CANARY}).encode()
    good.write_bytes(b"\xef\xbb\xbf" + content)
    link = tmp_path / "link.json"
    link.symlink_to(good)
    assert read_foreign(link)[0] == content
    with pytest.raises(NotALogin, match="it can't be read: No such file"):
        read_foreign(tmp_path / "none")


# ------------------------------------------------------------------- whom it names
@pytest.mark.parametrize(
    ("claims", "who"),
    [
        ({"email": "ana@example.org", "sub": "1"}, "ana@example.org"),
        ({"user_id": "u1"}, "u1"),
        ({"sub": "s"}, "s"),
        ({"email": 5, "sub": "s"}, "s"),
        ({"email": "line\nbreak", "sub": "x" * 81}, ""),
        ({}, ""),
        ([1], ""),
        ("text", ""),
    ],
)
def test_a_login_names_its_account_where_the_token_does(claims: Any, who: str) -> None:
    assert login(access_token=jwt(claims)).who == who


@given(st.lists(TOKENS, min_size=1, max_size=4))
def test_any_token_names_somebody_or_nobody(parts: list[str]) -> None:
    who = login(access_token=".".join(parts)).who
    assert len(who) <= 80
    assert who.isprintable()


def test_a_login_does_not_show_its_tokens() -> None:
    found = login(access_token=CANARY, refresh_token=CANARY)
    assert CANARY not in f"{found} {found!r}"
    assert CANARY in found.access_token.get_secret_value()


def test_who_must_log_in_learns_both_ways_for_the_instance_that_needs_it() -> None:
    assert "nanokimi auth login, or write /login in the owner's chat" in how_to_log_in()
    named = for_instance(how_to_log_in(), "work")
    assert "nanokimi auth login work, or write /login work in the owner's chat" in named
    assert "nanokimi auth import --plugin work FILE" in named
    assert for_instance("run: chmod 600 /srv/login/x", "work") == "run: chmod 600 /srv/login/x"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 minutes"), (1, "1 minute"), (1.5, "1.5 minutes"), (2, "2 minutes")]
)
def test_one_is_not_many(number: float, text: str) -> None:
    assert counted(number, "minute") == text
