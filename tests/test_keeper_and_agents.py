"""The keeper and a ``kimi`` that somebody runs on the same folder: both real agents, with their own locks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_auth_oauth_file.keeping.keeper import Keeper
from nanokimi_auth_oauth_file.keeping.locks import FileLock
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_backend_kimi_docker.agents import AGENTS
from nanokimi_backend_kimi_docker.mounts import agent_user
from nanokimi_core import Grant, Need, private_folder
from testbed.cloud import Cloud, Slow
from testbed.context import PluginContext
from testbed.kept import text, until
from testbed.kimi import Bench, LoginAccount

pytestmark = [pytest.mark.anyio, pytest.mark.engine]


@pytest.fixture(params=["kimi-code", "kimi-cli"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud, engine: Any) -> Iterator[Bench]:
    image = request.getfixturevalue("kimi_image" if request.param == "kimi-code" else "kimi_cli_image")
    made = Bench(tmp_path, cloud, image, agent=request.param)
    yield made
    made.clean(engine)


class Shared:
    """A login that an agent and a keeper use; its access token has ended."""

    def __init__(self, bench: Bench) -> None:
        self.cloud = bench.cloud
        self.account: LoginAccount = bench.login(expires_in=-5)
        self.agent = bench.agent
        self.folder = private_folder(bench.root / "instance")
        servers = {"oauth_host": self.cloud.oauth_host, "base_url": self.cloud.base_url_coding}
        settings = Settings.model_validate({"path": str(self.account.folder / "credentials"), **servers})
        self.keeper = Keeper(PluginContext(self.folder, "oauth_file"), settings, agent=bench.agent)

    async def grant(self) -> Grant:
        return await self.account.grant(Need(self.agent, AGENTS[self.agent].home, agent_user(rootless=False).outside))

    @property
    def file(self) -> Path:
        return self.account.file(self.agent)

    @property
    def keeper_waits(self) -> bool:
        lock = FileLock(self.folder / "keeper.lock")
        free = lock.try_take()
        lock.release()
        return not free


async def test_the_keeper_waits_for_a_kimi_that_refreshes_and_takes_what_it_got(bench: Bench) -> None:
    shared = Shared(bench)
    grant, oauth = await shared.grant(), shared.cloud.oauth
    oauth.script(Slow(30))
    async with bench.backend() as backend:
        agent = backend.agent_commands()
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(agent.refresh, grant.mounts, grant.environment)
                await until(lambda: oauth.refresh_requests == 1)
                tasks.start_soon(shared.keeper.fresh)
                await until(lambda: shared.keeper_waits)
                oauth.release()
    found = await shared.keeper.fresh()
    assert shared.cloud.accepts(text(found.access_token))
    assert (oauth.refresh_requests, oauth.reuses) == (1, 0)


@pytest.mark.parametrize("bench", ["kimi-code"], indirect=True)  # kimi-cli waits for as many seconds as it starts in
async def test_a_kimi_waits_for_the_keeper_that_refreshes_and_sends_nothing(bench: Bench) -> None:
    shared = Shared(bench)
    grant, oauth = await shared.grant(), shared.cloud.oauth
    oauth.script(Slow(30, after=True))
    async with bench.backend() as backend:
        agent = backend.agent_commands()
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(shared.keeper.fresh)
                await until(lambda: oauth.refresh_requests == 1)
                tasks.start_soon(agent.refresh, grant.mounts, grant.environment)
                # It makes this file before it tries to lock.
                await until(lambda: (shared.account.folder / "oauth" / shared.file.stem).exists())
                oauth.release()
    assert oauth.can_refresh(json.loads(shared.file.read_text())["refresh_token"])
    assert (oauth.refresh_requests, oauth.reuses) == (1, 0)
