"""How long a server wants to be left alone, where its error says so in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = r"(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)"
_PART = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,6}})?)\s*{_UNIT}\b", re.IGNORECASE)
_SPAN = rf"((?:\d{{1,9}}(?:\.\d{{1,6}})?\s*{_UNIT}\b(?:\s*,?\s*(?:and\s+)?)?){{1,4}})"
_AFTER = re.compile(
    rf"(?:again|retry|wait|resets?|renewed|refreshed|restored)\s+(?:after|in|for|within)?\s*{_SPAN}", re.IGNORECASE
)
_MOMENT = re.compile(
    r"(?:resets?|renews?|refresh|until|again|restored)\w*[^0-9]{0,24}"
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,6})?\s?(?:Z|UTC|[+-]\d\d:?\d\d))",
    re.IGNORECASE,
)
_LONGEST = timedelta(days=31)


def wait_said(text: str) -> timedelta | None:
    """Find it in an error's text; ``None`` where it isn't said, or has passed."""
    text = " ".join(text.split())
    if match := _AFTER.search(text):
        seconds = sum(float(number) * _SECONDS[_short(unit)] for number, unit in _PART.findall(match[1]))
        return min(timedelta(seconds=seconds), _LONGEST)
    if match := _MOMENT.search(text):
        return _until(match[1])
    return None


def _short(unit: str) -> str:
    return "ms" if unit.lower().startswith(("ms", "milli")) else unit[0].lower()


def _until(moment: str) -> timedelta | None:
    try:
        at = datetime.fromisoformat(re.sub(r"\s?(?:Z|UTC)$", "+00:00", moment, flags=re.IGNORECASE))
    except ValueError:
        return None
    rest = at - datetime.now(UTC)
    return min(rest, _LONGEST) if rest > timedelta() else None
