"""How what agents and containers let slip gets its name."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import anyio
import pytest
from acp import RequestError
from hypothesis import given
from hypothesis import strategies as st

from nanokimi_backend_kimi_docker import failures, turn
from nanokimi_backend_kimi_docker.container import Exit
from nanokimi_backend_kimi_docker.failures import writing
from nanokimi_backend_kimi_docker.records import Records
from nanokimi_backend_kimi_docker.waits import wait_said
from nanokimi_core import AgentError, Failure

DAY = timedelta(days=1)
CODES = [
    ("APIStatusError", "401 Invalid Authentication", Failure.CREDENTIALS),
    ("APIStatusError", "Error code: 401 - {'error': {'message': 'x'}}", Failure.CREDENTIALS),
    ("OAuthUnauthorizedError", "The provided authorization grant is invalid", Failure.CREDENTIALS),
    ("", "Authentication required", Failure.CREDENTIALS),
    ("APIStatusError", "403 no permission", Failure.CREDENTIALS),
    ("APIStatusError", "Error code: 403 - {'error': {'type': 'access_terminated_error'}}", Failure.QUOTA),
    ("APIStatusError", "403 You've reached your weekly (7-day) usage limit.", Failure.QUOTA),
    ("APIProviderQuotaExhaustedError", "429 too much", Failure.QUOTA),
    ("APIStatusError", "402 pay", Failure.QUOTA),
    ("APIProviderRateLimitError", "429 slow down", Failure.RATE_LIMIT),
    ("APIStatusError", "404 no such model", Failure.MODEL),
    ("Error2", 'Model "x" is not configured in config.toml.', Failure.MODEL),
    ("LLMNotSet", "LLM is not set", Failure.MODEL),
    ("APIStatusError", "500 it broke", Failure.NO_ANSWER),
    ("APIStatusError", "529 busy", Failure.RATE_LIMIT),
    ("APIConnectionError", "Connection error.", Failure.RATE_LIMIT),
    ("APITimeoutError", "Request timed out.", Failure.RATE_LIMIT),
    ("LoopError", "Turn exceeded maxSteps=5.", Failure.TOO_LONG),
    ("MaxStepsReached", "", Failure.TOO_LONG),
    ("APIEmptyResponseError", "The API returned an empty response", Failure.NO_ANSWER),
    ("APIStatusError", "400 a picture of 401 pixels", Failure.NO_ANSWER),
    ("", "", Failure.NO_ANSWER),
]


@pytest.mark.parametrize(("kind", "message", "expected"), CODES)
def test_an_agents_error_gets_its_name(kind: str, message: str, expected: Failure) -> None:
    error = failures.from_agent(kind, message)
    assert error.kind is expected
    assert str(error)


def test_the_time_to_wait_is_passed_on_and_guessed_where_nobody_said_it() -> None:
    known = failures.from_agent("", "429 slow down", retry_after=timedelta(seconds=7))
    assert known.retry_after == timedelta(seconds=7)
    assert failures.from_agent("", "429 slow down").retry_after == timedelta(seconds=30)
    assert failures.from_agent("", "401").retry_after is None


def test_an_error_of_acp_itself_is_named_by_what_it_carries() -> None:
    assert failures.refused(RequestError(-32603, "Internal error", {"error": "404 gone"})).kind is Failure.MODEL
    assert failures.refused(RequestError(-32000, "Authentication required", {"a": 1})).kind is Failure.CREDENTIALS


def test_no_key_and_no_token_is_repeated() -> None:
    error = failures.from_agent("X", "401 Bearer abcdefghijk sk-kimi-abcdefghijk eyJhbGciOiJI.eyJpc3MiOiJr.c2ln")
    assert "abcdefghijk" not in str(error)
    assert "eyJ" not in str(error)


def test_what_steers_a_terminal_is_not_repeated() -> None:
    error = failures.from_agent("X", "500 \x1b[2J\x1b]0;title\x07it\x00 broke\r\n\u202egone\ud800")
    assert str(error) == "X: 500 ]0;title it broke gone"


def test_a_data_folder_that_cant_be_written_has_a_name_and_a_remedy() -> None:
    with pytest.raises(AgentError, match=r"the data folder can't be written: .*No space left") as caught, writing():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data")
    assert (caught.value.kind, caught.value.remedy) == (
        Failure.ENGINE,
        "free some space, or check its owner and mode; messages wait until then",
    )


def exited(left: Exit, last_words: str = "") -> AgentError:
    return failures.from_exit(left, program="/opt/agent", limit=2**30, last_words=last_words)


def test_a_container_that_ended_says_why() -> None:
    assert exited(Exit(137, out_of_memory=True)).kind is Failure.OUT_OF_MEMORY
    assert "limit of 1g" in str(exited(Exit(137, out_of_memory=True)))
    assert exited(Exit(134), "JavaScript heap out of memory").kind is Failure.OUT_OF_MEMORY
    assert exited(Exit(127)).kind is Failure.ENGINE
    assert "/opt/agent" in str(exited(Exit(127)))
    crash = exited(Exit(1), "it said this")
    assert crash.kind is Failure.CRASHED
    assert "exit code 1" in str(crash)
    assert "it said this" in str(crash)
    assert "gone" in str(exited(Exit(None, gone=True)))
    assert "connection to its container was lost" in str(exited(Exit(0, running=True)))


@pytest.mark.parametrize(
    ("message", "kind", "cause", "remedy"),
    [
        ("402 Payment required", Failure.QUOTA, "balance is used up, or its membership", "top up"),
        ("403 Access terminated: access_terminated_error", Failure.QUOTA, "or the plan has ended", "renew or change"),
        (
            "403 You've reached your usage limit for this billing cycle.",
            Failure.QUOTA,
            "plan's quota",
            "renew or change",
        ),
        ("403 only available for Coding Agents such as X", Failure.QUOTA, "does not serve this agent", "image build"),
        ("403 no permission", Failure.CREDENTIALS, "may not do this", "what the account's plan includes"),
        ("429 exceeded_current_quota_error", Failure.QUOTA, "account's quota", "until the quota is renewed"),
        ("429 Your account balance is too low, please recharge", Failure.QUOTA, "account's quota", "top up"),
        ("429 max RPM: 3", Failure.RATE_LIMIT, "fewer requests", "passes by itself"),
        ('Token for "x" has no refresh_token; re-login required.', Failure.CREDENTIALS, "(401)", "log in again"),
    ],
)
def test_what_an_account_lacks_is_told_apart(message: str, kind: Failure, cause: str, remedy: str) -> None:
    error = failures.from_agent("APIStatusError", message)
    assert error.kind is kind
    assert cause in str(error)
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("please try again after 42 seconds", 42),
        ("please try again after 1s", 1),
        ("try again in 1500ms", 1.5),
        ("Quota resets in 2 hours, 30 minutes", 9000),
        ("retry after 3 days", 259_200),
        ("retry after 900000 days", 31 * 86_400),
        ("please try again later", None),
        ("max RPM: 3", None),
        ("it was reset at 2001-01-01T00:00:00Z", None),
        ("resets at 9999-99-99T00:00:00Z", None),
    ],
)
def test_the_time_to_wait_is_read_from_the_servers_words(message: str, seconds: float | None) -> None:
    assert wait_said(message) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M UTC", "%Y-%m-%dT%H:%M:%S.000+00:00"])
def test_a_moment_of_reset_is_read(form: str) -> None:
    told = failures.from_agent("", f"403 usage limit; your quota resets at {datetime.now(UTC) + DAY:{form}}.")
    assert told.retry_after is not None
    assert DAY - timedelta(minutes=2) < told.retry_after <= DAY


@given(st.text())
def test_nothing_that_a_server_says_breaks_the_reader_of_waits(text: str) -> None:
    wait_said(text)
    wait_said(f"try again after {text}")
    wait_said(f"resets at 20{text}")


KEY = "sk-kimi-Zx81Qw27Er63Ty54Ui45Op36"


@pytest.mark.parametrize(
    "said",
    [
        f"401 Incorrect API key provided: {KEY}",
        f"401 Incorrect API key provided: {KEY[:12]}**********{KEY[-6:]}",
        f"401 the key {KEY[8:20]} is revoked",
        f"401 {KEY[10:]}",
    ],
)
def test_no_more_than_four_characters_of_a_key_are_repeated(said: str) -> None:
    shown = str(failures.from_agent("X", said, secret=KEY))
    body = KEY.removeprefix("sk-kimi-")
    assert not [body[at : at + 5] for at in range(len(body) - 4) if body[at : at + 5] in shown]
    assert "401" in shown


@pytest.mark.parametrize("secret", ["", "abc", "sk-kimi-", KEY])
def test_words_that_are_no_part_of_the_key_stay(secret: str) -> None:
    assert failures.from_agent("X", "500 kimi-for-coding broke", secret=secret).args == (
        "X: 500 kimi-for-coding broke",
    )


RECORD = (
    '{"hook_event_name":"StopFailure","session_id":"s1","cwd":"/workspace","error_type":"APIStatusError",'
    '"error_message":"404 \\"gone\\""}'
)


def test_a_hooks_record_is_read_whole_and_cut() -> None:
    assert failures.parse_record(RECORD) == failures.TurnEnd("s1", True, "APIStatusError", '404 "gone"')
    cut = failures.parse_record(RECORD[:-6])
    assert cut is not None
    assert (cut.session, cut.failed, cut.kind) == ("s1", True, "APIStatusError")
    assert failures.parse_record('{"hook_event_name":"Stop","session_id":"s1"}') == failures.TurnEnd("s1", False)
    assert failures.parse_record('{"hook_event_name":"PreToolUse"}') is None
    assert failures.parse_record("[" * 3000) is None


@given(st.text())
def test_nothing_that_a_container_writes_breaks_the_reader(text: str) -> None:
    failures.parse_record(text)
    assert Records("mark").take(text) is text.startswith("mark ")
    assert Records("mark").take("mark " + text)


@pytest.mark.anyio
async def test_records_are_kept_by_session_though_they_overtake_the_last_words_of_their_turn() -> None:
    records = Records("mark")
    assert not records.take("mark-of-another " + RECORD)
    assert records.take("mark " + RECORD)
    assert await records.get("s2", within=0.01) is None
    found = await records.get("s1", within=1)
    assert found is not None
    assert found.failed
    records.goes_on("s1")
    assert await records.get("s1", within=1) is found
    records.drop("s1")
    assert await records.get("s1", within=0.01) is None


@pytest.mark.anyio
async def test_a_record_from_before_the_turn_went_on_is_forgotten() -> None:
    records = Records("mark", overtakes=0.0)
    records.goes_on("s1")
    assert records.take("mark " + RECORD)
    records.goes_on("s1")
    assert await records.get("s1", within=0.01) is None


@pytest.mark.anyio
async def test_a_reason_that_comes_late_is_waited_for_where_reasons_are_known_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn, "_RECORD_SECONDS", 0.0)
    records = Records("mark")
    place = SimpleNamespace(
        process=SimpleNamespace(records=records), session="s1", grant=SimpleNamespace(model="m"), secret=""
    )
    running = turn.RunningTurn(cast(turn.Place, place), [])
    unknown = await running._judge("end_turn")
    assert unknown is not None
    assert unknown.kind is Failure.NO_ANSWER
    records.take("mark " + RECORD)
    records.drop("s1")

    async def later() -> None:
        await anyio.sleep(0.05)
        records.take("mark " + RECORD)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(later)
        late = await running._judge("end_turn")
    assert late is not None
    assert late.kind is Failure.MODEL
    running.events.close()
    running._send.close()
