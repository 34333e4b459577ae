"""How each key stands, and which one serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nanokimi_auth_apikey.keys import Key
from nanokimi_auth_apikey.refusals import Kind, Refusal
from nanokimi_auth_apikey.settings import Order
from nanokimi_auth_apikey.usage import Usage, said_of

_TURN = 3600.0
_FRESH = 3600.0


@dataclass(frozen=True)
class Standing:
    """A key, and what is remembered of it.

    Attributes:
        key: The key.
        name: What people see of it.
        mark: Its hash.
        refusal: The last one that is remembered.
        usage: What the server told last.
        now: The moment for which this says how the key stands, in seconds since 1970.
    """

    key: Key
    name: str
    mark: str
    refusal: Refusal | None
    usage: Usage | None
    now: float

    @property
    def aside(self) -> Kind | None:
        """Why the key is not used while there is another one; ``None`` where nothing speaks against it."""
        if self.refusal is not None and self.refusal.stands(self.now):
            return self.refusal.kind
        fresh = self.usage is not None and 0 <= self.now - self.usage.at < _FRESH
        return "out_of_quota" if fresh and self.usage is not None and self.usage.broke else None

    @property
    def why(self) -> str:
        """What the server said, where the key is aside."""
        if self.refusal is not None and self.refusal.stands(self.now):
            return self.refusal.said
        return "the balance is used up" if self.aside else ""

    def is_due(self, every: float) -> bool:
        """Whether to ask what is left: so many seconds after the last answer, and after a refusal at once."""
        if self.usage is None or self.usage.is_due(self.now, every):
            return True
        return self.usage.outcome != "untold" and self.refusal is not None and self.refusal.at > self.usage.at

    def line(self, *, serves: bool) -> str:
        """Say it in one line, for ``nanokimi auth status``."""
        said = "serves" if serves else "in reserve"
        if self.aside is not None:
            until = f" until {moment(self.refusal.until)}" if self.refusal and self.refusal.stands(self.now) else ""
            said = f"{self.aside.replace('_', ' ')}{until} ({self.why})"
        left = f"; left: {said_of(self.usage.quotas)}" if self.usage is not None and self.usage.quotas else ""
        return f"{self.key.tail} from {self.key.source}: {said}{left}"


def choose(standings: Sequence[Standing], order: Order) -> Standing:
    """Choose the key that serves: in its turn, the first one that isn't aside; else the one that may work soonest.

    In turns, another key begins each hour, so that an agent that runs is seldom restarted for it.
    """
    start = int(standings[0].now // _TURN) % len(standings) if order == "turns" else 0
    turn = [*standings[start:], *standings[:start]]
    return next((one for one in turn if one.aside is None), None) or min(turn, key=_soonest)


def _soonest(standing: Standing) -> tuple[bool, float]:
    return standing.aside == "rejected", standing.refusal.until if standing.refusal is not None else 0.0


def moment(at: float) -> str:
    """Write a time for people."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
