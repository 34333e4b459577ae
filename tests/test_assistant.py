"""A whole assistant on scripted plugins: what people in chats and the owner meet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from nanokimi_core import (
    AgentEvent,
    Attachment,
    Chat,
    Context,
    NotSent,
    PluginError,
    Session,
    Spec,
    Text,
    Thought,
    Traits,
    Turn,
    Undeliverable,
    prompt_text,
)
from nanokimi_core.config import Location, Settings
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.plugins import PluginHost, installed
from nanokimi_core.runtime import Assistant
from testbed.fakes import (
    DraftingTransport,
    MemoryTransport,
    ScriptedBackend,
    ScriptedSession,
    bench,
    plugin,
    providing,
    slow,
    until_prompted,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_message_is_answered_in_its_chat(tmp_path: Path) -> None:
    async with bench(tmp_path).running() as given:
        await given.net.say("hello", chat="desk")
        assert await given.net.until_sent(1) == ["1: hello"]
        assert given.net.sent[0].chat == "desk"


async def test_the_second_turn_goes_to_the_same_warm_session(tmp_path: Path) -> None:
    async with bench(tmp_path).running() as given:
        await given.net.say("a")
        await given.net.say("b")
        assert await given.net.until_sent(2) == ["1: a", "2: b"]
        assert given.brain.events == ["enter net:desk"]


async def test_an_unknown_chat_gets_silence_and_the_owner_the_line_that_lets_it_in(tmp_path: Path) -> None:
    async with bench(tmp_path, {"chats": {"net:desk": {}}, "owner": "net:desk"}).running() as given:
        await given.net.say("hello", chat="stranger")
        (said,) = await given.net.until_sent(1)
        assert "net:stranger" in said
        assert "/allow 1" in said
        assert given.net.sent[0].chat == "desk"
        assert not given.brain.prompts


async def test_the_owner_is_told_once_until_it_changes(tmp_path: Path) -> None:
    async with bench(tmp_path, {"chats": {"net:desk": {}}, "owner": "net:desk"}).running() as given:
        for chat in ("s1", "s1", "s2"):
            await given.net.say("hello", chat=chat)
        assert len(await given.net.until_sent(2)) == 2


@pytest.mark.parametrize(
    ("text", "mentions", "answered"),
    [
        ("hello all", False, False),
        ("hello all", True, True),
        ("Kai, are you there?", False, True),
        ("are you there, kai", False, True),
        ("the kaiser", False, False),
        ("请Kai看一下", False, True),
        ("Kai看", False, True),
        ("скайп", False, False),
    ],
)
async def test_in_groups_the_assistant_answers_when_it_is_meant(
    tmp_path: Path, text: str, mentions: bool, answered: bool
) -> None:
    async with bench(tmp_path).running() as given:
        await given.net.say(text, kind="group", mentions_me=mentions)
        await given.net.say("/help", kind="group")
        await given.net.until_sent(1 + answered)
        assert len(given.brain.prompts) == answered
        assert {message.reply_to for message in given.net.sent} == ({"1", "2"} if answered else {"2"})


@pytest.mark.parametrize(("trigger", "answered"), [("never", 0), ("mention", 0), ("always", 1)])
async def test_the_toml_decides_what_triggers(tmp_path: Path, trigger: str, answered: int) -> None:
    async with bench(tmp_path, {"chats": {"net:*": {"trigger": trigger}}}).running() as given:
        await given.net.say("hello")
        await given.net.say("/help")
        await given.net.until_sent(1 + answered)
        assert len(given.brain.prompts) == answered


async def test_what_the_assistant_itself_sent_never_triggers(tmp_path: Path) -> None:
    async with bench(tmp_path).running() as given:
        await given.net.say("from my own account", from_me=True)
        await given.net.say("a reaction", event="reaction")
        await given.net.say("to myself", from_me=True, kind="self")
        assert await given.net.until_sent(1) == ["1: to myself"]


async def test_new_forgets_the_conversation_in_its_place_in_the_lane(tmp_path: Path) -> None:
    async with bench(tmp_path).running() as given:
        for text in ("a", "/new", "b"):
            await given.net.say(text)
        assert await given.net.until_sent(3) == ["1: a", phrase("en", "fresh"), "1: b"]
        assert given.brain.events == ["enter net:desk", "leave net:desk", "forget net:desk", "enter net:desk"]


async def test_stop_ends_the_running_answer_and_keeps_what_was_said(tmp_path: Path) -> None:
    async with bench(tmp_path, brain=ScriptedBackend(slow)).running() as given:
        await given.net.say("tell me everything")
        await until_prompted(given, 1)
        await given.net.say("/stop")
        assert await given.net.until_sent(1) == ["I am thinking"]


async def test_stop_without_a_turn_says_so(tmp_path: Path) -> None:
    async with bench(tmp_path).running() as given:
        await given.net.say("/stop")
        assert await given.net.until_sent(1) == [phrase("en", "nothing_to_stop")]


async def test_stop_before_the_first_word_says_stopped(tmp_path: Path) -> None:
    async def silent(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        await session.cancelled.wait()
        yield Thought("never mind")

    async with bench(tmp_path, brain=ScriptedBackend(silent)).running() as given:
        await given.net.say("hm")
        await until_prompted(given, 1)
        await given.net.say("/stop")
        assert await given.net.until_sent(1) == [phrase("en", "stopped")]


async def test_chats_are_answered_side_by_side_and_each_in_order(tmp_path: Path) -> None:
    gate = anyio.Event()

    async def gated(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if session.chat.id == "net:stuck":
            await gate.wait()
        yield Text(" ".join(message.text for message in turn.messages))

    async with bench(tmp_path, brain=ScriptedBackend(gated)).running() as given:
        await given.net.say("s1", chat="stuck")
        for number in range(5):
            await given.net.say(f"a{number}", chat="free")
        while "a4" not in " ".join(message.text for message in given.net.sent):
            await anyio.sleep(0.001)
        assert " ".join(message.text for message in given.net.sent) == "a0 a1 a2 a3 a4"
        gate.set()
        await given.net.until_sent(len(given.net.sent) + 1)
        assert given.net.sent[-1].text == "s1"


async def test_too_many_waiting_messages_are_refused_politely(tmp_path: Path) -> None:
    async with bench(tmp_path, {"limits": {"max_waiting": 2}}, brain=ScriptedBackend(slow)).running() as given:
        await given.net.say("running")
        await until_prompted(given, 1)
        for _ in range(3):
            await given.net.say("waiting")
        assert await given.net.until_sent(1) == [phrase("en", "too_many_waiting")]
        for prompts in (1, 2):
            await until_prompted(given, prompts)
            await given.net.say("/stop")
        await given.net.until_sent(3)
    assert [len(turn.messages) for _, turn in given.brain.prompts] == [1, 2]


async def test_a_send_that_fails_is_tried_again_with_the_same_key(tmp_path: Path) -> None:
    net = MemoryTransport()
    net.fail = [NotSent("offline", retry_after=timedelta(seconds=0)), OSError("unknown")]
    async with bench(tmp_path, net=net).running() as given:
        await given.net.say("hello")
        assert await given.net.until_sent(1) == ["1: hello"]


async def test_what_a_network_will_never_take_is_not_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = MemoryTransport()
    net.fail = [Undeliverable("blocked")]
    async with bench(tmp_path, net=net).running() as given:
        await given.net.say("a")
        await given.net.say("b")
        assert sorted(await given.net.until_sent(2)) == ["2: b", phrase("en", "undelivered")]
    assert "refused for good: blocked; to try it again: /dead retry a1" in caplog.text


async def test_long_answers_are_split_to_the_networks_limit(tmp_path: Path) -> None:
    net = MemoryTransport()
    net.traits = Traits(max_text=20)
    async with bench(tmp_path, net=net).running() as given:
        await given.net.say("one two three four five six")
        parts = await given.net.until_sent(2)
        assert all(len(part) <= 20 for part in parts)
        assert " ".join(parts) == "1: one two three four five six"
        assert [message.key[-2:] for message in given.net.sent] == [".0", ".1"]


async def test_a_transport_that_can_shows_the_answer_as_it_grows(tmp_path: Path) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        for word in ("one", " two", " three"):
            yield Text(word)
            await anyio.sleep(0.02)

    net = DraftingTransport()
    net.traits = Traits(draft_interval=0)
    async with bench(tmp_path, net=net, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("count")
        await given.net.until_sent(1)
        drafts = [message.text for message in net.drafts]
        assert drafts[:2] == ["one", "one two"]
        assert {message.key for message in net.drafts} == {net.sent[0].key}
        assert net.typed[0] is True
        assert net.typed[-1] is False


async def test_attachments_reach_the_agent_in_its_workspace(tmp_path: Path) -> None:
    async with bench(tmp_path).running() as given:
        file = given.assistant.folder.plugin("net") / "upload"
        file.write_text("content")
        await given.net.say("see", attachments=(Attachment("a.txt", "text/plain", file, 7),))
        await given.net.until_sent(1)
        (moved,) = given.brain.prompts[0][1].messages[0].attachments
        assert moved.path.read_text() == "content"
        assert moved.path.is_relative_to(given.brain.chats["net:desk"].folder / "workspace")


async def test_both_kimi_md_and_the_name_are_the_agents_instructions(tmp_path: Path) -> None:
    given = bench(tmp_path, {"assistant": "Robin"})
    (given.assistant.folder.path / "KIMI.md").write_text("Be brief.")
    (given.assistant.folder.chat("net:desk") / "KIMI.md").write_text("This is the family.")
    async with given.running():
        await given.net.say("hello")
        await given.net.until_sent(1)
    told = given.brain.chats["net:desk"].instructions
    assert told.index("Robin") < told.index("Be brief.") < told.index("This is the family.")


async def test_an_unreadable_kimi_md_is_told_to_the_owner_and_nothing_is_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = bench(tmp_path)
    (given.assistant.folder.path / "KIMI.md").write_bytes(b"\xff\xfe")
    async with given.running():
        await given.net.say("hello")
        assert await given.net.until_sent(1) == [phrase("en", "held_model")]
        assert not given.brain.prompts
    assert "KIMI.md can't be read" in caplog.text


async def test_chats_of_one_sandbox_share_a_folder_and_others_dont(tmp_path: Path) -> None:
    chats = {"net:a": {"sandbox": "home"}, "net:b": {"sandbox": "home"}, "net:c": {}}
    async with bench(tmp_path, {"chats": chats}).running() as given:
        for chat in ("a", "b", "c"):
            await given.net.say("hi", chat=chat)
        await given.net.until_sent(3)
        folders = {name: chat.folder for name, chat in given.brain.chats.items()}
        assert folders["net:a"] == folders["net:b"] != folders["net:c"]
        assert given.brain.chats["net:a"].sandbox == "home"


async def test_a_transport_that_raises_is_run_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Shaky(MemoryTransport):
        async def run(self, inbox: Any) -> None:
            if self.runs == 0:
                self.runs += 1
                raise OSError("connection lost")
            await super().run(inbox)

    async with bench(tmp_path, net=Shaky()).running() as given:
        await given.net.say("hello")
        assert await given.net.until_sent(1) == ["1: hello"]
        assert given.net.runs == 2
    assert 'plugin "net" (dist-net 1.0) failed while "net" was running: OSError: connection lost' in caplog.text


async def test_a_plugin_that_cannot_be_made_stops_the_start_with_one_error(tmp_path: Path) -> None:
    given = bench(tmp_path)
    instance = given.assistant.instances["backend brain"]
    broken = replace(instance.provided.spec, create=lambda config, context: [][0])
    instance.provided = replace(instance.provided, spec=broken)
    with pytest.raises(PluginError, match=r'plugin "brain" \(dist-brain 1.0\) failed to make "brain": IndexError'):
        await given.assistant.run()


async def test_a_stop_lets_the_running_turn_finish(tmp_path: Path) -> None:
    gate = anyio.Event()

    async def gated(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        await gate.wait()
        yield Text("done")

    given = bench(tmp_path, brain=ScriptedBackend(gated))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(given.assistant.run)
        await given.net.say("work")
        await until_prompted(given, 1)
        given.assistant.stop()
        with anyio.move_on_after(0.1) as late:
            await given.net.say("too late")
        assert late.cancelled_caught
        gate.set()
    assert [message.text for message in given.net.sent] == ["done"]
    assert given.brain.events[-1] == "leave net:desk"


async def test_a_stop_does_not_wait_longer_than_it_may(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = bench(tmp_path, {"limits": {"stop_timeout": 0.05}}, brain=ScriptedBackend(slow))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(given.assistant.run)
            await given.net.say("work")
            await until_prompted(given, 1)
            given.assistant.stop()
    assert "stopped with turns unfinished after 0.05 s" in caplog.text
    assert given.brain.up == 0


def test_a_prompt_never_starts_with_what_a_person_typed() -> None:
    from nanokimi_core import Inbound

    for name in ("/goal", "", "a\n/goal", "]/x"):
        message = Inbound("1", "c", "/sender", "/goal do it", sender_name=name)
        assert prompt_text(Turn("t", (message,), context=(message,))).startswith("[")
        assert not any(line.startswith("/") for line in prompt_text(Turn("t", (message,))).splitlines())


async def test_two_instances_of_one_plugin_have_names_tables_and_folders_of_their_own(tmp_path: Path) -> None:
    made: list[Any] = []

    class Table(BaseModel):
        greeting: str = "none"

    def create(config: Table, context: Context) -> MemoryTransport:
        made.append((context.name, config.greeting, context.folder))
        return MemoryTransport()

    host = PluginHost([*installed(), plugin("net", providing(transports=[Spec("net", create, config=Table)]))])
    toml = {
        "transports": ["net", "work"],
        "plugins": {"net": {"greeting": "hi"}, "work": {"use": "net", "greeting": "good day"}},
        "chats": {"work:*": {}},
    }
    assistant = Assistant(Settings.model_validate(toml), Location(None, tmp_path / "data"), host)
    assistant.prepare()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(assistant.run)
        while len(made) < 2:
            await anyio.sleep(0.001)
        net, work = (assistant.instances[f"transport {name}"].value for name in ("net", "work"))
        await work.say("hello")
        assert await work.until_sent(1) == ["hello"]
        await net.say("hello")
        assistant.stop()
    assert [entry[:2] for entry in made] == [("net", "hi"), ("work", "good day")]
    assert made[0][2] != made[1][2]
    assert net.sent == []


async def test_stop_reaches_a_turn_whose_agent_is_still_coming_up(tmp_path: Path) -> None:
    class Slow(ScriptedBackend):
        @asynccontextmanager
        async def session(self, chat: Chat) -> AsyncIterator[Session]:
            coming.set()
            await anyio.sleep_forever()
            yield ScriptedSession(self, chat, None)

    coming = anyio.Event()
    async with bench(tmp_path, brain=Slow()).running() as given:
        await given.net.say("hello")
        await coming.wait()
        await given.net.say("/stop")
        assert await given.net.until_sent(1) == [phrase("en", "stopped")]


async def test_a_changed_kimi_md_reaches_a_session_that_is_warm(tmp_path: Path) -> None:
    async with bench(tmp_path).running() as given:
        await given.net.say("a")
        await given.net.until_sent(1)
        (given.assistant.folder.path / "KIMI.md").write_text("Be brief.")
        await given.net.say("b")
        assert await given.net.until_sent(2) == ["1: a", "2: b"]
        assert given.brain.events == ["enter net:desk", "leave net:desk", "enter net:desk"]
        assert "Be brief." in given.brain.chats["net:desk"].instructions
