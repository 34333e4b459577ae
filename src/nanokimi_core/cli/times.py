"""Moments, durations and numbers, as people read them."""

from __future__ import annotations

from datetime import datetime

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def moment(seconds: float) -> str:
    """Write a moment, in seconds since 1970, in this machine's time; empty where there is none."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}" if seconds else ""


def minute(when: datetime) -> str:
    """Write a moment to the minute, in this machine's time, with its zone."""
    return f"{when.astimezone():%Y-%m-%d %H:%M %Z}"


def counted(count: int, thing: str) -> str:
    """Write so many of a thing, whose name is that of one: ``1 chat``, ``2 chats``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def lasting(seconds: float) -> str:
    """Write a duration in its two largest units, ``2h 5m``."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0")) or "0s"
