"""What is no question: edits, revocations, reactions, what a group said before, and the assistant's own words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
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
)
from testbed.fakes import (
    Gated,
    MemoryTransport,
    ScriptedBackend,
    ScriptedSession,
    asked,
    bench,
    check_sums,
    context,
    joining,
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


def old(**time: float) -> dict[str, Any]:
    """When it was sent: so long before now."""
    return {"at": datetime.now(UTC) - timedelta(**time)}


# --------------------------------------------------------------------- what comes late
async def test_what_is_older_than_max_age_is_context_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        for number in range(3):
            await given.net.say(f"days ago {number}", **old(days=2))
        await given.net.say("a night ago", **old(hours=10))
        await given.net.say("by a clock that goes fast", **old(days=-40))
        await given.settled()
        assert asked(given) == ["a night ago", "by a clock that goes fast"]
        assert context(given, 0) == [("message", f"days ago {number}") for number in range(3)]
    (line,) = [record.getMessage() for record in caplog.records if "max_age" in record.message]
    assert line.startswith("net brings messages that are older than max_age (one in desk: 2 days, 0:00:0")


async def test_each_chat_has_its_own_max_age_before_the_tomls(tmp_path: Path) -> None:
    toml = {"limits": {"max_age": "1h"}, "chats": {"net:*": {}, "net:p*": {"max_age": "5h"}, "net:pat": {}}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(joining)).running() as given:
        for chat in ("ana", "pia", "pat"):
            await given.net.say(f"{chat} 2", chat, **old(hours=2))
            await given.net.say(f"{chat} 6", chat, **old(hours=6))
        await given.settled()
        assert sorted(asked(given)) == ["pat 2", "pia 2"]


async def test_old_commands_and_orders_are_not_carried_out_and_what_is_said_of_old_messages_still_counts(
    tmp_path: Path,
) -> None:
    toml = {"owner": "net:boss", "chats": {"net:desk": {}}}
    async with bench(tmp_path, toml, brain=(brain := Gated())).running() as given:
        for word, chat in (("/new", "desk"), ("/status", "desk"), ("/owner", "boss"), ("/allow net:desk", "boss")):
            await given.net.say(word, chat, **old(days=2))
        await given.net.say("Kai, are you there?", kind="group", mentions_me=True, **old(days=2))
        await given.net.say("runs")
        await until_prompted(given, 1)
        assert not given.net.sent
        await given.net.say("teh cat", number="m")
        await given.net.say("the cat", event="edit", target="m", **old(days=2))
        brain.let_all()
        await given.settled()
        assert asked(given) == ["runs", "the cat"]
        assert (await given.assistant.store.counters())["command"] == 0


async def test_a_message_that_was_taken_in_time_is_answered_once_when_it_comes_again_too_late(tmp_path: Path) -> None:
    toml = {"limits": {"max_age": "1h"}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("in time", number="1")
        await given.net.until_sent(1)
        await given.net.say("in time", number="1", **old(days=2))
        await given.net.say("and now?")
        await given.settled()
        assert asked(given) == ["in time", "and now?"]
        assert context(given) == []
        assert (await given.assistant.store.counters())["duplicate"] == 1


# --------------------------------------------------------------------- edits, revocations, reactions
async def test_an_edit_before_the_turn_replaces_the_text_and_only_its_writer_can(tmp_path: Path) -> None:
    async with bench(tmp_path, brain=(brain := Gated())).running() as given:
        await given.net.say("first")
        await until_prompted(given, 1)
        await given.net.say("teh cat", number="m")
        await given.net.say("the cat", event="edit", target="m")
        await given.net.say("a dog", event="edit", target="m", sender="eve", sender_name="Eve")
        brain.let_all()
        assert await given.net.until_sent(2) == ["first", "the cat"]
        assert context(given) == []
        await given.net.say("next")
        await given.net.until_sent(3)
        assert context(given) == [("edit", "a dog")]


async def test_an_edit_replaces_the_text_also_where_no_context_goes_along(tmp_path: Path) -> None:
    async with bench(tmp_path, {"chats": {"net:*": {"context": 0}}}, brain=(brain := Gated())).running() as given:
        await given.net.say("first")
        await until_prompted(given, 1)
        await given.net.say("teh cat", number="m")
        await given.net.say("the cat", event="edit", target="m")
        brain.let_all()
        assert await given.net.until_sent(2) == ["first", "the cat"]


async def test_what_is_taken_back_before_its_turn_never_reaches_the_agent(tmp_path: Path) -> None:
    async with bench(tmp_path, brain=(brain := Gated())).running() as given:
        await given.net.say("first")
        await until_prompted(given, 1)
        await given.net.say("a secret", number="m")
        await given.net.say("", event="revoke", target="m")
        brain.let_all()
        await given.net.say("next")
        await given.net.until_sent(2)
        await given.settled()
        assert asked(given) == ["first", "next"]
        assert context(given) == []
    assert not any(b"a secret" in file.read_bytes() for file in (tmp_path / "data").glob("nanokimi.db*"))


@pytest.mark.parametrize("event", ["edit", "revoke", "reaction"])
@pytest.mark.parametrize("during", [False, True])
async def test_what_is_done_to_a_message_during_its_turn_or_later_is_context_of_the_next(
    tmp_path: Path, event: str, during: bool
) -> None:
    async with bench(tmp_path, brain=(brain := Gated())).running() as given:
        await given.net.say("first", number="m")
        await until_prompted(given, 1)
        if not during:
            brain.let_all()
            await given.net.until_sent(1)
        await given.net.say("changed", event=event, target="m")
        assert len(brain.prompts) == 1
        brain.let_all()
        await given.net.say("next")
        assert await given.net.until_sent(2) == ["first", "next"]
        assert context(given) == [(event, "changed")]


# --------------------------------------------------------------------- context
async def test_what_a_group_said_before_goes_along_once_up_to_the_bound_and_in_order(tmp_path: Path) -> None:
    toml = {"chats": {"net:*": {"context": 2}}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(joining)).running() as given:
        for text in ("one", "two", "three"):
            await given.net.say(text, kind="group")
        await given.net.say("Kai?", kind="group")
        await given.net.until_sent(1)
        assert context(given) == [("message", "two"), ("message", "three")]
        await given.net.say("Kai, again", kind="group")
        await given.net.until_sent(2)
        assert context(given) == []


async def test_a_turn_that_is_tried_again_has_the_same_context_also_after_a_crash(tmp_path: Path) -> None:
    async with bench(tmp_path, brain=Gated()).crashing() as given:
        await given.net.say("before", kind="group", number="1")
        await given.net.say("Kai?", kind="group", number="2")
        await until_prompted(given, 1)
        await given.net.say("after", kind="group", number="3")
        first = context(given)
    errors = [AgentError(Failure.CRASHED, "it fell", retry_after=timedelta(milliseconds=1))]

    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if errors:
            raise errors.pop()
        yield Text("fine")

    async with bench(tmp_path, brain=ScriptedBackend(answer)).running() as given:
        await given.net.until_sent(1)
        assert first == context(given, 0) == context(given, 1) == [("message", "before")]
        await given.net.say("Kai, next", kind="group", number="4")
        await given.net.until_sent(2)
        assert context(given) == [("message", "after")]


async def test_no_context_is_possible(tmp_path: Path) -> None:
    async with bench(tmp_path, {"chats": {"net:*": {"context": 0}}}).running() as given:
        await given.net.say("before", kind="group")
        await given.net.say("Kai?", kind="group")
        await given.net.until_sent(1)
        assert context(given) == []


@pytest.mark.parametrize("rule", [{"trigger": "never"}, {"context": 0}])
async def test_where_no_agent_will_see_it_nothing_that_people_said_is_kept(
    tmp_path: Path, rule: dict[str, Any]
) -> None:
    async with bench(tmp_path, {"chats": {"net:*": rule}}).running() as given:
        await given.net.say("between us", kind="group", quoted="and this too")
        await given.net.say("between us", kind="group", event="reaction", target="1")
        await given.net.say("/status", kind="group")
        await given.net.until_sent(1)
    for file in (tmp_path / "data").glob("nanokimi.db*"):
        assert b"between us" not in file.read_bytes()
        assert b"and this too" not in file.read_bytes()


# --------------------------------------------------------------------- our own words
class Echoing(MemoryTransport):
    """A network that brings back what was sent in the chat with oneself."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    async def send(self, message: Outbound) -> Receipt | None:
        number = message.key if self.how == "our key" else f"n-{len(self.sent)}"
        if self.how.startswith("before"):
            await self.echo(message, number)
        self.accept(message)
        return Receipt(number) if self.how in ("after the receipt", "before the receipt") else None

    async def echo(self, message: Outbound, number: str) -> None:
        await self.say(message.text, message.chat, number, from_me=True, kind="self", sender="me")


@pytest.mark.parametrize(
    "how",
    ["our key", "after the receipt", "before the receipt", "before, and no receipt", "a late receipt", "none yet"],
)
async def test_what_the_assistant_said_never_triggers_it_however_the_network_brings_it_back(
    tmp_path: Path, how: str
) -> None:
    net = Echoing(how)
    async with bench(tmp_path, net=net, brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("note to self", from_me=True, kind="self", number="q")
        await given.net.until_sent(1)
        await given.settled()
        if how == "a late receipt":
            assert given.net.inbox is not None
            given.net.inbox.sent(net.sent[0].key, "n-0")
            await anyio.sleep(0.05)
        if not how.startswith("before"):
            await net.echo(net.sent[0], net.sent[0].key if how == "our key" else "n-0")
        await given.settled()
        assert asked(given) == ["note to self"]
        await given.net.say("note to self", from_me=True, kind="self", number="q2")
        await given.net.until_sent(2)
        assert asked(given) == ["note to self", "note to self"]
        await given.settled()
        assert (await given.assistant.store.counters())["refused_own"] == (2 if how.startswith("before") else 1)
