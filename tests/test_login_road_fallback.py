"""A subscription that is lost or used up, and a key that pays meanwhile: the real accounts and a real agent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from nanokimi_backend_kimi_docker.container import LABEL
from nanokimi_core import write_private
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.testing import Bot, MemoryTransport
from testbed.cloud import Cloud
from testbed.cloud_quota import CYCLE_USED, usages
from testbed.fakes import until
from testbed.purses import BOSS, told_of_accounts

pytestmark = [pytest.mark.anyio, pytest.mark.engine, pytest.mark.timeout(240)]

KEY = "sk-CANARY-of-the-key-that-pays-meanwhile-0123456789"
SECONDS = 60


def make(folder: Path, cloud: Cloud, image: str) -> Bot:
    key = folder / "key"
    write_private(key, cloud.add_key(KEY).encode())
    plugins = {
        "kimi_docker": {"image": image, "network": "host"},
        "apikey": {"base_url": cloud.base_url_platform, "key": {"file": str(key)}},
        "oauth_file": {
            "oauth_host": cloud.oauth_host,
            "base_url": cloud.base_url_coding,
            "usage_minutes": 0.05,
        },
    }
    toml = {"auth": ["oauth_file", "apikey"], "plugins": plugins, "owner": f"net:{BOSS}", "chats": {"net:*": {}}}
    return Bot(folder / "bot", transport=MemoryTransport(), backend="kimi_docker", auth="oauth_file", toml=toml)


@asynccontextmanager
async def serving(folder: Path, cloud: Cloud, image: str) -> AsyncIterator[Bot]:
    """A bot whose subscription has answered once."""
    async with make(folder, cloud, image) as bot:
        await log_in(bot, folder, cloud)
        assert "zebra" in await ask(bot, "my word is zebra")
        assert payer(cloud) == "subscription"
        yield bot


async def log_in(bot: Bot, folder: Path, cloud: Cloud) -> None:
    file = folder / "kimi-code.json"
    write_private(file, json.dumps(cloud.new_login()).encode())
    await bot.auth.import_login(file)


async def ask(bot: Bot, text: str) -> str:
    await bot.says(text)
    return (await bot.answer(SECONDS)).text


def payer(cloud: Cloud) -> str:
    last = cloud.completions()[-1]
    assert (last.token == KEY) == last.path.startswith("/v1/")
    return "key" if last.token == KEY else "subscription"


def containers(bot: Bot, engine: Any) -> set[str]:
    label = f"{LABEL}installation={bot.assistant.folder.installation}"
    return {each["Id"] for each in engine.containers(filters={"label": label})}


async def test_a_key_takes_over_in_the_same_turn_and_leaves_when_the_plan_or_the_login_is_whole_again(
    tmp_path: Path, cloud: Cloud, kimi_image: str, engine: Any
) -> None:
    async with serving(tmp_path, cloud, kimi_image) as bot:
        cloud.refuse("coding", CYCLE_USED)
        cloud.set_quota("coding", usages(week=100))
        used_up = await pays_instead(bot, cloud)
        assert "so apikey pays until it can: quota: " in used_up
        cloud.refuse("coding", None)
        cloud.set_quota("coding", usages())
        await pays_again(bot, cloud)

        cloud.oauth.revoke()
        lost = await pays_instead(bot, cloud)
        assert "so apikey pays until it can: credentials: " in lost
        with_key = await to_thread.run_sync(containers, bot, engine)
        assert len(with_key) == 1
        await log_in(bot, tmp_path, cloud)
        await pays_again(bot, cloud)
        with anyio.fail_after(SECONDS):
            while with_key & await to_thread.run_sync(containers, bot, engine):
                await anyio.sleep(0.2)
        back = phrase("en", "owner_account_back", id="oauth_file")
        assert told_of_accounts(bot) == [used_up, back, lost, back]
        assert cloud.oauth.reuses == 0


async def pays_instead(bot: Bot, cloud: Cloud) -> str:
    """See that the key pays for the turn that fails and for the next; gives what the owner is told, once."""
    before = len(told_of_accounts(bot))
    for _ in range(2):
        assert "zebra" in await ask(bot, "what did I say")
        assert payer(cloud) == "key"
    await until(lambda: len(told_of_accounts(bot)) > before)
    [said] = told_of_accounts(bot)[before:]
    return said


async def pays_again(bot: Bot, cloud: Cloud) -> None:
    """See that the subscription pays for the next turn once it may, and that the owner is told."""
    before = len(told_of_accounts(bot))
    with anyio.fail_after(SECONDS):
        while bot.assistant.conversation.standings.names_down():
            await anyio.sleep(0.05)
    assert "zebra" in await ask(bot, "what did I say")
    assert payer(cloud) == "subscription"
    await until(lambda: len(told_of_accounts(bot)) > before)
