"""Who gets in, how much of it, and who may give orders."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import AgentEvent, Inbound, Text, Turn
from nanokimi_core.conversation.catalogue import phrase
from testbed.fakes import (
    Gated,
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

FULL = phrase("en", "too_many_waiting")
ENOUGH = phrase("en", "too_many_today")
OWNED = {"owner": "net:boss", "chats": {"net:desk": {}}}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


# --------------------------------------------------------------------- caps
async def test_a_full_chat_refuses_politely_once_a_minute_and_knows_what_it_has_taken(tmp_path: Path) -> None:
    async with bench(tmp_path, {"limits": {"max_waiting": 2}}, brain=(brain := Gated())).running() as given:
        await given.net.say("runs", number="1")
        await until_prompted(given, 1)
        for number in ("2", "3", "4", "5", "3", "1"):
            await given.net.say(f"m{number}", number=number)
        assert await given.net.until_sent(1) == [FULL]
        brain.let_all()
        await given.net.until_sent(3)
        await given.settled()
        assert given.net.texts("desk") == [FULL, "runs", "m2+m3"]
        counters = await given.assistant.store.counters()
        assert (counters["refused_cap"], counters["duplicate"], counters["answered"]) == (2, 2, 3)
        await given.net.say("m4", number="4")
        await given.net.until_sent(4)
        assert given.net.texts("desk")[-1] == "m4"


async def test_all_chats_together_hold_no_more_than_they_may_and_each_that_is_refused_hears_it(tmp_path: Path) -> None:
    toml = {"limits": {"max_waiting_all": 3, "max_turns": 1}}
    async with bench(tmp_path, toml, brain=(brain := Gated())).running() as given:
        await given.net.say("runs", chat="a")
        await until_prompted(given, 1)
        for chat in ("b", "c", "d", "e", "f", "e"):
            await given.net.say("waits", chat=chat)
        await given.net.until_sent(2)
        assert [(message.chat, message.text) for message in given.net.sent] == [("e", FULL), ("f", FULL)]
        brain.let_all()
        await given.net.until_sent(6)
        assert (await given.assistant.store.counters())["refused_cap"] == 3


async def test_messages_that_come_at_once_do_not_pass_the_cap_together(tmp_path: Path) -> None:
    async with bench(tmp_path, {"limits": {"max_waiting": 5}}, brain=(brain := Gated())).running() as given:
        await given.net.say("runs")
        await until_prompted(given, 1)
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(given.net.say, "waits", "desk", f"n{number}")
        counters = await given.assistant.store.counters()
        assert (counters["pending"], counters["refused_cap"]) == (6, 35)
        brain.let_all()
        await given.net.until_sent(3)


async def test_messages_that_come_at_once_do_not_pass_the_cap_of_all_chats_together(tmp_path: Path) -> None:
    toml = {"limits": {"max_waiting_all": 5, "max_turns": 1}}
    async with bench(tmp_path, toml, brain=(brain := Gated())).running() as given:
        await given.net.say("runs")
        await until_prompted(given, 1)
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(given.net.say, "waits", f"c{number}", "1")
        counters = await given.assistant.store.counters()
        assert (counters["pending"], counters["refused_cap"]) == (6, 35)
        brain.let_all()
        await given.net.until_sent(41)


async def test_a_day_has_so_many_turns_and_the_chat_hears_that_apart_from_being_full(tmp_path: Path) -> None:
    toml = {"limits": {"turns_per_day": 1, "max_waiting": 1}, "chats": {"net:rich": {"turns_per_day": 2}, "net:*": {}}}
    async with bench(tmp_path, toml, brain=(brain := Gated())).running() as given:
        await given.net.say("1", chat="poor")
        await until_prompted(given, 1)
        await given.net.say("2", chat="poor")
        await given.net.say("3", chat="poor")
        await given.net.until_sent(1)
        brain.let_all()
        await given.net.until_sent(2)
        for number in "123":
            await given.net.say(number, chat="rich")
            await given.settled()
        await given.net.say("/new", chat="poor")
        await given.settled()
        assert given.net.texts("poor") == [ENOUGH, "1", phrase("en", "fresh")]
        assert given.net.texts("rich") == ["1", "2", ENOUGH]


async def test_being_full_does_not_keep_it_from_saying_that_the_day_is_over(tmp_path: Path) -> None:
    toml = {"limits": {"turns_per_day": 1, "max_waiting": 1, "max_turns": 1}}
    async with bench(tmp_path, toml, brain=(brain := Gated())).running() as given:
        await given.net.say("runs", chat="other")
        await until_prompted(given, 1)
        for number in "12":
            await given.net.say(number)
        assert await given.net.until_sent(1) == [FULL]
        brain.let_all()
        await given.net.until_sent(3)
        await given.net.say("3")
        await given.net.until_sent(4)
        assert given.net.texts("desk") == [FULL, "1", ENOUGH]


# --------------------------------------------------------------------- strangers
async def test_the_owner_lets_a_chat_in_and_it_is_answered_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path, OWNED, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("hello", chat="new", chat_name="Choir", number="1")
        (said,) = await given.net.until_sent(1)
        assert "Choir" in said
        assert "Ana" in said
        number = re.findall(r"/allow (\d+)", said)[0]
        await given.net.say(f"/allow {number}", chat="boss")
        await given.net.until_sent(2)
        await given.net.say("hello", chat="new", number="2")
        await given.net.until_sent(3)
        assert given.net.texts("new") == ["hello"]
    async with bench(tmp_path, OWNED, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("again", chat="new", number="3")
        assert await given.net.until_sent(1) == ["again"]
        await given.net.say(f"/deny {number}", chat="boss", number="b2")
        await given.net.until_sent(2)
        await given.net.say("hello?", chat="new", number="4")
        await given.settled()
        assert given.net.texts("new") == ["again"]
    async with bench(tmp_path, OWNED).running() as given:
        await given.net.say("hello?", chat="new", number="5")
        await given.settled()
        assert not given.net.sent


async def test_what_the_toml_lets_in_no_order_shuts_out(tmp_path: Path) -> None:
    async with bench(tmp_path, OWNED, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("hello")
        await given.net.until_sent(1)
        await given.net.say("/deny net:desk", chat="boss")
        assert "nanokimi.toml" in (await given.net.until_sent(2))[1]
        await given.net.say("still there?")
        assert (await given.net.until_sent(3))[2] == "still there?"


async def test_a_flood_of_strangers_is_no_flood_to_the_owner(tmp_path: Path) -> None:
    async with bench(tmp_path, OWNED).running() as given:
        for number in range(50):
            await given.net.say("buy now", chat=f"stranger{number}")
        await given.settled()
        assert len(given.net.sent) == 20
        counters = await given.assistant.store.counters()
        assert counters["refused_chat"] == 50


SHARED: dict[str, Any] = {"shared_account": True, "sender": "bo"}


async def test_of_a_persons_own_chats_the_owner_is_told_only_when_the_assistant_is_called(tmp_path: Path) -> None:
    async with bench(tmp_path, OWNED, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("lunch?", chat="bo", **SHARED)
        await given.net.say("lunch?", chat="club", kind="group", **SHARED)
        await given.net.say("Kai says lunch", chat="cy", from_me=True, **SHARED)
        await given.net.say("Kai", chat="cy", event="reaction", target="1", **SHARED)
        await given.settled()
        assert not given.net.sent
        assert not await given.assistant.operations.chats()
        await given.net.say("Kai, lunch?", chat="bo", **SHARED)
        await given.net.say("you too?", chat="club", kind="group", mentions_me=True, **SHARED)
        await given.net.say("note to self", chat="me", kind="self", from_me=True, **SHARED)
        await given.settled()
        assert {record.id for record in await given.assistant.operations.chats()} == {"net:bo", "net:club", "net:me"}
        assert given.net.texts("boss") == [message.text for message in given.net.sent]
        assert (len(given.net.sent), len(asked(given))) == (3, 0)
        assert (await given.assistant.store.counters())["refused_chat"] == 7


async def test_in_a_chat_of_a_persons_own_account_what_calls_the_assistant_or_answers_it_is_answered(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("lunch?", **SHARED)
        await given.net.say("Kai, where?", **SHARED)
        await given.net.until_sent(1)
        (key,) = [message.key for message in given.net.sent]
        await given.net.say("and when?", reply_to=key, **SHARED)
        await given.net.until_sent(2)
        await given.net.say("fine", **SHARED)
        await given.net.say("to do", chat="me", kind="self", from_me=True, **SHARED)
        await given.net.until_sent(3)
        await given.settled()
        assert asked(given) == ["Kai, where?", "and when?", "to do"]
        assert [each.text for each in given.brain.prompts[0][1].context] == ["lunch?"]


async def test_who_may_not_speak_gets_silence(tmp_path: Path) -> None:
    toml = {"chats": {"net:*": {"senders": ["ana"]}}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("hello", sender="eve")
        await given.net.say("/stop", sender="eve")
        await given.net.say("hello", sender="eve", kind="group", mentions_me=True)
        await given.net.say("it is me", sender="ana")
        assert await given.net.until_sent(1) == ["it is me"]
        assert given.brain.prompts[0][1].context == ()
        assert (await given.assistant.store.counters())["refused_sender"] == 3


# --------------------------------------------------------------------- the owner's orders
@pytest.mark.parametrize(
    "where",
    [
        {"chat": "desk"},
        {"chat": "boss", "kind": "group", "mentions_me": True},
        {"chat": "boss", "from_me": True},
        {"chat": "boss", "event": "edit"},
    ],
    ids=["another chat", "a group", "the assistant's own account", "an edit"],
)
@pytest.mark.parametrize("order", ["/allow 1", "/forget net:desk", "/chats", "/dead"])
async def test_nowhere_else_and_for_nobody_else_an_order_is_carried_out(
    tmp_path: Path, where: dict[str, Any], order: str
) -> None:
    toml = {"owner": "net:boss", "chats": {"net:desk": {}, "net:boss": {}}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("hello", chat="stranger")
        await given.net.until_sent(1)
        await given.net.say(order, **where)
        await given.settled()
        assert [message.text for message in given.net.sent[1:]] in ([], [order])  # asked of the agent, at most
        assert not await given.assistant.store.grants()
        assert {record.id for record in await given.assistant.operations.chats()} >= {"net:stranger"}


async def offered(caplog: pytest.LogCaptureFixture) -> str:
    """Read the code for the owner in the log."""
    await until(lambda: "/owner" in caplog.text)
    return str(re.findall(r"/owner ([A-Z0-9]{4}-[A-Z0-9]{4})", caplog.text)[0])


async def test_somebody_becomes_the_owner_by_the_code_that_the_log_shows_and_the_next_start_knows_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    toml: dict[str, Any] = {"chats": {"net:desk": {}}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(joining)).running() as given:
        code = await offered(caplog)
        await given.net.say(f"/owner {code}", chat="group", kind="group", number="0", sender="eve")
        await given.net.say("/chats", chat="ana", number="1")
        await given.settled()
        assert not given.net.sent
    caplog.clear()
    async with bench(tmp_path, toml, brain=ScriptedBackend(joining)).running() as given:
        again = await offered(caplog)
        assert again != code
        await given.net.say(f"/owner {again}", chat="ana", number="2")
        assert await given.net.until_sent(1) == [phrase("en", "owner_welcome")]
        await given.net.say("/chats", chat="ana", number="3")
        await given.net.until_sent(2)
        await given.net.say(f"/owner {again}", chat="desk", number="4", sender="eve")
        await given.settled()
        assert len(given.net.sent) == 2
        assert not given.brain.prompts
    caplog.clear()
    async with bench(tmp_path, toml).running() as given:
        assert "/owner" not in caplog.text
        await given.net.say("/status", chat="ana", number="5")
        (said,) = await given.net.until_sent(1)
        assert "NanoKimi" in said
    for file in (tmp_path / "data").glob("nanokimi.db*"):
        assert again.encode() not in file.read_bytes()


async def test_a_command_that_comes_again_does_nothing_again(tmp_path: Path) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text("never ending")
        await session.cancelled.wait()

    async with bench(tmp_path, OWNED, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("/stop", number="s")
        await given.net.say("/allow net:desk", chat="boss", number="a")
        await given.net.until_sent(2)
        await given.net.say("go", number="1")
        await until_prompted(given, 1)
        for chat, number, text in (("desk", "s", "/stop"), ("boss", "a", "/allow net:desk"), ("desk", "1", "go")):
            await given.net.say(text, chat=chat, number=number)
        assert len(given.net.sent) == 2
        await given.net.say("/stop", number="s2")
        assert (await given.net.until_sent(3))[2] == "never ending"
        assert (await given.assistant.store.counters())["duplicate"] == 3


async def test_commands_work_in_a_group_without_a_mention(tmp_path: Path) -> None:
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        for word in ("/help", "/new", "/stop", "/STATUS"):
            await given.net.say(word, kind="group")
            await given.settled()
        assert given.net.texts("desk")[:3] == [phrase("en", word) for word in ("help", "fresh", "nothing_to_stop")]
        assert "Kai" in given.net.texts("desk")[3]
        await given.net.say("/dance", kind="group")
        await given.net.say("/allow 1", kind="group")
        await given.settled()
        assert not asked(given)


# --------------------------------------------------------------------- nonsense
@pytest.mark.parametrize(
    "message",
    ["hello", None, Inbound("", "desk", "ana", "hi"), Inbound("1", "desk", "ana", b"hi")],  # type: ignore[arg-type]
)
async def test_what_is_no_message_is_refused_with_the_reason_and_not_counted(tmp_path: Path, message: Any) -> None:
    async with bench(tmp_path).running() as given:
        assert given.net.inbox is not None
        with pytest.raises(TypeError):
            await given.net.inbox.deliver(message)
        assert (await given.assistant.store.counters())["received"] == 0
