"""Which keys the server has refused, and for how long they stay aside."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["rejected", "out_of_quota"]

_FIRST = 15 * 60.0
_LONGEST = 6 * 3600.0
_SAME = 3600.0
_FARTHEST = 7 * 86_400.0
_SLACK = 3600.0
_QUOTA = re.compile(
    r"\b402\b|quota|usage limit|billing|balance|recharge|arrears|membership|insufficient", re.IGNORECASE
)
_NOT_QUOTA = re.compile(r"\b401\b", re.IGNORECASE)


def kind_of(why: str) -> Kind:
    """Tell from what was said whether the key was refused, or only what it may use is used up.

    The words are those of Moonshot's error reference and of the refusals that Kimi Code's members have shown in public:
    ``exceeded_current_quota_error``, "insufficient balance", "usage limit for this billing cycle", a 402 that is about
    the membership. A 401 is always about the key.
    """
    return "out_of_quota" if _QUOTA.search(why) and not _NOT_QUOTA.search(why) else "rejected"


class Refusal(BaseModel):
    """The server's refusal of a key.

    Attributes:
        kind: In the words of ``AuthStatus.state``.
        said: When and what the server said, for people.
        at: When it was first refused, in seconds since 1970.
        until: Until when the key stays aside; then it is tried again.
        times: How often it was refused since ``at``, where it was tried again in between.
        confirmed: Whether the server, asked what the account has left, has said as much; then its word ends it, too.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    said: str
    at: Annotated[float, Field(allow_inf_nan=False)]
    until: Annotated[float, Field(allow_inf_nan=False)]
    times: int = 1
    confirmed: bool = False

    def stands(self, now: float) -> bool:
        """Whether the key is to stay aside; a clock that was set back doesn't keep it there."""
        return self.at - _SLACK <= now < self.until

    def longer(self, until: float, now: float) -> Refusal:
        """Give it confirmed, and at least so long, but no more than a week."""
        return self.model_copy(update={"confirmed": True, "until": max(self.until, min(until, now + _FARTHEST))})


def refuse(before: Refusal | None, kind: Kind, said: str, now: float) -> Refusal:
    """Note a refusal: for a quarter of an hour, and each time that the next try is refused, for twice as long.

    Args:
        before: What was noted of the key before.
        kind: Of the refusal.
        said: What the server said.
        now: In seconds since 1970.
    """
    if before is None or not is_same(before, now):
        return Refusal(kind=kind, said=said, at=now, until=now + _FIRST)
    if before.stands(now):  # of a turn that had begun before
        return before.model_copy(
            update={"kind": kind, "said": said, "confirmed": before.confirmed and kind == before.kind}
        )
    wait = min(_FIRST * 2 ** min(before.times, 10), _LONGEST)
    return before.model_copy(update={"kind": kind, "said": said, "until": now + wait, "times": before.times + 1})


def is_same(before: Refusal, now: float) -> bool:
    """Whether a refusal now is of the same trouble as one before, of which the owner has heard."""
    return before.at - _SLACK <= now < before.until + _SAME
