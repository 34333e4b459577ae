from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanokimi_auth_apikey.records import Records
from nanokimi_auth_apikey.refusals import Refusal, is_same, kind_of, refuse
from testbed.cloud import Fail
from testbed.cloud_quota import (
    CYCLE_USED,
    NO_BALANCE,
    NO_MEMBERSHIP,
    NOT_ACTIVE,
    PERIOD_USED,
    TERMINATED,
    WEEK_USED,
    WRONG_CLIENT,
)

NOW = 1_800_000_000.0
QUARTER, LONGEST = 900.0, 6 * 3600.0


def said(how: Fail) -> str:
    return f"Error code: {how.status} - {how.error_type}: {how.message}"


@pytest.mark.parametrize("how", [NO_BALANCE, NOT_ACTIVE, CYCLE_USED, WEEK_USED, PERIOD_USED, NO_MEMBERSHIP])
def test_what_is_used_up_is_told_from_a_key_that_is_refused(how: Fail) -> None:
    assert kind_of(said(how)) == "out_of_quota"


@pytest.mark.parametrize("how", [TERMINATED, WRONG_CLIENT, Fail(401, "invalid_authentication_error", "no balance")])
def test_a_key_that_is_refused_is_told_from_what_is_used_up(how: Fail) -> None:
    assert kind_of(said(how)) == "rejected"


@given(st.lists(st.floats(0, 12 * 3600), max_size=20), st.sampled_from(["rejected", "out_of_quota"]))
def test_however_often_a_key_is_refused_it_is_tried_again_within_six_hours(pauses: list[float], kind: str) -> None:
    refusal, now = refuse(None, kind_of("429 quota" if kind == "out_of_quota" else "401"), "why", NOW), NOW
    for pause in pauses:
        now += pause
        before, stood = refusal, refusal.stands(now)
        refusal = refuse(refusal, refusal.kind, "why", now)
        assert refusal.stands(now)
        assert not refusal.stands(now + LONGEST)
        if stood:
            assert refusal.until == before.until  # what began before says nothing new
        elif is_same(before, now):
            assert refusal.until - now >= min(2 * QUARTER, LONGEST)
        else:
            assert refusal.until - now == pytest.approx(QUARTER)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_the_server_says_of_the_time_keeps_a_key_aside_for_a_week_at_most(until: float) -> None:
    refusal = refuse(None, "out_of_quota", "429", NOW).longer(until, NOW)
    assert refusal.stands(NOW)
    assert not refusal.stands(NOW + 8 * 86_400)


# ------------------------------------------------------------------- what is kept
def test_the_oldest_of_too_many_records_are_forgotten(tmp_path: Path) -> None:
    records = Records(tmp_path / "refused", Refusal)
    for number in range(70):
        records.write(f"{number:016x}", refuse(None, "rejected", "401", NOW + number))
        os.utime(tmp_path / "refused" / f"{number:016x}.json", (1e9 + number, 1e9 + number))
    kept = sorted(file.name for file in (tmp_path / "refused").iterdir())
    assert kept == [f"{number:016x}.json" for number in range(6, 70)]
    assert (tmp_path / "refused").stat().st_mode & 0o777 == 0o700


@given(st.binary(max_size=300))
def test_a_damaged_record_is_none(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "mark.json").write_bytes(data)
    assert Records(folder, Refusal).read("mark") is None


def test_a_record_that_was_written_is_read_and_one_that_was_forgotten_is_not(tmp_path: Path) -> None:
    records = Records(tmp_path, Refusal)
    refusal = refuse(None, "rejected", "401", NOW)
    records.write("mark", refusal)
    assert records.read("mark") == refusal
    records.forget("mark")
    records.forget("mark")
    assert records.read("mark") is None
