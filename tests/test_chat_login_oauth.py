"""Logging in from the chat to a Kimi subscription: the real account, its server and the agent's own login."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nanokimi_core import AgentCommands, Chat, Session
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.testing import Bot, MemoryTransport
from testbed.cloud import Cloud
from testbed.fakes import ScriptedBackend, joining
from testbed.logins import BOSS, told
from testbed.subscription import CODE, LoggingInAgent

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Lender(ScriptedBackend):
    """A backend that lends accounts the agent's own commands."""

    def __init__(self, agent: LoggingInAgent) -> None:
        super().__init__(joining)
        self.agent = agent

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        await chat.auth.grant(CODE)
        async with super().session(chat) as session:
            yield session

    def agent_commands(self) -> AgentCommands:
        return self.agent


async def test_a_subscription_that_is_lost_is_logged_in_to_from_the_chat_and_what_waited_is_answered(
    tmp_path: Path, cloud: Cloud
) -> None:
    lost, found = cloud.new_login(), cloud.new_login()
    agent = LoggingInAgent(writes=lost)
    servers = {"oauth_host": cloud.oauth_host, "base_url": cloud.base_url_coding}
    toml = {"owner": f"net:{BOSS}", "chats": {"net:*": {}}, "plugins": {"oauth_file": servers}}
    bot = Bot(tmp_path, transport=MemoryTransport(), backend=Lender(agent), auth="oauth_file", toml=toml)
    async with bot:
        await bot.says("one")
        await bot.says("two", "hall")
        code = await told(bot, "ABCD-1234")
        assert "\n\nhttps://kimi.example/device\n\n" in code
        for chat in ("desk", "hall"):
            assert await told(bot, phrase("en", "held_credentials"), chat=chat)
        assert bot.network.texts(BOSS) == [code]
        await bot.says("three")
        agent.writes = found
        agent.answer.set()
        done = await told(bot, "I'm logged in to oauth_file")
        assert await told(bot, "one+three", chat="desk")
        assert await told(bot, "two", chat="hall")
        assert "Its models: kimi-for-coding" in done
        account = (await bot.status()).accounts[0]
        assert (account.state, account.down, account.login_until) == ("ok", "", "")
    shown = "\n".join([*bot.network.texts(BOSS), *bot.network.texts(), *bot.network.texts("hall"), *bot.log])
    for login in (lost, found):
        for secret in (login["access_token"], login["refresh_token"]):
            assert secret not in shown
