"""A login of which containers see the access token alone, with both real agents: replaced, ended, never spent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import Failure, write_private
from nanokimi_core.testing import Bot
from testbed.cloud import CallTool, Cloud
from testbed.kimi import SECONDS, AccessAccount, Bench, ask, failure, turn

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

SHELLS = {"kimi-code": "Bash", "kimi-cli": "Shell"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["kimi-code", "kimi-cli"])
def each(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud, engine: Any) -> Iterator[Bench]:
    image = request.getfixturevalue("kimi_image" if request.param == "kimi-code" else "kimi_cli_image")
    bench = Bench(tmp_path, cloud, image, agent=request.param)
    yield bench
    bench.clean(engine)


@pytest.fixture
def account(each: Bench) -> AccessAccount:
    return AccessAccount(each.cloud, each.root / "access")


def spent(cloud: Cloud) -> list[str]:
    return [request.path for request in cloud.requests if request.path.startswith("/api/oauth/")]


async def test_a_token_that_is_replaced_is_used_with_no_restart_and_never_refreshed(
    each: Bench, account: AccessAccount, engine: Any
) -> None:
    cloud, chat = each.cloud, each.chat(auth=account)
    async with each.backend() as backend, backend.session(chat) as session:
        [container] = each.containers(engine)
        assert await ask(session, "hello") == "heard: [Ana] hello"
        second = account.renew()
        assert await ask(session, "again") == "heard: [Ana] again"

        cloud.script(CallTool(SHELLS[each.agent], {"command": "while [ ! -e go ]; do sleep 0.05; done"}))
        before = len(cloud.completions())
        third = ""

        async def replace_in_mid_turn() -> None:
            nonlocal third
            await anyio.to_thread.run_sync(cloud.wait_for_completions, before + 1)
            cloud.expire_access_tokens()
            third = account.renew()
            (chat.folder / "workspace" / "go").touch()

        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(replace_in_mid_turn)
                assert "tool answered" in await ask(session, "wait")
        assert each.containers(engine) == [container]
    tokens = [request.token for request in cloud.completions()]
    assert tokens[1] == second
    assert tokens[-1] == third
    assert account.rejections == []
    assert spent(cloud) == []
    seen = [json.loads(file.read_text()) for file in account.folder.glob("*.json")]
    assert [(one["refresh_token"], one["expires_at"]) for one in seen] == [("", 0)]


async def test_a_token_that_ends_in_mid_session_fails_one_attempt_at_once_and_the_next_is_answered(
    each: Bench, account: AccessAccount, engine: Any
) -> None:
    cloud, chat = each.cloud, each.chat(auth=account)
    async with each.backend() as backend, backend.session(chat) as session:
        await ask(session, "my word is zebra")
        [container] = each.containers(engine)
        cloud.expire_access_tokens()
        asked = turn("what did I say before")
        before = len(cloud.completions())
        error = await failure(session, asked)
        assert error.kind is Failure.CREDENTIALS
        assert "401" in str(error)
        assert len(cloud.completions()) - before <= 2
        [grant] = account.refused
        assert grant.fingerprint == "access-1"

        account.renew()
        assert "zebra" in await ask(session, asked)
        assert each.containers(engine) == [container]
    said = cloud.completions()[-1].said
    assert sum("what did I say before" in text for text in said) == 1
    assert spent(cloud) == []


OWN, SHARED = 3, 13


def household(bench: Bench) -> dict[str, Any]:
    """Chats with a container each, and more that share one."""
    names = [f"net:{number}" for number in range(OWN + SHARED)]
    return {
        "limits": {"max_turns": len(names)},
        "chats": {name: {} if number < OWN else {"sandbox": "all"} for number, name in enumerate(names)},
        "plugins": {
            "kimi_docker": {"agent": bench.agent, "image": bench.image, "network": "host", "memory": "640m"},
            "oauth_file": {"oauth_host": bench.cloud.oauth_host, "base_url": bench.cloud.base_url_coding},
        },
    }


async def test_sixteen_chats_whose_token_ends_at_once_cost_one_refresh_and_every_turn_is_answered(
    bench: Bench, engine: Any
) -> None:
    cloud, login = bench.cloud, bench.root / "kimi-code.json"
    write_private(login, json.dumps(cloud.new_login()).encode())
    async with Bot(bench.root / "bot", backend="kimi_docker", auth="oauth_file", toml=household(bench)) as bot:
        await bot.auth.import_login(login)
        chats = [bot.chat(str(number)) for number in range(OWN + SHARED)]

        async def everybody(text: str) -> list[str]:
            for chat in chats:
                await chat.says(text.format(chat.name))
            return [(await chat.answer(within=2 * SECONDS)).text for chat in chats]

        for chat, answer in zip(chats, await everybody("my word is zebra-{}"), strict=True):
            assert answer.endswith(f"my word is zebra-{chat.name}")
        assert cloud.refreshes == 0
        cloud.expire_access_tokens()
        for chat, answer in zip(chats, await everybody("what did I say"), strict=True):
            assert answer.startswith("you said: ")
            assert answer.endswith(f"zebra-{chat.name}")
        ours = [one for one in engine.containers(all=True) if str(bench.root) in str(one["Mounts"])]
        assert len(ours) == OWN + 1
        assert len(bot.network.sent) == 2 * len(chats)
        assert await bot.dead_letters() == []
        assert not [text for text in bot.told if "log" in text and "in again" in text]
    assert (cloud.refreshes, cloud.oauth.reuses) == (1, 0)
    assert len(spent(cloud)) == 1
