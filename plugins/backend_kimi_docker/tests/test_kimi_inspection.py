"""What ``nanokimi debug`` asks, and what the core asks about room and the image."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from nanokimi_core import (
    AgentError,
    BuildsImage,
    Failure,
    HasBackgroundWork,
    HasRoom,
    Inspectable,
    Text,
    Timing,
)
from testbed.cloud import Fail
from testbed.kimi import Bench, ask

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

STAGES = ["create", "start", "initialize", "session", "first token", "done"]


async def test_the_config_is_read_from_inside_a_container(bench: Bench, engine: Any) -> None:
    async with bench.backend() as backend:
        seen = await backend.agent_config(bench.chat(auth=bench.login()))
    assert seen.agent == "kimi-code 2.1.0"
    assert seen.path == "/home/node/.kimi-code/config.toml"
    assert seen.default_model == "kimi-code/kimi-for-coding"
    assert [(model.name, model.provider, model.model) for model in seen.models] == [
        ("kimi-code/kimi-for-coding", "managed:kimi-code", "kimi-for-coding")
    ]
    [provider] = seen.providers
    assert (provider.kind, provider.base_url) == ("kimi", bench.cloud.base_url_coding)
    assert (provider.has_key, provider.has_oauth) == (False, True)
    assert bench.containers(engine) == []
    assert list((bench.root / "plugin" / "running").iterdir()) == []


async def test_a_probe_times_each_stage_and_leaves_nothing_behind(bench: Bench, engine: Any) -> None:
    chat = bench.chat()
    async with bench.backend() as backend, aclosing(backend.probe(chat, "hello")) as steps:  # type: ignore[type-var]
        told = [step async for step in steps]
    timings = [step for step in told if isinstance(step, Timing)]
    assert [timing.stage for timing in timings] == STAGES
    assert [timing.seconds for timing in timings] == sorted(timing.seconds for timing in timings)
    assert "".join(step.delta for step in told if isinstance(step, Text)) == "heard: [owner] hello"
    assert bench.containers(engine) == []
    assert not (chat.folder / "agent").exists()
    assert not (bench.root / "plugin" / "conversations" / "console:me.kimi-code.json").exists()


async def test_a_probe_that_fails_says_why(bench: Bench, engine: Any) -> None:
    bench.cloud.always(Fail(404, "resource_not_found_error", "no such model"))

    async def probe() -> None:
        async with bench.backend() as backend, aclosing(backend.probe(bench.chat(), "hi")) as steps:  # type: ignore[type-var]
            async for _ in steps:
                pass

    with pytest.raises(AgentError, match="no such model") as caught:
        await probe()
    assert caught.value.kind is Failure.MODEL
    assert bench.containers(engine) == []


async def test_logs_are_those_of_the_chats_own_conversation(bench: Bench) -> None:
    chat = bench.chat()
    async with bench.backend() as backend:
        assert await backend.logs(chat, lines=10) == ""
        async with backend.session(chat) as session:
            await ask(session, "hello")
        logs = await backend.logs(chat, lines=2)
    assert "== the agent's logs/kimi-code.log\n" in logs
    assert "llm response" in logs
    assert max(len(part.splitlines()) for part in logs.split("== ")) <= 4


async def test_the_backend_offers_what_the_core_looks_for(bench: Bench) -> None:
    async with bench.backend() as backend:
        assert isinstance(backend, HasBackgroundWork)
        assert isinstance(backend, HasRoom)
        assert isinstance(backend, BuildsImage)
        assert isinstance(backend, Inspectable)
        assert await backend.room() >= 1
        async with backend.session(bench.chat()):
            assert await backend.room() >= 1
        status = await backend.image_status()
    assert (status.name, status.present) == (bench.image, True)
