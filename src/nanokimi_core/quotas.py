"""What an account has left, read from its server's answers; what isn't understood of an answer is left out.

The forms are those that kimi-cli 1.51.0 (``usage``, ``limits``) and kimi-code 2.1.0 (``usages``, ``boosterWallet``)
read from ``GET {base}/usages``, of which a server may send both, and the one that Moonshot's platform documents for
``GET {base}/users/me/balance``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nanokimi_core.contracts.auth import Quota

_MOST = 16
_MOST_READ = 64
_LONGEST_NAME = 40
_LONGEST_NUMBER = 40
_LARGEST = 1e15
_LONGEST_TIME = 64
_WARN_AT = 0.8
_WEEKLY = "Weekly limit"
_POOLS = {
    "limit_5h": "5h limit",
    "limit_7d": _WEEKLY,
    "limit_month_total": "Monthly limit",
    "limit_month_code": "Monthly limit for code",
}
_UNITS = {"MINUTE": timedelta(minutes=1), "HOUR": timedelta(hours=1), "DAY": timedelta(days=1)}
_EXTRA_UNITS = 100_000_000  # of an extra balance's figure to one of its currency: millionths of a hundredth


def quotas_of(answer: object, *, now: datetime | None = None) -> tuple[Quota, ...]:
    """Read the answer of Kimi Code's ``GET {base}/usages``; never raises.

    Args:
        answer: The parsed JSON, whatever it is.
        now: In place of the clock, for answers that say in how many seconds a limit is whole again; aware.

    Returns:
        At most 16, each name once; none where nothing is understood.
    """
    if not isinstance(answer, Mapping):
        return ()
    moment = now or datetime.now(UTC)
    read = (*_pools(answer.get("usages"), moment), *_limits(answer, moment), *_extra(answer.get("boosterWallet")))
    found: dict[str, Quota] = {}
    for quota in read:
        found.setdefault(quota.name, quota)
    return tuple(found.values())[:_MOST]


def balance_of(answer: object, *, currency: str = "") -> tuple[Quota, ...]:
    """Read the answer of the platform's ``GET {base}/users/me/balance``; never raises.

    Args:
        answer: The parsed JSON, whatever it is.
        currency: Of the figures, which the answer doesn't name: ``CNY`` at moonshot.cn, ``USD`` at moonshot.ai.

    Returns:
        One quota ``Balance``, or none where nothing is understood; its ``left`` begins with the amount. It is used up
        (``used`` is 1) where that is 0 or less, since the platform then answers no model; what part of it is used up
        otherwise, the server doesn't say.
    """
    data = answer.get("data") if isinstance(answer, Mapping) else None
    available = _number(data.get("available_balance")) if isinstance(data, Mapping) else None
    if available is None:
        return ()
    return (Quota("Balance", 1.0 if available <= 0 else None, _money(available, currency)),)


def warnings_of(quotas: Iterable[Quota]) -> list[tuple[str, str]]:
    """Give the key and the text for ``Context.tell_owner`` of each quota that is used up to 80 % or more.

    A text stays the same until the quota is used up or gets another time of reset, so that the owner hears of it once.
    """
    return [(f"quota {quota.name}", _warning(quota)) for quota in quotas if (quota.used or 0.0) >= _WARN_AT]


def _warning(quota: Quota) -> str:
    said = f"{quota.name} is used up" if (quota.used or 0.0) >= 1 else f"{quota.name} is used up to 80 % or more"
    return said if quota.resets_at is None else f"{said}; whole again at {quota.resets_at:%Y-%m-%d %H:%M} UTC"


# ----------------------------------------------------------------- the forms of an answer
def _pools(pools: object, now: datetime) -> Iterator[Quota]:
    if not isinstance(pools, Mapping):
        return
    for key, name in _POOLS.items():
        pool = pools.get(key)
        if isinstance(pool, Mapping) and (used := _number(pool.get("used_ratio"))) is not None:
            yield _quota(name, used, pool, now)


def _limits(answer: Mapping[Any, Any], now: datetime) -> Iterator[Quota]:
    limits = answer.get("limits")
    listed = limits[:_MOST_READ] if isinstance(limits, Sequence) and not isinstance(limits, str | bytes) else ()
    for number, limit in enumerate(listed, start=1):
        if isinstance(limit, Mapping):
            detail = limit.get("detail")
            figures = detail if isinstance(detail, Mapping) else limit
            yield from _counted(_name(limit, figures) or _length(limit, figures) or f"Limit {number}", figures, now)
    usage = answer.get("usage")
    if isinstance(usage, Mapping):
        yield from _counted(_name(usage) or _WEEKLY, usage, now)


def _counted(name: str, figures: Mapping[Any, Any], now: datetime) -> Iterator[Quota]:
    limit, used, rest = (_number(figures.get(key)) for key in ("limit", "used", "remaining"))
    if used is None and limit is not None and rest is not None:
        used = limit - rest
    if used is not None and limit is not None and limit > 0:
        yield _quota(name, used / limit, figures, now)


def _quota(name: str, used: float, figures: Mapping[Any, Any], now: datetime) -> Quota:
    part = min(max(used, 0.0), 1.0)
    return Quota(name, part, f"{math.floor((1 - part) * 100 + 1e-6)} %", _reset(figures, now))


def _extra(wallet: object) -> Iterator[Quota]:
    """Read what a member has bought besides the plan: told in its currency, as a balance."""
    balance = wallet.get("balance") if isinstance(wallet, Mapping) else None
    if not isinstance(wallet, Mapping) or not isinstance(balance, Mapping) or balance.get("type") != "BOOSTER":
        return
    bought, left = _number(balance.get("amount")), _number(balance.get("amountLeft"))
    if bought is None or left is None or bought <= 0:
        return
    capped = (wallet.get("monthlyChargeLimit"), wallet.get("monthlyUsed"))
    currencies = (_text(money.get("currency")) for money in capped if isinstance(money, Mapping))
    amount = _money(left / _EXTRA_UNITS, next(filter(None, currencies), "USD"))
    yield Quota("Extra usage", 1.0 if left <= 0 else None, amount)


# ----------------------------------------------------------------- their parts
def _name(*tables: Mapping[Any, Any]) -> str:
    return next((said for key in ("name", "title", "scope") for table in tables if (said := _text(table.get(key)))), "")


def _length(limit: Mapping[Any, Any], figures: Mapping[Any, Any]) -> str:
    """Name a limit by the length of its window, in the words of the agents."""
    window = limit.get("window")
    tables = (window if isinstance(window, Mapping) else {}, limit, figures)
    count = next(filter(None, (_number(table.get("duration")) for table in tables)), None)
    unit = next(filter(None, (_text(table.get("timeUnit")) for table in tables)), "")
    each = next((length for word, length in _UNITS.items() if word in unit), timedelta(seconds=1))
    if count is None or not 0 < count * each.total_seconds() <= timedelta(days=400).total_seconds():
        return ""
    minutes = round(count * each.total_seconds() / 60)
    if minutes == 7 * 24 * 60:
        return _WEEKLY
    if minutes % (24 * 60) == 0 and minutes:
        return f"{minutes // (24 * 60)}d limit"
    return f"{minutes // 60}h limit" if minutes % 60 == 0 and minutes else f"{minutes}m limit"


def _reset(figures: Mapping[Any, Any], now: datetime) -> datetime | None:
    said = (_moment(figures.get(key)) for key in ("reset_time", "resetTime", "reset_at", "resetAt"))
    if (moment := next(filter(None, said), None)) is not None:
        return moment
    seconds = next(filter(None, (_number(figures.get(key)) for key in ("reset_in", "resetIn", "ttl"))), None)
    try:
        return None if seconds is None else (now + timedelta(seconds=seconds)).astimezone(UTC)
    except OverflowError:
        return None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) > _LONGEST_TIME:
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(value: object) -> float | None:
    """Read a number, which the servers also write as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > _LONGEST_NUMBER:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= _LARGEST else None


def _text(value: object) -> str:
    """Read a short text, in one line and without what a terminal would obey."""
    if not isinstance(value, str):
        return ""
    plain = "".join(character if character.isprintable() else " " for character in value[: 4 * _LONGEST_NAME])
    return " ".join(plain.split())[:_LONGEST_NAME].rstrip()


def _money(amount: float, currency: str) -> str:
    return f"{amount:.2f} {currency}".rstrip()
