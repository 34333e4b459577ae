"""What an account has left, and how Moonshot's servers refuse one that has nothing left, in their own form.

The forms come from kimi-cli 1.51.0 (``ui/shell/usage.py``), from Moonshot's published error reference and from answers
that people have shown in public threads.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from testbed.cloud_model import Fail

_ACCOUNT = "Your account org-1 <ak-1>"

NO_BALANCE = Fail(
    429,
    "exceeded_current_quota_error",
    f"{_ACCOUNT} is suspended due to insufficient balance, please recharge your account or check your plan and billing"
    " details",
)
NOT_ACTIVE = Fail(
    403,
    "exceeded_current_quota_error",
    f"{_ACCOUNT} is not active, organization <org-1> exceeded current quota, please check your plan and billing"
    " details",
)
CYCLE_USED = Fail(
    403,
    "access_terminated_error",
    "You've reached your usage limit for this billing cycle. Your quota will be refreshed in the next cycle.",
)
WEEK_USED = Fail(
    403,
    "access_terminated_error",
    "You've reached your weekly (7-day) usage limit. Your quota will reset when the current 7-day window ends.",
)
PERIOD_USED = Fail(429, "rate_limit_reached_error", "You've reached your usage limit for this period")
NO_MEMBERSHIP = Fail(
    402,
    "invalid_request_error",
    "We're unable to verify your membership benefits at this time. Please ensure your membership is active.",
)
TERMINATED = Fail(403, "access_terminated_error", "Access terminated. Review our Community Guidelines")
WRONG_CLIENT = Fail(
    403, "access_terminated_error", "Kimi For Coding is currently only available for Coding Agents such as Kimi CLI"
)
TOO_MANY = Fail(
    429,
    "rate_limit_reached_error",
    f"{_ACCOUNT} request reached organization max RPM: 3, please try again after 1 seconds",
    {"retry-after": "1"},
)
OVERLOADED = Fail(429, "engine_overloaded_error", "The engine is currently overloaded, please try again later")


def usages(week: int = 25, five_hours: int = 10, *, week_ends: datetime | None = None) -> dict[str, Any]:
    """Write an answer of ``/coding/v1/usages``; numbers are strings there.

    Args:
        week: Used, of 100.
        five_hours: Used of the short window, of 100; the server tells what remains.
        week_ends: When the week's part is whole again.
    """
    now = datetime.now(UTC)
    return {
        "usage": {"limit": "100", "used": str(week), "resetTime": _time(week_ends or now + timedelta(days=3))},
        "limits": [
            {
                "window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"},
                "detail": {
                    "limit": "100",
                    "remaining": str(100 - five_hours),
                    "resetTime": _time(now + timedelta(hours=2)),
                },
            }
        ],
    }


def balance(available: float = 49.58894, voucher: float = 46.58893) -> dict[str, Any]:
    """Write an answer of ``/v1/users/me/balance``; a debt makes the cash negative."""
    data = {"available_balance": available, "voucher_balance": voucher, "cash_balance": round(available - voucher, 5)}
    return {"code": 0, "data": data, "scode": "0x0", "status": True}


def _time(at: datetime) -> str:
    """Write a time as the server does: in UTC, with more digits than a ``datetime`` holds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "353Z"
