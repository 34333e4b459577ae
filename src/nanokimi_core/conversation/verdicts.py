"""What becomes of a work: it is over, is to be tried again, or is given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import anyio

from nanokimi_core.store import Ending, Owed, Work


@dataclass(frozen=True)
class Done:
    """A work is over."""

    ending: Ending
    owed: Sequence[Owed] = ()


@dataclass(frozen=True)
class Again:
    """A work is to be tried again; until then its lane is held.

    Attributes:
        wait: Seconds.
        counted: Whether the attempt counts; it doesn't where the cause lies outside of the message.
        cause: In a few words, for ``nanokimi status``.
        passes_with: What the cause is about (``engine kimi_docker``): when a work that needs it succeeds, all lanes
            that are held for it go on. Empty where only time helps.
        owed: What the chat is told.
        passed: Asked when the hold begins: whether the cause has passed since the work failed.
    """

    wait: float
    counted: bool
    cause: str
    passes_with: str = ""
    owed: Sequence[Owed] = ()
    passed: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class GivenUp:
    """A work is given up: its messages are dead letters."""

    cause: str
    owed: Sequence[Owed] = ()


Verdict = Done | Again | GivenUp
Run = Callable[[Work], Awaitable[Verdict]]


@dataclass
class Hold:
    """Why and until when a lane is held."""

    until: float
    cause: str
    passes_with: str
    over: anyio.Event
