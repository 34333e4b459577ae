"""One line of the toml changes the account of real agents while they run: key, login, and key again."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from nanokimi_backend_kimi_docker.container import LABEL
from nanokimi_core import ImportsLogin
from nanokimi_core.testing import Bot, MemoryTransport
from testbed.cloud import Cloud, Hang

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

KEY = "sk-canary-of-the-changed-account-0123456789"
CHATS = ("ann", "ben", "cid")
SECONDS = 180


def make(folder: Path, cloud: Cloud, image: str) -> Bot:
    key = folder / "key"
    key.write_text(cloud.add_key(KEY))
    key.chmod(0o600)
    toml = {
        "auth": "apikey",
        "limits": {"idle_timeout": "1h"},
        "plugins": {
            "kimi_docker": {"image": image, "network": "host"},
            "apikey": {"base_url": cloud.base_url_platform, "key": {"file": str(key)}},
            "oauth_file": {"oauth_host": cloud.oauth_host, "base_url": cloud.base_url_coding},
        },
        "chats": {"net:*": {}, "net:nobody": {"auth": "oauth_file"}},
    }
    return Bot(folder / "bot", transport=MemoryTransport(), backend="kimi_docker", auth="apikey", toml=toml)


async def import_login(bot: Bot, folder: Path, login: dict[str, Any]) -> None:
    file = folder / "kimi-code.json"
    file.write_text(json.dumps(login))
    account = bot.assistant.instances["auth oauth_file"].value
    assert isinstance(account, ImportsLogin)
    await account.import_login(file)


def containers(bot: Bot, engine: Any) -> set[str]:
    label = f"{LABEL}installation={bot.assistant.folder.installation}"
    return {each["Id"] for each in engine.containers(filters={"label": label})}


async def until_gone(bot: Bot, engine: Any, old: set[str]) -> None:
    with anyio.fail_after(SECONDS):
        while old & await to_thread.run_sync(containers, bot, engine):
            await anyio.sleep(0.2)


async def test_a_reload_moves_running_chats_from_key_to_login_and_back_and_no_container_keeps_the_old_one(
    tmp_path: Path, cloud: Cloud, kimi_image: str, engine: Any
) -> None:
    async with make(tmp_path, cloud, kimi_image) as bot:
        await import_login(bot, tmp_path, cloud.new_login())
        assistant = bot.assistant
        for chat in CHATS[:2]:
            await bot.says(f"the word of {chat} is zebra", chat)
        for chat in CHATS[:2]:
            assert "zebra" in (await bot.answer(SECONDS, chat)).text
        cloud.script(Hang(SECONDS))
        await bot.says("the word of cid is zebra", "cid")
        await to_thread.run_sync(partial(cloud.wait_for_completions, 3, SECONDS))
        [*_, running] = cloud.completions()
        old = await to_thread.run_sync(containers, bot, engine)
        assert len(old) == 3

        assert await bot.reload({"auth": "oauth_file"}) == []
        cloud.release()
        assert (await bot.answer(SECONDS, "cid")).text == "and on"
        await until_gone(bot, engine, old)
        assert {request.token for request in cloud.completions()} == {running.token} == {KEY}
        for chat in CHATS:
            await bot.says("what did I say", chat)
        for chat in CHATS:
            assert f"the word of {chat} is zebra" in (await bot.answer(SECONDS, chat)).text
        assert all(request.path.startswith("/coding/") for request in cloud.completions()[3:])

        old = await to_thread.run_sync(containers, bot, engine)
        assert len(old) == 3
        assert await bot.reload({"auth": "apikey"}) == []
        await until_gone(bot, engine, old)
        await bot.says("what did I say", "ann")
        assert "the word of ann is zebra" in (await bot.answer(SECONDS, "ann")).text
        assert cloud.completions()[-1].token == KEY
        assert bot.assistant is assistant
        assert bot.told == []
