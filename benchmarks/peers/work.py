"""The work that every candidate is given. Standard library only: peers import this file.

A message's text is ``c7#12``: its chat and its number in that chat. An answer is the same text; where a candidate
answers several messages at once, their texts with white space between them.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from benchmarks.peers.ledger import Ledger

Message = tuple[str, str]  # chat, text
Feed = Literal["closed", "open", "paced"]

QUIET = 5.0  # seconds without an answer after which no more are waited for
PACE = 100.0  # messages a second of the feed "paced"
FAILS_AT = 7  # of each 50 messages of a chat, the one whose first send fails


@dataclass(frozen=True)
class Scenario:
    """How many messages come in how.

    Attributes:
        count: Messages in all.
        chats: Chats that they come from, in turns.
        feed: ``closed``: each waits for the answer to the one before; ``open``: as fast as they are taken;
            ``paced``: ``PACE`` in a second.
        naps: The handler sleeps 5 to 50 ms.
        raises: Another plugin raises at every message.
        sends_fail: The first attempt to send every 50th answer of a chat raises ``ConnectionError``.
        looks: Counts of answers after which the memory is looked at.
    """

    count: int
    chats: int
    feed: Feed = "open"
    naps: bool = False
    raises: bool = False
    sends_fail: bool = False
    looks: tuple[int, ...] = ()


SCENARIOS = {
    "serial": Scenario(5_000, 1, "closed"),
    "burst": Scenario(20_000, 100),
    "slow": Scenario(1_000, 50, naps=True),
    "order": Scenario(200, 1, naps=True),
    "error": Scenario(500, 10, raises=True),
    "sendfail": Scenario(500, 10, sends_fail=True),
    "paced": Scenario(1_000, 20, "paced"),
    "known": Scenario(2_000, 10, "closed"),
    "long": Scenario(200_000, 100, looks=(20_000, 100_000, 200_000)),
}


def messages(scenario: Scenario) -> Iterator[Message]:
    """Give all messages, one of each chat in turns."""
    for index in range(scenario.count):
        yield _message(scenario, index)


def by_chat(scenario: Scenario) -> list[Iterator[Message]]:
    """Give the same messages as one stream for each chat."""
    return [_of_chat(scenario, first) for first in range(scenario.chats)]


def _of_chat(scenario: Scenario, first: int) -> Iterator[Message]:
    for index in range(first, scenario.count, scenario.chats):
        yield _message(scenario, index)


def _message(scenario: Scenario, index: int) -> Message:
    chat = f"c{index % scenario.chats}"
    return chat, f"{chat}#{index // scenario.chats}"


class Naps:
    """How long the handlers sleep: the same series for every candidate."""

    def __init__(self) -> None:
        self._random = random.Random(11)  # noqa: S311  # not a secret

    def next(self) -> float:
        """Give the next nap, in seconds."""
        return self._random.uniform(0.005, 0.050)


class FailingSends:
    """Raises at the first attempt to send certain answers, where the scenario asks for it."""

    def __init__(self, scenario: Scenario) -> None:
        self._on = scenario.sends_fail
        self._failed: set[str] = set()

    def check(self, text: str) -> None:
        """Refuse an answer that is one of those and is sent for the first time.

        Raises:
            ConnectionError: It is.
        """
        for word in text.split() if self._on else ():
            number = word.rpartition("#")[2]
            if number.isdigit() and int(number) % 50 == FAILS_AT and word not in self._failed:
                self._failed.add(word)
                raise ConnectionError("the network did not take it")


class Event(Protocol):
    """What anyio's and asyncio's events have in common."""

    def set(self) -> Any: ...

    async def wait(self) -> Any: ...


Push = Callable[[str, str], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]


async def feed(ledger: Ledger, push: Push, *, event: Callable[[], Event], sleep: Sleep) -> None:
    """Hand all messages to a candidate, one feeder for all chats, and wait for the answers.

    Args:
        ledger: Notes them.
        push: Hands one over; returns when the candidate has taken it.
        event: Makes an event of the candidate's event loop.
        sleep: Of the candidate's event loop.
    """
    how = ledger.scenario.feed
    if how == "closed":
        await _one_by_one(ledger, push, event)
    elif how == "paced":
        await _paced(ledger, push, sleep)
    else:
        await pour(ledger, push, messages(ledger.scenario))
    await until(lambda: ledger.over, sleep)


async def until(true: Callable[[], bool], sleep: Sleep) -> None:
    """Wait until something is true, looking every 10 ms: often enough, since nothing is timed by it."""
    while not true():
        await sleep(0.01)


async def pour(ledger: Ledger, push: Push, stream: Iterable[Message]) -> None:
    """Hand messages over as fast as they are taken."""
    for chat, text in stream:
        ledger.enter(text)
        await push(chat, text)


async def _one_by_one(ledger: Ledger, push: Push, event: Callable[[], Event]) -> None:
    for chat, text in messages(ledger.scenario):
        answered = event()
        ledger.on_answer = answered.set
        ledger.enter(text)
        await push(chat, text)
        await answered.wait()


async def _paced(ledger: Ledger, push: Push, sleep: Sleep) -> None:
    for index, (chat, text) in enumerate(messages(ledger.scenario)):
        await sleep(max(0.0, ledger.started + index / PACE - time.perf_counter()))
        ledger.enter(text)
        await push(chat, text)


def command_line() -> argparse.ArgumentParser:
    """Give the options that every candidate has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--count", type=int, help="another count of messages than the scenario's")
    return parser


def chosen(options: argparse.Namespace) -> Scenario:
    """Give the scenario of a command line."""
    scenario = SCENARIOS[options.scenario]
    return replace(scenario, count=options.count) if options.count else scenario
