"""How the address and the code of a login are read out of what an agent prints."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanokimi_backend_kimi_docker.codes import CodeReader, words
from nanokimi_backend_kimi_docker.login_failures import of_login
from nanokimi_core import Failure, ShowCode

PAGE = "https://auth.kimi.com/device"
WHOLE = f"{PAGE}?user_code=ABCD-1234"
LONGEST = timedelta(minutes=15)

KIMI_CODE = [
    f"Opening browser for Kimi device login: {WHOLE}",
    "If the browser did not open, paste the URL above and enter code: ABCD-1234",
    "Code expires in 600s.",
    "Waiting for authorization to complete…",
]
KIMI_CLI = [
    '{"type": "info", "message": "Please visit the following URL to finish authorization."}',
    f'{{"type": "verification_url", "message": "Verification URL: {WHOLE}", "data": '
    f'{{"verification_url": "{WHOLE}", "user_code": "ABCD-1234"}}}}',
    '{"type": "waiting", "message": "Waiting…", "data": {"error": "authorization_pending"}}',
]
OAUTH = [f'{{"user_code": "ABCD-1234", "verification_uri_complete": "{WHOLE}", "expires_in": 600, "interval": 5}}']
PLAIN = [f"Open {PAGE}", "and enter the code ABCD-1234", "It expires in 10 minutes."]


def read(lines: list[str]) -> list[ShowCode]:
    reader = CodeReader(LONGEST)
    found = [reader.take(line) for line in lines]
    return [code for code in [*found, reader.flush()] if code is not None]


@pytest.mark.parametrize(
    ("lines", "minutes", "complete"),
    [(KIMI_CODE, 10, WHOLE), (KIMI_CLI, 15, WHOLE), (OAUTH, 10, WHOLE), (PLAIN, 10, "")],
    ids=["kimi-code", "kimi-cli", "the server's own answer", "in words"],
)
def test_a_code_is_read_in_several_forms(lines: list[str], minutes: int, complete: str) -> None:
    [code] = read(lines)
    assert (code.url, code.code, code.complete_url) == (PAGE, "ABCD-1234", complete)
    rest = code.expires_at - datetime.now(UTC)
    assert timedelta(minutes=minutes - 1) < rest <= timedelta(minutes=minutes)


@pytest.mark.parametrize("lines", [KIMI_CODE, KIMI_CLI, OAUTH, PLAIN])
def test_a_renewed_code_is_given_and_a_repeated_one_is_not(lines: list[str]) -> None:
    renewed = [line.replace("ABCD-1234", "WXYZ-9876") for line in lines]
    assert [code.code for code in read([*lines, *lines, *renewed])] == ["ABCD-1234", "WXYZ-9876"]


def test_a_code_is_never_good_for_longer_than_its_agent_waits() -> None:
    [code] = read([WHOLE, "Code expires in 99999s."])
    assert code.expires_at <= datetime.now(UTC) + LONGEST


def test_an_address_that_needs_more_than_the_code_is_left_whole() -> None:
    [code] = read([f"{PAGE}?lang=en&user_code=ABCD-1234", "Code expires in 60s"])
    assert (code.url, code.complete_url) == (f"{PAGE}?lang=en&user_code=ABCD-1234", "")


@pytest.mark.parametrize(
    "line",
    [
        "Login failed: Device authorization failed (HTTP 500): it broke",
        "Error code: the server said no, see https://example.com/help",
        '{"type": "error", "message": "Login failed: x", "code": 7}',
        '{"verification_url": 7, "user_code": ["A"]}',
        "https://[broken",
    ],
)
def test_what_is_no_code_is_not_taken_for_one(line: str) -> None:
    assert read([line, line]) == []


@given(st.lists(st.text(max_size=200) | st.sampled_from([*KIMI_CODE, *KIMI_CLI, *OAUTH, *PLAIN]), max_size=12))
def test_nothing_that_an_agent_prints_breaks_the_reader(lines: list[str]) -> None:
    for code in read(lines):
        assert code.url.startswith("http")
        assert code.code
        assert code.expires_at.tzinfo is not None


def test_an_events_message_is_what_people_read() -> None:
    assert words(KIMI_CLI[0]) == "Please visit the following URL to finish authorization."
    assert words("{broken") == "{broken"
    assert words(KIMI_CODE[0]) == KIMI_CODE[0]


@pytest.mark.parametrize(
    ("said", "kind", "cause"),
    [
        ("Login cancelled: Authorization denied: no", Failure.CREDENTIALS, "refused on its page"),
        ("Login failed: Device authorization timed out after 900s", Failure.CREDENTIALS, "code has ended"),
        ("Login failed: OAuth request to https://x failed: fetch failed", Failure.RATE_LIMIT, "away or busy"),
        ("Login failed: Cannot connect to host x:443", Failure.RATE_LIMIT, "away or busy"),
        ("Login failed: Token polling server error: 503.", Failure.RATE_LIMIT, "away or busy"),
        ("Failed to refresh OAuth token: The provided authorization grant is invalid", Failure.CREDENTIALS, "refuses"),
        ("Failed to refresh OAuth token: Token refresh failed after retries.", Failure.RATE_LIMIT, "away or busy"),
        ("Login failed: EACCES: permission denied, open '/home/node/x'", Failure.ENGINE, "can't write where the login"),
        ("Login failed: EROFS: read-only file system, open '/home/node/x'", Failure.ENGINE, "can't write where"),
        ("Segmentation fault", Failure.CRASHED, "Segmentation fault"),
        ("", Failure.CRASHED, "it said nothing"),
    ],
)
def test_a_login_that_came_to_nothing_has_a_cause_and_a_remedy(said: str, kind: Failure, cause: str) -> None:
    error = of_login(said)
    assert error.kind is kind
    assert cause in str(error)
    assert error.remedy


def test_a_login_that_was_declined_is_said_to_be_once() -> None:
    assert str(of_login("Login cancelled: Authorization denied: no")) == "the login was refused on its page"
