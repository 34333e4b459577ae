"""Whether an assistant's counters add up: nothing that came in may be unaccounted for."""

from __future__ import annotations

from collections.abc import Mapping

ARRIVED = ("duplicate", "refused_chat", "refused_sender", "refused_cap", "refused_own", "accepted")
ENDED = ("context", "answered", "command", "cancelled", "edit", "pending", "dead")


def sums_differ(counters: Mapping[str, int]) -> str:
    """Say how counters don't add up; nothing where they do."""
    arrived = sum(counters[name] for name in ARRIVED)
    ended = sum(counters[name] for name in ENDED)
    if (counters["received"], counters["accepted"]) == (arrived, ended):
        return ""
    return f"received {arrived}, accepted {ended} in {dict(counters)}"
