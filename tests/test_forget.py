"""Erasing a chat: its messages, its files, its agent's memory; and nothing of anybody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import AgentEvent, Attachment, Chat, NotSent, PluginError, Text, Turn
from nanokimi_core.store import ChatRecord
from testbed.fakes import (
    Bench,
    Gated,
    MemoryTransport,
    ScriptedBackend,
    ScriptedSession,
    bench,
    check_sums,
    joining,
    until,
    until_prompted,
)

pytestmark = pytest.mark.anyio

OWNED: dict[str, Any] = {"owner": "net:boss", "chats": {"net:a": {}, "net:b": {}}}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


async def record(given: Bench, chat: str) -> ChatRecord:
    found = await given.assistant.operations.find(f"net:{chat}")
    assert found is not None
    return found


def write_files(given: Bench, sandbox: str) -> Path:
    """Let an agent leave files behind."""
    folder = given.assistant.folder.chat(sandbox)
    (folder / "workspace" / "notes.txt").write_text("what I know")
    (folder / "agent" / "brain").mkdir(parents=True)
    (folder / "agent" / "brain" / "memory").write_text("what I remember")
    (folder / "KIMI.md").write_text("Be brief.")
    return folder


async def test_forget_erases_messages_files_and_memory_and_leaves_the_owners_words_and_other_chats(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, OWNED).running() as given:
        folders = {chat: write_files(given, f"net:{chat}") for chat in "ab"}
        for chat in "ab":
            await given.net.say(f"the secret of {chat}", chat=chat, sender_name=f"Person {chat}")
        await given.net.until_sent(2)
        number = (await record(given, "a")).number
        await given.net.say(f"/forget {number}", chat="boss")
        await given.net.until_sent(3)
        assert [path.name for path in folders["a"].rglob("*") if path.is_file()] == ["KIMI.md"]
        assert (folders["b"] / "agent" / "brain" / "memory").exists()
        assert given.brain.events == ["enter net:a", "enter net:b", "leave net:a", "forget net:a"]
        assert [chat.id for chat in await given.assistant.operations.chats()] == ["net:boss", "net:b"]
        await given.net.say("hello", chat="a", number="1")
        await given.net.say("hello", chat="b")
        await given.net.until_sent(5)
        assert given.net.texts("a")[1:] == ["1: hello"]
        assert given.net.texts("b")[1:] == ["2: hello"]
        assert "net:a" in [chat.id for chat in await given.assistant.operations.chats()]
    for file in (tmp_path / "data").glob("nanokimi.db*"):
        assert b"secret of a" not in file.read_bytes()
        assert b"Person a" not in file.read_bytes()


async def test_what_waits_in_a_forgotten_chat_is_never_asked_and_what_is_owed_never_sent(tmp_path: Path) -> None:
    net = MemoryTransport()
    net.fail = [NotSent("offline")]
    async with bench(tmp_path, OWNED, net=net, brain=(brain := Gated())).running() as given:
        await given.net.say("one", chat="a")
        await until_prompted(given, 1)
        brain.gates[0].set()
        await until(lambda: len(net.attempts) == 1)
        await given.net.say("two", chat="a")
        await until_prompted(given, 2)
        brain.gates[1].set()
        await given.net.say("three", chat="a")
        await until_prompted(given, 3)
        await given.net.say("four", chat="a")
        await given.assistant.operations.forget(await record(given, "a"))
        brain.let_all()
        assert net.inbox is not None
        net.inbox.ready()
        await given.net.say("afterwards", chat="a", number="9")
        await given.net.until_sent(1)
        await given.settled()
        assert given.net.texts("a") == ["afterwards"]
        counters = await given.assistant.store.counters()
        assert (counters["cancelled"], counters["pending"], counters["owed"]) == (2, 0, 0)


async def test_a_turn_that_runs_is_stopped_and_its_answer_is_not_sent(tmp_path: Path) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text("the secret")
        await session.cancelled.wait()

    async with bench(tmp_path, OWNED, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("tell me", chat="a")
        await until_prompted(given, 1)
        await given.assistant.operations.forget(await record(given, "a"))
        await given.settled()
        assert not given.net.sent
        assert given.brain.up == 0


async def test_in_a_shared_sandbox_only_the_chats_own_is_erased(tmp_path: Path) -> None:
    toml = {"owner": "net:boss", "chats": {"net:a": {"sandbox": "home"}, "net:b": {"sandbox": "home"}}}
    async with bench(tmp_path, toml).running() as given:
        folder = write_files(given, "home")
        for chat in "ab":
            file = given.assistant.folder.plugin("net") / f"upload-{chat}"
            file.write_text(f"picture of {chat}")
            await given.net.say("see", chat=chat, attachments=(Attachment("p.txt", "text/plain", file, 9),))
        await given.net.until_sent(2)
        await given.assistant.operations.forget(await record(given, "a"))
        left = sorted(path.read_text() for path in folder.rglob("*") if path.is_file())
        assert left == ["Be brief.", "picture of b", "what I know", "what I remember"]
        assert "forget net:b" not in given.brain.events
        assert "leave net:b" not in given.brain.events
        await given.net.say("hello", chat="b")
        assert (await given.net.until_sent(3))[2] == "2: hello"


async def test_a_chat_that_is_shut_out_stays_shut_out_when_it_is_forgotten(tmp_path: Path) -> None:
    async with bench(tmp_path, OWNED).running() as given:
        await given.net.say("hello", chat="pest")
        await given.net.until_sent(1)
        pest = await record(given, "pest")
        await given.assistant.operations.grant(pest, False)
        await given.assistant.operations.forget(pest)
        await given.net.say("hello", chat="pest")
        await given.settled()
        assert len(given.net.sent) == 1


async def test_an_unknown_chat_that_was_forgotten_is_introduced_anew(tmp_path: Path) -> None:
    async with bench(tmp_path, OWNED).running() as given:
        await given.net.say("hello", chat="stranger")
        await given.net.until_sent(1)
        await given.assistant.operations.forget(await record(given, "stranger"))
        await given.net.say("hello", chat="stranger")
        await given.net.until_sent(2)
        assert "/allow 2" in given.net.texts("boss")[1]


class Clinging(ScriptedBackend):
    async def forget(self, chat: Chat) -> None:
        raise LookupError("I can't let go")


async def test_a_backend_that_cannot_forget_is_named_and_everything_else_is_erased(tmp_path: Path) -> None:
    async with bench(tmp_path, OWNED, brain=Clinging(joining)).running() as given:
        folder = write_files(given, "net:a")
        await given.net.say("hello", chat="a")
        await given.net.until_sent(1)
        chat = await record(given, "a")
        await given.net.say(f"/forget {chat.number}", chat="boss")
        assert "LookupError: I can't let go" in (await given.net.until_sent(2))[1]
        assert given.net.runs == 1
        assert [path.name for path in folder.rglob("*") if path.is_file()] == ["KIMI.md"]
        assert await given.assistant.operations.find("net:a") is None
        with pytest.raises(PluginError, match="brain"):
            await given.assistant.operations.forget(chat)


async def test_a_chat_can_be_erased_while_no_assistant_runs(tmp_path: Path) -> None:
    async with bench(tmp_path, OWNED).running() as given:
        folder = write_files(given, "net:a")
        await given.net.say("hello", chat="a")
        await given.net.until_sent(1)
        chat = await record(given, "a")
    given = bench(tmp_path, OWNED)
    async with given.assistant.offline():
        assert await given.assistant.operations.forget(chat) == 2
        assert [path.name for path in folder.rglob("*") if path.is_file()] == ["KIMI.md"]
        assert given.brain.events == ["forget net:a"]
        await anyio.lowlevel.checkpoint()
