"""Accepted is kept, answered once and in order: whole assistants that are abandoned, stopped and started again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import (
    AgentError,
    AgentEvent,
    Chat,
    Failure,
    NotSent,
    Session,
    Text,
    Turn,
)
from nanokimi_core.conversation import catalogue
from nanokimi_core.conversation.catalogue import phrase
from testbed.fakes import (
    Gated,
    MemoryTransport,
    ScriptedBackend,
    ScriptedSession,
    asked,
    bench,
    check_sums,
    joining,
    slow,
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


# --------------------------------------------------------------------- what was delivered is kept
async def test_what_was_delivered_before_a_crash_is_answered_by_the_next_start(tmp_path: Path) -> None:
    async with bench(tmp_path, brain=Gated()).crashing() as given:
        for chat in ("a", "b"):
            await given.net.say("hello", chat=chat, number="1")
        await given.net.say("more", chat="a", number="2")
    assert not given.net.sent
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        await given.net.until_sent(3)
        assert given.net.texts("a") == ["hello", "more"]
        assert given.net.texts("b") == ["hello"]


async def test_a_message_that_comes_again_is_answered_once_also_after_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("hello", number="7")
        await given.net.until_sent(1)
        await given.net.say("hello", number="7")
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("hello", number="7")
        await given.net.say("hello", chat="elsewhere", number="7")
        await given.net.until_sent(1)
        await given.settled()
        assert [message.chat for message in given.net.sent] == ["elsewhere"]
        counters = await given.assistant.store.counters()
        assert (counters["duplicate"], counters["answered"]) == (2, 2)


async def test_messages_that_are_delivered_at_once_are_answered_in_the_order_in_which_they_were_kept(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, {"limits": {"max_batch": 3}}, brain=(brain := Gated())).running() as given:
        kept: list[str] = []

        async def deliver(number: int) -> None:
            await given.net.say(f"{number:02}", number=str(number))
            kept.append(f"{number:02}")

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(deliver, number)
        brain.let_all()
        await until(lambda: sum(len(turn.messages) for _, turn in brain.prompts) == 20)
        await given.settled()
        answered = [text for message in given.net.sent for text in message.text.split("+")]
        assert sorted(answered) == sorted(kept)
        assert answered == [message.text for _, turn in brain.prompts for message in turn.messages]
        assert all(len(turn.messages) <= 3 for _, turn in brain.prompts)


async def test_what_waits_becomes_one_turn_with_sender_and_time_of_each_and_not_across_new(tmp_path: Path) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    async with bench(tmp_path, {"limits": {"max_batch": 2}}, brain=(brain := Gated())).running() as given:
        await given.net.say("first")
        await until_prompted(given, 1)
        for minute, name in enumerate(("Ana", "Ben", "Ana")):
            await given.net.say(f"m{minute}", sender=name.lower(), sender_name=name, at=at + timedelta(minutes=minute))
        await given.net.say("/new")
        await given.net.say("after")
        brain.let_all()
        said = await given.net.until_sent(5)
        assert said == ["first", "m0+m1", "m2", phrase("en", "fresh"), "after"]
        both = brain.prompts[1][1].messages
        assert [(message.sender_name, message.at) for message in both] == [
            ("Ana", at),
            ("Ben", at + timedelta(minutes=1)),
        ]


async def test_an_answer_that_was_owed_at_a_crash_is_sent_by_the_next_start_under_its_key(tmp_path: Path) -> None:
    net = MemoryTransport()
    net.fail = [AWAY]
    async with bench(tmp_path, net=net, brain=ScriptedBackend(joining)).crashing() as given:
        await given.net.say("hello")
        await until(lambda: len(net.attempts) == 1)
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        assert await given.net.until_sent(1) == ["hello"]
        assert given.net.sent[0].key == net.attempts[0].key
        assert not given.brain.prompts


async def test_a_turn_that_crashes_the_process_each_time_is_given_up(tmp_path: Path) -> None:
    for _ in range(2):
        async with bench(tmp_path, {"limits": {"max_attempts": 2}}, brain=Gated()).crashing() as given:
            if not (tmp_path / "said").exists():
                (tmp_path / "said").touch()
                await given.net.say("poison")
            await until_prompted(given, 1)
    async with bench(tmp_path, {"limits": {"max_attempts": 2}}).running() as given:
        assert await given.net.until_sent(1) == [catalogue.gave_up(Failure.CRASHED, "en")]
        (letter,) = await given.assistant.operations.dead()
        assert (letter.text, letter.attempts) == ("poison", 3)
        assert not given.brain.prompts


async def test_a_stop_hands_an_unfinished_turn_back_uncounted_and_the_next_start_goes_on(tmp_path: Path) -> None:
    toml = {"limits": {"stop_timeout": 0.05, "max_attempts": 1}}
    for _ in range(3):
        async with bench(tmp_path, toml, brain=Gated()).running() as given:
            if not (tmp_path / "said").exists():
                (tmp_path / "said").touch()
                await given.net.say("hello")
            await until_prompted(given, 1)
    async with bench(tmp_path, toml, brain=ScriptedBackend(joining)).running() as given:
        assert await given.net.until_sent(1) == ["hello"]


# --------------------------------------------------------------------- during a turn
async def test_what_comes_during_a_turn_waits_for_its_end(tmp_path: Path) -> None:
    async with bench(tmp_path, brain=(brain := Gated())).running() as given:
        await given.net.say("first")
        await until_prompted(given, 1)
        await given.net.say("second")
        await given.net.say("third")
        assert len(brain.prompts) == 1
        brain.let_all()
        assert await given.net.until_sent(2) == ["first", "second+third"]


async def test_where_the_chat_says_so_what_comes_cancels_the_turn_and_what_it_had_said_is_sent(tmp_path: Path) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text(f"on {turn.messages[0].text}")
        if len(session.backend.prompts) == 1:
            await session.cancelled.wait()

    toml = {"chats": {"net:*": {"arriving": "cancel"}}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("first")
        await until_prompted(given, 1)
        await anyio.sleep(0.02)
        await given.net.say("second")
        assert await given.net.until_sent(2) == ["on first", "on second"]


async def test_a_turn_that_is_cancelled_before_its_first_word_leaves_no_answer_and_the_newer_one_is_answered(
    tmp_path: Path,
) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if len(session.backend.prompts) == 1:
            await session.cancelled.wait()
        else:
            yield Text("+".join(message.text for message in turn.messages))

    toml = {"chats": {"net:*": {"arriving": "cancel"}}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("first")
        await until_prompted(given, 1)
        await given.net.say("second")
        await given.net.until_sent(1)
        await given.settled()
        assert given.net.texts("desk") == ["second"]
        assert (await given.assistant.store.counters())["cancelled"] == 1


async def test_a_turn_that_is_cancelled_before_its_agent_is_up_is_asked_together_with_the_newer_message(
    tmp_path: Path,
) -> None:
    class Slow(ScriptedBackend):
        @asynccontextmanager
        async def session(self, chat: Chat) -> AsyncIterator[Session]:
            if not coming.is_set():
                coming.set()
                await anyio.sleep_forever()
            async with super().session(chat) as session:
                yield session

    coming = anyio.Event()
    toml = {"chats": {"net:*": {"arriving": "cancel"}}, "limits": {"max_attempts": 1}}
    async with bench(tmp_path, toml, brain=Slow(joining)).running() as given:
        await given.net.say("first")
        await coming.wait()
        await given.net.say("second")
        assert await given.net.until_sent(1) == ["first+second"]


async def test_a_turn_that_was_stopped_does_not_come_back_after_a_crash(tmp_path: Path) -> None:
    async def stubborn(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text("I go on and on")
        await anyio.sleep_forever()

    async with bench(tmp_path, brain=ScriptedBackend(stubborn)).crashing() as given:
        await given.net.say("hello", number="1")
        await until_prompted(given, 1)
        await given.net.say("/stop", number="2")
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("next", number="3")
        await given.net.until_sent(1)
        await given.settled()
        assert asked(given) == ["next"]
        assert (await given.assistant.store.counters())["cancelled"] == 1


async def test_stop_in_a_held_chat_drops_what_waits_there(tmp_path: Path) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if turn.messages[0].chat == "desk":
            raise AgentError(Failure.ENGINE, "away", retry_after=timedelta(hours=1))
        yield Text("fine")

    async with bench(tmp_path, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("one")
        await given.net.until_sent(1)
        await until(lambda: bool(given.assistant.conversation.lanes.held))
        await given.net.say("two")
        await given.net.say("/stop")
        assert (await given.net.until_sent(2))[1] == phrase("en", "stopped")
        counters = await given.assistant.store.counters()
        assert (counters["pending"], counters["cancelled"]) == (0, 2)
        assert given.assistant.conversation.lanes.total == 0


async def test_neither_a_stop_nor_new_is_taken_for_a_cause_that_has_passed(tmp_path: Path) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if turn.messages[0].chat == "held":
            raise AgentError(Failure.ENGINE, "away", retry_after=timedelta(hours=1))
        await session.cancelled.wait()
        for _ in range(0):
            yield Text("")

    async with bench(tmp_path, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("hello", chat="held")
        await until(lambda: bool(given.assistant.conversation.lanes.held))
        await given.net.say("/new", chat="free")
        await given.net.say("hello", chat="free")
        await until_prompted(given, 2)
        await given.net.say("/stop", chat="free")
        await given.net.until_sent(3)
        await given.settled()
        assert given.net.texts("free") == [phrase("en", "fresh"), phrase("en", "stopped")]
        assert len(given.brain.prompts) == 2


async def test_one_backend_that_works_says_nothing_of_another_whose_name_ends_alike(tmp_path: Path) -> None:
    toml = {"plugins": {"mybrain": {"use": "brain"}}, "chats": {"net:held": {"backend": "mybrain"}, "net:*": {}}}

    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if turn.messages[0].chat == "held":
            raise AgentError(Failure.ENGINE, "away", retry_after=timedelta(hours=1))
        yield Text("fine")

    async with bench(tmp_path, toml, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("hello", chat="held")
        await until(lambda: bool(given.assistant.conversation.lanes.held))
        await given.net.say("hello", chat="free")
        await given.net.until_sent(2)
        await given.settled()
        assert len(given.brain.prompts) == 2


async def test_slow_turns_of_one_chat_hold_up_no_other(tmp_path: Path) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        async for event in slow(session, turn) if turn.messages[0].chat == "stuck" else joining(session, turn):
            yield event

    async with bench(tmp_path, brain=ScriptedBackend(answer)).crashing() as given:
        await given.net.say("one", chat="stuck")
        await until_prompted(given, 1)
        for number in range(3):
            await given.net.say(str(number), chat="free")
            await given.net.until_sent(number + 1)
        assert given.net.texts("free") == ["0", "1", "2"]
