"""Sending: pieces that fit, in order, tried again, and given up in the end."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanokimi_core import NotSent, Outbound, Receipt, Traits, Undeliverable, delivery
from nanokimi_core.delivery import Delivery, split


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_pieces_fit_and_lose_nothing_but_the_space_between_them(text: str, limit: int) -> None:
    pieces = split(text, limit)
    assert all(0 < len(piece) <= limit for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_pieces_end_at_paragraphs_then_lines_then_words() -> None:
    assert split("one two\n\nthree four", 12) == ["one two", "three four"]
    assert split("one two\nthree four", 12) == ["one two", "three four"]
    assert split("one two three four", 12) == ["one two", "three four"]
    assert split("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]


class Flaky:
    """A transport that fails as it is told, and then accepts."""

    def __init__(self, *failures: Exception, max_text: int = 4000) -> None:
        self.failures = list(failures)
        self.attempts: list[Outbound] = []
        self.traits = Traits(max_text=max_text)

    async def send(self, message: Outbound) -> Receipt | None:
        self.attempts.append(message)
        if self.failures:
            raise self.failures.pop(0)
        return Receipt("n1")

    async def run(self, inbox: object) -> None:
        raise AssertionError


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(delivery, "_LONGEST_WAIT", 0.001)


async def sent(transport: Flaky, text: str = "hello") -> bool:
    sender = Delivery(logging.getLogger("test"))
    sender.add("net", transport)
    return await sender.send("net", "desk", text, key="k", reply_to="7")


@pytest.mark.anyio
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "failure", [NotSent("offline"), NotSent("wait", retry_after=timedelta(0)), OSError("cut"), KeyError("bug")]
)
async def test_every_attempt_has_the_same_key(failure: Exception) -> None:
    transport = Flaky(failure, failure)
    assert await sent(transport)
    assert [message.key for message in transport.attempts] == ["k.0"] * 3


@pytest.mark.anyio
@pytest.mark.usefixtures("quick")
async def test_attempts_are_bounded_and_the_loss_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    transport = Flaky(*[NotSent("offline")] * 100)
    assert not await sent(transport)
    assert len(transport.attempts) == 6
    assert "given up after 6 attempts" in caplog.text


@pytest.mark.anyio
async def test_undeliverable_is_final() -> None:
    transport = Flaky(Undeliverable("blocked"))
    assert not await sent(transport)
    assert len(transport.attempts) == 1


@pytest.mark.anyio
@pytest.mark.usefixtures("quick")
async def test_parts_stay_in_order_and_only_the_first_is_a_reply() -> None:
    transport = Flaky(NotSent("offline"), max_text=5)
    assert await sent(transport, "one two three")
    assert [message.text for message in transport.attempts] == ["one", "one", "two", "three"]
    assert [message.reply_to for message in transport.attempts] == ["7", "7", None, None]
