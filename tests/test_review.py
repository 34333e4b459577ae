"""What a review with real processes has found: it stays mended."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import AgentError, AgentEvent, Attachment, Failure, Text, Thought, Turn
from nanokimi_core.config import Settings
from nanokimi_core.logs import keep_secret
from testbed.fakes import ScriptedBackend, ScriptedSession, bench, check_sums, joining, until_prompted

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"event": "poll"}, {"event": None}, {"kind": "channel"}, {"kind": None}, {"at": "x"}]
)
async def test_a_message_of_a_kind_that_is_none_is_refused_before_anything_is_kept(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        with pytest.raises(TypeError, match="an Inbound"):
            await given.net.say("wrong", **wrong)
        await given.net.say("right")
        await given.net.until_sent(1)
        (turn,) = [turn for _, turn in given.brain.prompts]
        assert [message.text for message in turn.messages] == ["right"]
        assert not turn.context


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
async def test_an_attachment_that_is_no_file_does_not_hold_up_its_message(tmp_path: Path, make: Any) -> None:
    async with bench(tmp_path, brain=ScriptedBackend(joining)).running() as given:
        path = given.assistant.folder.plugin("net") / "odd"
        make(path)
        await given.net.say("see", attachments=(Attachment("odd", "text/plain", path, 5),))
        (said,) = await given.net.until_sent(1)
        assert '"odd"' in said


def test_a_pipe_in_place_of_a_list_of_senders_lets_nobody_speak_and_holds_up_nothing(tmp_path: Path) -> None:
    file = tmp_path / "senders"
    os.mkfifo(file)
    settings = Settings.model_validate({"chats": {"net:*": {"senders": {"file": file}}}})
    assert not settings.rules(("net:desk",)).may_speak(["ana"])
    (problem,) = settings.problems
    assert "it is not a file" in problem


async def test_a_backend_that_never_waits_keeps_no_other_chat_waiting(tmp_path: Path) -> None:
    over = False

    async def thinking(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        while not over and turn.messages[0].text == "think":
            yield Thought("so")
        yield Text(turn.messages[0].text)

    async with bench(tmp_path, brain=ScriptedBackend(thinking)).running() as given:
        await given.net.say("think", chat="one")
        await until_prompted(given, 1)
        await given.net.say("hello", chat="two")
        assert await given.net.until_sent(1) == ["hello"]
        over = True
        assert await given.net.until_sent(2) == ["hello", "think"]


async def test_the_cause_of_a_held_chat_in_the_status_holds_no_secret(tmp_path: Path) -> None:
    keep_secret("canary-of-a-held-chat")

    async def refused(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if turn.messages:
            raise AgentError(Failure.QUOTA, "used up by canary-of-a-held-chat")
        yield Text("nothing was asked")

    async with bench(tmp_path, brain=ScriptedBackend(refused)).running() as given:
        await given.net.say("hello")
        await given.net.until_sent(1)
        (held,) = (await given.assistant.operations.status()).held
        assert "used up by" in held.cause
        assert "canary" not in held.cause
