"""``refresher = "agent"``: the agent's own program refreshes, and the keeper sends nothing."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from nanokimi_auth_oauth_file.disk.login import LoginProblem
from nanokimi_auth_oauth_file.keeping.agent_refresher import AgentRefresher
from nanokimi_auth_oauth_file.keeping.server import LoginServer
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import AccountAway, AgentError, Failure, Mount, ShowCode
from testbed.context import PluginContext
from testbed.kept import Kept, text, until

pytestmark = pytest.mark.anyio

HOME = PurePosixPath("/home/node/.kimi-code")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def kept(kept: Kept) -> Kept:
    return Kept(kept.folder, kept.cloud, refresher="agent")


class Agent:
    """Commands that do in this process what kimi-code's do in a container: refresh what is due by its own rule."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.calls: list[tuple[tuple[Mount, ...], tuple[tuple[str, str], ...]]] = []
        self.fails = False
        self.says = AgentError(Failure.CRASHED, "no container could be started")
        self.owners: set[int] = set()

    async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
        self.calls.append((mounts, environment))
        self.owners = {path.stat().st_uid for mount in mounts for path in (mount.source, *mount.source.iterdir())}
        if self.fails:
            raise self.says
        file = next(mount.source for mount in mounts if mount.target.name == "credentials") / "kimi-code.json"
        login = json.loads(file.read_text())
        left = login["expires_at"] - self.kept.times.clock.wall()
        if login["expires_at"] == 0 or left >= max(300, login["expires_in"] / 2):
            return
        found = await LoginServer(self.kept.cloud.oauth_host, self.kept.folder).refresh(
            SecretStr(login["refresh_token"])
        )
        login |= {"access_token": text(found.access_token), "refresh_token": text(found.refresh_token)}
        self.kept.put(login | {"expires_at": int(self.kept.times.clock.wall()) + 900, "expires_in": 900})

    def log_in(self, folder: Path, environment: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[ShowCode]:
        raise AssertionError(folder, environment)


@given(life=st.floats(min_value=1, max_value=10**7), jitter=st.floats(0, 1))
def test_it_waits_until_the_agent_thinks_that_it_is_due(life: float, jitter: float) -> None:
    due = AgentRefresher(PluginContext(Path(), "oauth_file"), Settings()).due_at(life, jitter)
    assert life - max(300.0, life / 2) < due < life


async def test_the_agent_is_let_at_the_logins_own_directories_and_the_keeper_sends_nothing(kept: Kept) -> None:
    kept.log_in(900)
    agent, keeper = Agent(kept), kept.keeper()
    keeper.use_agent(agent, HOME)
    async with kept.running(keeper):
        await until(lambda: kept.seen)
        kept.times.go(440)
        assert await nothing_happens(kept, agent)
        kept.times.go(60)
        await until(lambda: kept.cloud.refreshes == 1)
        await until(lambda: len(kept.seen) == 2)
    ((mounts, environment),) = agent.calls
    assert mounts == (
        Mount(kept.credentials, HOME / "credentials", read_only=False),
        Mount(kept.folder / "oauth", HOME / "oauth", read_only=False),
    )
    assert environment == (
        ("KIMI_CODE_BASE_URL", kept.cloud.base_url_coding),
        ("KIMI_CODE_OAUTH_HOST", kept.cloud.oauth_host),
    )
    assert kept.spendable
    assert text(kept.seen[-1].access_token) == kept.read()["access_token"]


async def test_a_refused_token_is_refreshed_although_the_agent_wouldnt_think_so(kept: Kept) -> None:
    kept.log_in(900)
    keeper = kept.keeper()
    keeper.use_agent(Agent(kept), HOME)
    login = await keeper.fresh()
    kept.cloud.expire_access_tokens()
    found = await keeper.renew(keeper.mark(login))
    assert kept.cloud.accepts(text(found.access_token))
    assert kept.cloud.refreshes == 1


async def test_an_agent_that_cant_be_started_is_a_failure_with_back_off(kept: Kept) -> None:
    login = kept.log_in(900)
    agent, keeper = Agent(kept), kept.keeper()
    agent.fails = True
    keeper.use_agent(agent, HOME)
    kept.times.go(500)
    async with kept.running(keeper):
        await until(lambda: keeper.state.kind == "away")
        assert "no container could be started" in keeper.state.cause
        assert text((await keeper.fresh()).access_token) == login["access_token"]
        agent.fails = False
        kept.times.steady += 61
        await until(lambda: not keeper.state.kind)
    assert kept.spendable


async def test_an_agent_that_empties_the_login_has_lost_it(kept: Kept) -> None:
    kept.log_in(-5)
    keeper = kept.keeper()

    class Emptying(Agent):
        async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
            kept.put(kept.read() | {"access_token": "", "refresh_token": "", "expires_at": 0})

    keeper.use_agent(Emptying(kept), HOME)
    with pytest.raises(LoginProblem) as caught:
        await keeper.fresh()
    assert caught.value.kind == "revoked"


async def test_an_agent_that_fails_and_leaves_the_login_empty_has_lost_it(kept: Kept) -> None:
    kept.log_in(900)
    keeper = kept.keeper()

    class Emptying(Agent):
        async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
            kept.put(kept.read() | {"access_token": "", "refresh_token": "", "expires_at": 0})
            raise AgentError(Failure.CREDENTIALS, "kimi-code wants a new login")

    keeper.use_agent(Emptying(kept))
    with pytest.raises(LoginProblem) as caught:
        await keeper.renew(None)
    assert (caught.value.kind, keeper.state.kind) == ("revoked", "login_needed")


async def test_an_agent_that_wants_a_new_login_is_believed_and_not_run_again(kept: Kept) -> None:
    login = kept.log_in(900)
    agent, keeper = Agent(kept), kept.keeper()
    agent.fails, agent.says = True, AgentError(Failure.CREDENTIALS, "kimi-code wants a new login")
    keeper.use_agent(agent, HOME)
    for _ in range(2):
        with pytest.raises(LoginProblem, match="nanokimi auth login") as caught:
            await keeper.renew(None)
    assert (caught.value.kind, keeper.state.kind, len(agent.calls)) == ("refused", "login_needed", 1)
    assert text((await keeper.fresh()).access_token) == login["access_token"]  # it lives yet
    kept.log_in(900)
    agent.fails = False
    await keeper.renew(None)


async def test_an_agent_whose_home_is_only_supposed_loses_no_login_by_not_finding_it(kept: Kept) -> None:
    kept.log_in(900)
    agent, keeper = Agent(kept), kept.keeper()
    agent.fails, agent.says = True, AgentError(Failure.CREDENTIALS, "the agent wants a new login")
    keeper.use_agent(agent)
    with pytest.raises(AccountAway, match="wants a new login"):
        await keeper.renew(None)
    agent.fails = False
    keeper.use_agent(agent, HOME)
    await keeper.renew(None)


async def test_a_login_that_an_agent_could_not_refresh_is_as_it_was(kept: Kept) -> None:
    login = kept.log_in(900)
    agent, keeper = Agent(kept), kept.keeper()
    agent.fails = True
    keeper.use_agent(agent, HOME)
    with pytest.raises(AccountAway, match="no container could be started"):
        await keeper.renew(None)
    assert kept.read() == login


@pytest.mark.parametrize("owner", [0, 4321])
async def test_the_agent_finds_all_that_it_needs_as_one_users(kept: Kept, owner: int, as_user: Any) -> None:
    kept.log_in(900)
    os.chown(kept.credentials, owner, owner)
    os.chown(kept.file, 1000, 1000)
    agent, keeper = Agent(kept), kept.keeper()
    keeper.use_agent(agent, HOME)
    await keeper.renew(None)
    assert agent.owners == {owner}


async def test_without_an_agent_the_keeper_sends_nothing_in_its_place(kept: Kept) -> None:
    kept.log_in(-5)
    with pytest.raises(AccountAway, match="no backend"):
        await kept.keeper().fresh()
    assert kept.cloud.oauth.token_requests == 0


async def nothing_happens(kept: Kept, agent: Agent) -> bool:
    before, asked = len(agent.calls), kept.times.asked
    await until(lambda: kept.times.asked > asked + 12)
    return len(agent.calls) == before
