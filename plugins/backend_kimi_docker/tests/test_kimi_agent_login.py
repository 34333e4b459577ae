"""The agents' own login and refresh in containers of their own, with both real agents and the stand-in login server."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_backend_kimi_docker.agents import AGENTS, KimiCode
from nanokimi_backend_kimi_docker.commands import KimiCommands
from nanokimi_backend_kimi_docker.mounts import agent_user
from nanokimi_core import AgentError, Failure, Need, OffersAgentCommands, ShowCode, private_folder, write_private
from nanokimi_core.testing import Bot
from testbed.cloud import Cloud, Refuse, Slow
from testbed.kimi import SECONDS, Bench, LoginAccount

pytestmark = [pytest.mark.anyio, pytest.mark.engine]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["kimi-code", "kimi-cli"])
def each(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud, engine: Any) -> Iterator[Bench]:
    image = request.getfixturevalue("kimi_image" if request.param == "kimi-code" else "kimi_cli_image")
    bench = Bench(tmp_path, cloud, image, agent=request.param)
    yield bench
    left = bench.containers(engine)
    bench.clean(engine)
    assert left == []


@asynccontextmanager
async def login(commands: Any, bench: Bench) -> AsyncIterator[AsyncIterator[ShowCode]]:
    with anyio.fail_after(SECONDS):
        async with aclosing(commands.log_in(private_folder(bench.root / "fresh"), servers(bench))) as codes:
            yield codes


def servers(bench: Bench) -> tuple[tuple[str, str], ...]:
    return (
        ("KIMI_CODE_OAUTH_HOST", bench.cloud.oauth_host),
        ("KIMI_CODE_BASE_URL", bench.cloud.base_url_coding),
    )


def stored(bench: Bench) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in (bench.root / "fresh").glob("credentials/*.json")]


async def test_a_login_that_is_agreed_to_lies_in_the_folder_even_by_its_second_code(each: Bench, engine: Any) -> None:
    async with each.backend() as backend, login(backend.agent_commands(), each) as codes:
        first = await anext(codes)
        [container] = each.containers(engine)
        about = engine.inspect_container(container)
        each.cloud.oauth.expire_device_codes()
        shown = await anext(codes)
        assert shown.code != first.code
        each.cloud.oauth.approve(shown.code)
        assert [code async for code in codes] == []
    for code in (first, shown):
        assert code.url == f"{each.cloud.oauth_host}/device"
        assert code.complete_url == f"{code.url}?user_code={code.code}"
        assert timedelta(minutes=10) < code.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
    [found] = stored(each)
    assert each.cloud.accepts(found["access_token"])
    assert each.cloud.oauth.can_refresh(found["refresh_token"])
    devices = {request.headers["x-msh-device-id"] for request in each.cloud.requests if "oauth" in request.path}
    assert devices == {(each.root / "plugin" / "device_id").read_text()}
    host = about["HostConfig"]
    assert (host["CapDrop"], host["ReadonlyRootfs"], host["SecurityOpt"]) == (["ALL"], True, ["no-new-privileges"])
    assert host["Memory"] == host["MemorySwap"] == 2**30
    assert about["Config"]["User"].split(":")[0] != "0"
    assert about["Config"]["Labels"]["org.nanokimi.installation"] == each.context.installation


async def test_a_login_that_is_cancelled_leaves_no_container_and_no_login(each: Bench, engine: Any) -> None:
    async with each.backend() as backend:
        async with login(backend.agent_commands(), each) as codes:
            await anext(codes)
            assert len(each.containers(engine)) == 1
        assert each.containers(engine) == []
    assert stored(each) == []


async def test_a_login_that_nobody_agrees_to_ends_with_a_sentence(each: Bench) -> None:
    async with each.backend() as backend:
        # kimi-cli goes on asking where somebody has refused, and only its time ends that
        patience = timedelta(seconds=1) if each.agent == "kimi-cli" else timedelta(minutes=1)
        commands = KimiCommands(backend._workshop, patience=patience)
        async with login(commands, each) as codes:
            shown = await anext(codes)
            each.cloud.oauth.deny(shown.code)
            with pytest.raises(AgentError) as caught:
                await anext(codes)
    assert caught.value.kind is Failure.CREDENTIALS
    assert "/login" in caught.value.remedy
    said = "the login was refused on its page" if each.agent == "kimi-code" else "nobody agreed to the login within"
    assert said in str(caught.value)
    assert stored(each) == []


async def test_a_login_server_that_fails_is_said(bench: Bench) -> None:
    async with bench.backend() as backend, login(backend.agent_commands(), bench) as codes:
        await anext(codes)
        bench.cloud.oauth.always(Refuse(500, "server_error", "it broke"))
        with pytest.raises(AgentError, match="the login server is away or busy: Login failed") as caught:
            await anext(codes)
    assert caught.value.kind is Failure.RATE_LIMIT


async def test_a_backend_that_is_left_takes_a_waiting_login_with_it(bench: Bench, engine: Any) -> None:
    async with AsyncExitStack() as later:
        async with bench.backend() as backend:
            codes = backend.agent_commands().log_in(private_folder(bench.root / "fresh"), servers(bench))
            await later.enter_async_context(aclosing(codes))  # type: ignore[type-var]
            with anyio.fail_after(SECONDS):
                await anext(codes)
        assert bench.containers(engine) == []
        with pytest.raises(AgentError), anyio.fail_after(SECONDS):
            await anext(codes)


async def refresh(bench: Bench, login: LoginAccount) -> None:
    grant = await login.grant(need(bench))
    async with bench.backend() as backend:
        commands = backend.agent_commands()
        assert isinstance(backend, OffersAgentCommands)
        with anyio.fail_after(SECONDS):
            await commands.refresh(grant.mounts, grant.environment)


def need(bench: Bench) -> Need:
    agent = AGENTS[bench.agent]
    return Need(agent.name, agent.home, agent_user(rootless=False).outside)


async def test_a_refresh_that_is_due_happens_once_and_is_on_disk(each: Bench) -> None:
    login = each.login(expires_in=-10)
    await refresh(each, login)
    after = json.loads(login.file(each.agent).read_text())
    assert each.cloud.refreshes == 1
    assert after["refresh_token"] != login.login["refresh_token"]
    assert each.cloud.oauth.can_refresh(after["refresh_token"])
    await refresh(each, login)
    assert each.cloud.refreshes == 1
    assert json.loads(login.file(each.agent).read_text()) == after
    assert each.cloud.completions() == []
    assert list((each.root / "plugin" / "running").iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a login to somebody else")
async def test_a_login_of_somebody_elses_is_refreshed_and_stays_theirs(cli_bench: Bench) -> None:
    login = cli_bench.login(expires_in=-10)
    mounts = (await login.grant(need(cli_bench))).mounts
    for path in (login.file("kimi-cli"), *(mount.source for mount in mounts)):
        os.chown(path, 4321, 4321)
    async with cli_bench.backend() as backend:
        await backend.agent_commands().refresh(mounts, servers(cli_bench))
    assert cli_bench.cloud.refreshes == 1
    assert login.file("kimi-cli").stat().st_uid == 4321


async def test_a_refresh_that_is_cancelled_half_way_loses_no_login(cli_bench: Bench, engine: Any) -> None:
    cloud, login = cli_bench.cloud, cli_bench.login(expires_in=-10)
    grant = await login.grant(need(cli_bench))
    cloud.oauth.script(Slow(SECONDS))
    async with cli_bench.backend() as backend:
        commands = backend.agent_commands()
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(commands.refresh, grant.mounts, grant.environment)
                while not any(request.path == "/api/oauth/token" for request in cloud.requests):
                    await anyio.sleep(0.02)
                tasks.cancel_scope.cancel()
                cloud.oauth.release()
    stored = json.loads(login.file("kimi-cli").read_text())
    assert cloud.refreshes == 1
    assert cloud.oauth.can_refresh(stored["refresh_token"])
    assert cli_bench.containers(engine) == []


async def test_a_killed_process_refresh_is_let_finish_before_its_container_is_removed(
    cli_bench: Bench, engine: Any
) -> None:
    cloud, login = cli_bench.cloud, cli_bench.login(expires_in=-10)
    grant = await login.grant(need(cli_bench))
    cloud.oauth.script(Slow(SECONDS))
    async with cli_bench.backend() as backend:
        shop = backend._workshop
        killed = KimiCommands(replace(shop, labels=replace(shop.labels, process="dead")))
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(killed.refresh, grant.mounts, grant.environment)
                while not any(request.path == "/api/oauth/token" for request in cloud.requests):
                    await anyio.sleep(0.02)
                tasks.start_soon(shop.remove_orphans)
                await anyio.sleep(0.5)
                assert len(cli_bench.containers(engine)) == 1
                cloud.oauth.release()
    assert cloud.oauth.can_refresh(json.loads(login.file("kimi-cli").read_text())["refresh_token"])
    assert cli_bench.containers(engine) == []


async def test_a_refused_refresh_is_said_and_asks_nobody_for_a_code(each: Bench) -> None:
    login = each.login(expires_in=-10)
    each.cloud.oauth.revoke()
    with pytest.raises(AgentError) as caught:
        await refresh(each, login)
    assert caught.value.kind is Failure.CREDENTIALS
    assert "log in again" in caught.value.remedy


async def test_a_login_that_could_not_be_stored_is_not_refreshed(each: Bench, engine: Any) -> None:
    login = each.login(expires_in=-10)
    grant = await login.grant(need(each))
    fixed = tuple(replace(mount, read_only=True) for mount in grant.mounts)
    async with each.backend() as backend:
        for mounts in (fixed, ()):
            with pytest.raises(AgentError, match="can't refresh a login that it may not write"):
                await backend.agent_commands().refresh(mounts, grant.environment)
    assert each.cloud.refreshes == 0


async def test_an_agent_refreshes_for_the_account_and_the_chat_is_answered(bench: Bench, engine: Any) -> None:
    cloud, file = bench.cloud, bench.root / "kimi-code.json"
    write_private(file, json.dumps(cloud.new_login(expires_in=-10, later=900)).encode())
    servers = {"oauth_host": cloud.oauth_host, "base_url": cloud.base_url_coding, "refresher": "agent"}
    toml = {"plugins": {"kimi_docker": {"image": bench.image, "network": "host"}, "oauth_file": servers}}
    async with Bot(bench.root / "bot", backend="kimi_docker", auth="oauth_file", toml=toml) as bot:
        await bot.auth.import_login(file)
        await bot.says("hello")
        assert (await bot.answer(within=SECONDS)).text.endswith("hello")
    [request] = [one for one in cloud.requests if one.path == "/api/oauth/token"]
    assert request.headers["user-agent"].startswith("kimi-code-cli/")
    assert cloud.refreshes == 1


async def test_a_missing_image_is_named_with_what_brings_it(bench: Bench) -> None:
    grant = await bench.login().grant(need(bench))
    async with bench.backend(image="nobody/has-this:1") as backend:
        with pytest.raises(AgentError, match="is not on this machine") as caught:
            await backend.agent_commands().refresh(grant.mounts)
        assert caught.value.kind is Failure.ENGINE
        async with login(backend.agent_commands(), bench) as codes:
            with pytest.raises(AgentError, match="is not on this machine"):
                await anext(codes)


class Babbling(KimiCode):
    """Its login says something else than a code."""

    login = ("sh", "-c", "echo the token is eyJhbGciOiJIUzUxMiJ9.e30.c2ln; exit 0")


async def test_a_login_that_prints_no_code_is_quoted_without_its_secrets(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(AGENTS, "kimi-code", Babbling())
    async with bench.backend() as backend, login(backend.agent_commands(), bench) as codes:
        with pytest.raises(
            AgentError, match="printed nothing that looks like a code; it last said: the token"
        ) as caught:
            await anext(codes)
    assert "eyJ" not in str(caught.value)
