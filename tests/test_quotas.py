from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanokimi_core import Quota, balance_of, quotas_of, warnings_of

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 5, 24, 18, tzinfo=UTC)

NUMBERS = st.one_of(
    st.integers(), st.floats(), st.integers(0, 200), st.integers(0, 200).map(str), st.sampled_from(["1e999", "nan", ""])
)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=50), st.sampled_from(["TIME_UNIT_MINUTE", "DAY"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)
TIMES = st.one_of(st.datetimes().map(datetime.isoformat), st.text(max_size=40), ANYTHING)
FIGURES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("limit", "used", "remaining", "used_ratio", "reset_in", "duration"), NUMBERS | ANYTHING),
        **dict.fromkeys(("reset_time", "resetTime", "reset_at"), TIMES),
        **dict.fromkeys(("name", "title", "scope", "timeUnit"), ANYTHING),
    },
)
LIMIT = st.one_of(
    FIGURES, ANYTHING, st.fixed_dictionaries({}, optional={"detail": FIGURES | ANYTHING, "window": FIGURES | ANYTHING})
)
USAGES = st.fixed_dictionaries(
    {},
    optional={
        "usage": FIGURES | ANYTHING,
        "limits": st.lists(LIMIT, max_size=6) | ANYTHING,
        "usages": st.dictionaries(st.sampled_from(["limit_5h", "limit_7d", "limit_month_total"]), FIGURES) | ANYTHING,
        "boosterWallet": st.fixed_dictionaries(
            {"balance": st.fixed_dictionaries({"type": st.just("BOOSTER"), "amount": NUMBERS, "amountLeft": NUMBERS})},
            optional={"monthlyUsed": st.fixed_dictionaries({"currency": ANYTHING})},
        )
        | ANYTHING,
    },
)


def whole(quotas: tuple[Quota, ...]) -> None:
    """Look that people can be shown each quota."""
    assert len(quotas) <= 16
    assert len({quota.name for quota in quotas}) == len(quotas)
    for quota in quotas:
        assert quota.name
        assert quota.name == " ".join(quota.name.split())
        assert all(len(text) <= 40 and text.isprintable() for text in (quota.name, quota.left))
        assert quota.used is None or 0 <= quota.used <= 1
        assert quota.resets_at is None or quota.resets_at.utcoffset() == timedelta(0)


# ----------------------------------------------------------------- the known forms
def test_the_form_that_kimi_cli_reads_is_understood() -> None:
    answer = {
        "usage": {"limit": "100", "used": "26", "remaining": "74", "resetTime": "2026-11-23T05:24:18.519605353Z"},
        "limits": [
            {
                "window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"},
                "detail": {"limit": "200", "remaining": "20", "reset_in": 3600},
            },
            {"name": "Parallel", "limit": 4, "used": 1},
        ],
        "parallel": {"limit": "30"},
        "totalQuota": {},
    }
    limit, parallel, weekly = quotas_of(answer, now=NOW)
    assert limit == Quota("5h limit", 0.9, "10 %", NOW + timedelta(hours=1))
    assert parallel == Quota("Parallel", 0.25, "75 %")
    assert weekly == Quota("Weekly limit", 0.26, "74 %", LATER.replace(microsecond=519605))


def test_the_form_that_kimi_code_reads_is_understood_and_goes_before_the_older_one() -> None:
    answer = {
        "limits": [
            {
                "window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"},
                "detail": {"limit": "100", "remaining": "100"},
            }
        ],
        "usages": {
            "limit_5h": {"used_ratio": "0.5", "reset_time": "2026-11-23T05:24:18Z"},
            "limit_7d": {"used_ratio": 0.01},
            "limit_month_total": {"used_ratio": 1.2},
            "limit_month_code": {},
        },
        "boosterWallet": {
            "balance": {"type": "BOOSTER", "amount": "2000000000", "amountLeft": "1234000000"},
            "monthlyUsed": {"priceInCents": 0, "currency": "CNY"},
        },
    }
    assert quotas_of(answer) == (
        Quota("5h limit", 0.5, "50 %", LATER),
        Quota("Weekly limit", 0.01, "99 %"),
        Quota("Monthly limit", 1.0, "0 %"),
        Quota("Extra usage", None, "12.34 CNY"),
    )


def test_extra_usage_that_is_spent_is_used_up() -> None:
    wallet = {"balance": {"type": "BOOSTER", "amount": 10**9, "amountLeft": 0}}
    assert quotas_of({"boosterWallet": wallet}) == (Quota("Extra usage", 1.0, "0.00 USD"),)


@pytest.mark.parametrize(
    ("duration", "unit", "name"),
    [
        (300, "TIME_UNIT_MINUTE", "5h limit"),
        (90, "MINUTE", "90m limit"),
        (5, "TIME_UNIT_HOUR", "5h limit"),
        (7, "TIME_UNIT_DAY", "Weekly limit"),
        (30, "TIME_UNIT_DAY", "30d limit"),
        (7200, "", "2h limit"),
        (0, "TIME_UNIT_HOUR", "Limit 1"),
        (1e12, "TIME_UNIT_DAY", "Limit 1"),
    ],
)
def test_a_limit_without_a_name_is_called_after_the_length_of_its_window(duration: float, unit: str, name: str) -> None:
    limit = {"window": {"duration": duration, "timeUnit": unit}, "detail": {"limit": 10, "used": 1}}
    assert [quota.name for quota in quotas_of({"limits": [limit]})] == [name]


def test_a_balance_is_told_with_its_currency() -> None:
    answer = {"code": 0, "data": {"available_balance": 49.58894, "voucher_balance": 46.5, "cash_balance": 3.0}}
    assert balance_of(answer, currency="CNY") == (Quota("Balance", None, "49.59 CNY"),)
    assert balance_of(answer) == (Quota("Balance", None, "49.59"),)


@pytest.mark.parametrize("available", [0, -0.5, "0.0"])
def test_a_balance_of_nothing_is_used_up(available: object) -> None:
    (quota,) = balance_of({"data": {"available_balance": available}})
    assert quota.used == 1


# ----------------------------------------------------------------- any answer
@given(USAGES | ANYTHING)
def test_whatever_the_server_answers_gives_quotas_that_people_can_be_shown(answer: object) -> None:
    whole(quotas_of(answer, now=NOW))
    whole(quotas_of(answer))


@given(
    ANYTHING | st.fixed_dictionaries({"data": st.fixed_dictionaries({"available_balance": NUMBERS | ANYTHING})}),
    st.sampled_from(["CNY", ""]),
)
def test_whatever_the_server_answers_gives_a_balance_that_people_can_be_shown(answer: object, currency: str) -> None:
    whole(balance_of(answer, currency=currency))


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_a_part_is_the_same_as_ratio_as_used_and_as_rest(part: float, limit: int) -> None:
    used = math.floor(part * limit)
    forms: list[dict[str, Any]] = [
        {"usages": {"limit_7d": {"used_ratio": used / limit}}},
        {"usage": {"limit": limit, "used": str(used)}},
        {"usage": {"limit": str(limit), "remaining": limit - used}},
    ]
    read = {quotas_of(json.loads(json.dumps(form))) for form in forms}
    assert len(read) == 1
    ((quota,),) = read
    assert quota.used == pytest.approx(used / limit)


def test_a_huge_answer_is_read_only_in_part() -> None:
    limits = [{"name": f"Limit of {number}", "limit": 10, "used": 1} for number in range(100_000)]
    assert len(quotas_of({"limits": limits})) == 16
    assert quotas_of({"limits": "x" * 100_000}) == ()
    (quota,) = quotas_of(
        {"usage": {"name": "n\n\x1b[31m" * 10_000, "limit": 10, "used": "9" * 100_000, "remaining": 1}}
    )
    whole((quota,))


# ----------------------------------------------------------------- warnings
def test_the_owner_is_warned_from_80_percent_on_with_the_time_of_reset() -> None:
    quotas = (
        Quota("Weekly limit", 0.8, resets_at=LATER),
        Quota("5h limit", 0.799, resets_at=LATER),
        Quota("Balance", None, "3.00 CNY"),
        Quota("Monthly limit", 1.0),
    )
    assert warnings_of(quotas) == [
        ("quota Weekly limit", "Weekly limit is used up to 80 % or more; whole again at 2026-11-23 05:24 UTC"),
        ("quota Monthly limit", "Monthly limit is used up"),
    ]


@given(st.floats(0.8, 1, exclude_max=True), st.floats(0.8, 1, exclude_max=True))
def test_a_warning_stays_the_same_until_there_is_nothing_left(one: float, other: float) -> None:
    assert warnings_of([Quota("Q", one)]) == warnings_of([Quota("Q", other)])
    assert warnings_of([Quota("Q", one)]) != warnings_of([Quota("Q", 1.0)])
