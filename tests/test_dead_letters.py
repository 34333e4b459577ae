"""What was given up: who hears of it, how often, and how it is tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import (
    AgentError,
    AgentEvent,
    Failure,
    NotSent,
    Outbound,
    Receipt,
    Text,
    Turn,
    Undeliverable,
)
from nanokimi_core.conversation import catalogue
from nanokimi_core.conversation.catalogue import phrase
from testbed.fakes import (
    MemoryTransport,
    ScriptedBackend,
    ScriptedSession,
    asked,
    bench,
    check_sums,
    joining,
    until,
    until_prompted,
)

pytestmark = pytest.mark.anyio

AWAY = NotSent("offline", retry_after=timedelta(hours=1))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


# --------------------------------------------------------------------- dead letters
async def test_what_cannot_be_delivered_is_told_once_to_the_chat_and_the_owner_and_can_be_tried_again(
    tmp_path: Path,
) -> None:
    net = MemoryTransport()
    net.fail = [Undeliverable("blocked")]
    async with bench(tmp_path, {"owner": "net:boss"}, net=net, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("hello")
        await given.net.until_sent(2)
        (letter,) = await given.assistant.operations.dead()
        assert given.net.texts("desk") == [phrase("en", "undelivered")]
        (told,) = given.net.texts("boss")
        assert f"/dead retry {letter.id}" in told
        assert "blocked" in told
        assert await given.assistant.operations.revive(letter.id) is not None
        await given.net.until_sent(3)
        assert given.net.texts("desk") == [phrase("en", "undelivered"), "hello"]
        assert given.net.sent[-1].key == given.net.attempts[0].key
        await given.settled()
        assert not await given.assistant.operations.dead()


async def test_a_chat_hears_once_in_an_hour_that_answers_were_lost_and_the_order_of_the_others_stays(
    tmp_path: Path,
) -> None:
    class Picky(MemoryTransport):
        async def send(self, message: Outbound) -> Receipt | None:
            if "bad" in message.text:
                raise Undeliverable("forbidden")
            return await super().send(message)

    async with bench(tmp_path, net=Picky(), brain=ScriptedBackend(joining)).running() as given:
        for number, text in enumerate(["a", "bad 1", "b", "bad 2", "c"]):
            await given.net.say(text)
            await until(lambda number=number: len(given.brain.prompts) > number)  # type: ignore[misc]
        await given.settled()
        said = given.net.texts("desk")
        assert said.count(phrase("en", "undelivered")) == 1
        assert [text for text in said if text != phrase("en", "undelivered")] == ["a", "b", "c"]
        assert len(await given.assistant.operations.dead()) == 2


async def test_a_dropped_letter_is_gone_and_a_revived_message_is_answered(tmp_path: Path) -> None:
    broken = [True]

    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if broken:
            raise AgentError(Failure.CRASHED, "it fell")
        yield Text("fine")

    toml = {"limits": {"max_attempts": 1, "max_batch": 1}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("one")
        await given.net.say("two")
        await until(lambda: len(given.brain.prompts) == 2)
        await given.settled()
        two, one = await given.assistant.operations.dead()
        broken.clear()
        assert await given.assistant.operations.drop(two.id) is not None
        assert await given.assistant.operations.drop(two.id) is None
        assert await given.assistant.operations.revive(one.id) is not None
        assert (await given.net.until_sent(2))[1] == "fine"
        assert asked(given)[2:] == ["one"]
        assert not await given.assistant.operations.dead()


async def test_only_the_poison_of_a_batch_is_given_up(tmp_path: Path) -> None:
    gate = anyio.Event()

    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if turn.messages[0].text == "first":
            await gate.wait()
        if any(message.text == "poison" for message in turn.messages):
            raise AgentError(Failure.CRASHED, "it fell", retry_after=timedelta(milliseconds=1))
        yield Text("+".join(message.text for message in turn.messages))

    async with bench(tmp_path, brain=ScriptedBackend(answer)).running() as given:
        for text in ("first", "a", "poison", "b"):
            await given.net.say(text)
        gate.set()
        assert await given.net.until_sent(4) == ["first", "a", catalogue.gave_up(Failure.CRASHED, "en"), "b"]
        (letter,) = await given.assistant.operations.dead()
        assert letter.text == "poison"


async def test_a_failure_is_said_once_per_cause_and_chat(tmp_path: Path) -> None:
    causes = {"1": Failure.CRASHED, "2": Failure.CRASHED, "3": Failure.NO_ANSWER}

    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if (cause := causes.get(turn.messages[0].text)) is not None:
            raise AgentError(cause, "it fell")
        yield Text("fine")

    toml = {"limits": {"max_attempts": 1}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(answer)).running() as given:
        for number, text in enumerate(causes):
            for chat in ("a", "b"):
                await given.net.say(text, chat=chat)
            await until_prompted(given, 2 * number + 2)
            await given.settled()
        for chat in ("a", "b"):
            assert given.net.texts(chat) == [
                catalogue.gave_up(Failure.CRASHED, "en"),
                catalogue.gave_up(Failure.NO_ANSWER, "en"),
            ]
