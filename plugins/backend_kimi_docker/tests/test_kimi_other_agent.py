"""A further ACP agent is a small class; this one, scripted, does what the real ones shouldn't."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
import pytest

from nanokimi_backend_kimi_docker import process
from nanokimi_backend_kimi_docker.agents import AGENTS, AcpAgent
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_core import AgentError, Chat, Failure
from testbed import scripted_agent
from testbed.kimi import SECONDS, Bench, ask, failure, turn

pytestmark = [pytest.mark.anyio, pytest.mark.engine]


class Scripted(AcpAgent):
    name = "kimi-code"
    versions = "1.0.x"
    home = PurePosixPath("/home/node/.scripted")
    command = ("python3", "/workspace/.agent/agent.py")
    providers = frozenset({"kimi"})
    capabilities = frozenset({"image_in", "thinking"})
    instructions = PurePosixPath("/home/node/.scripted/INSTRUCTIONS")

    def settings(self, config: KimiDockerConfig) -> dict[str, Any]:
        return {}


@pytest.fixture
def chat(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Chat:
    monkeypatch.setitem(AGENTS, "kimi-code", Scripted())
    chat = bench.chat()
    folder = chat.folder / "workspace" / ".agent"
    folder.mkdir(parents=True)
    (folder / "agent.py").write_text(Path(scripted_agent.__file__).read_text())
    return chat


def order(chat: Chat, name: str, text: str = "") -> None:
    (chat.folder / "workspace" / ".agent" / name).write_text(text)


async def test_an_agent_that_can_only_load_goes_on_and_what_it_repeats_is_not_heard(bench: Bench, chat: Chat) -> None:
    async with bench.backend() as backend:
        async with backend.session(chat) as session:
            assert await ask(session, "hello") == "before: 0, now: hello"
            assert await ask(session, "more") == "before: 1, now: more"
        async with backend.session(chat) as session:
            assert await ask(session, "again") == "before: 2, now: again"


async def test_an_agent_that_can_not_resume_at_all_begins_anew(bench: Bench, chat: Chat) -> None:
    order(chat, "forgetful")
    async with bench.backend() as backend:
        for _ in range(2):
            async with backend.session(chat) as session:
                assert await ask(session, "hello") == "before: 0, now: hello"


async def test_an_agent_that_does_not_obey_a_cancel_loses_its_container_and_nothing_else(
    bench: Bench, chat: Chat, engine: Any
) -> None:
    async with bench.backend() as backend, backend.session(chat) as session:
        assert await ask(session, "hello") == "before: 0, now: hello"
        [before] = bench.containers(engine)
        heard = []
        with anyio.fail_after(SECONDS):
            async with aclosing(session.prompt(turn("be rude"))) as stream:  # type: ignore[type-var]
                async for event in stream:
                    heard.append(event)
                    await session.cancel()
        assert len(heard) == 1
        assert bench.containers(engine) == []
        assert await ask(session, "hello") == "before: 2, now: hello"
        assert bench.containers(engine) != [before]


async def test_a_flood_that_nobody_reads_ends_the_turn(bench: Bench, chat: Chat) -> None:
    async with bench.backend() as backend, backend.session(chat) as session:

        async def read_slowly() -> None:
            async with aclosing(session.prompt(turn("flood"))) as stream:  # type: ignore[type-var]
                async for _ in stream:
                    await anyio.sleep(4)
                    break
                async for _ in stream:
                    pass

        with pytest.raises(AgentError, match="not listened to") as caught, anyio.fail_after(SECONDS):
            await read_slowly()
    assert caught.value.kind is Failure.TOO_LONG


async def test_a_very_long_line_is_one_message(bench: Bench, chat: Chat) -> None:
    async with bench.backend() as backend, backend.session(chat) as session:
        assert len(await ask(session, "say something large")) > 20_000_000


async def test_a_refusal_silence_and_a_broken_protocol_have_names(bench: Bench, chat: Chat) -> None:
    async with bench.backend() as backend, backend.session(chat) as session:
        assert str(await failure(session, "refuse")) == "the model refused to answer"
        assert (await failure(session, "say nothing")).kind is Failure.NO_ANSWER
        broken = await failure(session, "break the protocol")
        assert broken.kind is Failure.CRASHED
        assert "answered something that is not ACP" in str(broken)


@pytest.mark.parametrize(
    ("name", "text", "kind", "cause"),
    [
        ("version", "2.0.0", Failure.ENGINE, "this backend knows 1.0.x"),
        ("climbing", "", Failure.CRASHED, "calls a session '../s'"),
        ("mute", "", Failure.CRASHED, "did not start within 2 s"),
    ],
)
async def test_an_agent_that_starts_wrongly_is_refused_and_its_container_removed(
    name: str,
    text: str,
    kind: Failure,
    cause: str,
    bench: Bench,
    chat: Chat,
    engine: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "PATIENCE", 2.0)
    order(chat, name, text)
    async with bench.backend() as backend:
        with pytest.raises(AgentError, match=cause) as caught:
            async with backend.session(chat):
                pass
        assert bench.containers(engine) == []
    assert caught.value.kind is kind
