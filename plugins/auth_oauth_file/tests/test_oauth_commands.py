"""Logging in by a code, logging out and refreshing at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_auth_oauth_file import OAuthFile, Settings
from nanokimi_auth_oauth_file.disk.places import name_for
from nanokimi_core import (
    AccountAway,
    AuthStatus,
    ConfigError,
    Context,
    LoginNeeded,
    LogsIn,
    LogsOut,
    Mount,
    Refreshes,
    ShowCode,
    UsesAgent,
)
from testbed.cloud import Cloud, Fail, Model, Refuse
from testbed.subscription import CODE, LoggingInAgent, account, new_login, put, refusal, seen

pytestmark = pytest.mark.anyio
MODES: list[dict[str, Any]] = [{}, {"credentials": "shared"}]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def with_agent(context: Context, cloud: Cloud | None, agent: LoggingInAgent, **table: Any) -> OAuthFile:
    auth = account(context, cloud, **table)
    auth.use_agent(agent)
    return auth


async def log_in(auth: OAuthFile, agent: LoggingInAgent) -> AuthStatus:
    """Log in, confirm the code, and give the status."""
    events: list[Any] = []
    async with aclosing(auth.login()) as coming:  # type: ignore[type-var]
        async for event in coming:
            events.append(event)
            agent.answer.set()
    assert [type(event) for event in events] == [ShowCode, AuthStatus]
    status: AuthStatus = events[-1]
    return status


class RefreshingAgent(LoggingInAgent):
    """Is at a refresh until it may end, which comes to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.began = anyio.Event()

    async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
        self.began.set()
        with anyio.fail_after(30):
            await self.answer.wait()


async def refused(auth: OAuthFile) -> None:
    with pytest.raises(AccountAway):
        await auth.refresh()


def servers(cloud: Cloud) -> dict[str, str]:
    return {"oauth_host": cloud.oauth_host, "base_url": cloud.base_url_coding}


def left_behind(context: Context) -> list[Path]:
    return list(context.folder.glob("login-*"))


# ------------------------------------------------------------------- logging in
async def test_it_offers_what_the_commands_ask_for(context: Context) -> None:
    auth = account(context)
    assert all(isinstance(auth, ability) for ability in (LogsIn, LogsOut, Refreshes, UsesAgent))


@pytest.mark.parametrize("mode", MODES)
async def test_a_confirmed_login_is_stored_privately_and_serves_the_next_grant_of_another_process(
    context: Context, cloud: Cloud, mode: dict[str, Any]
) -> None:
    running, login = account(context, cloud, **mode), cloud.new_login()
    assert "there is no login" in await refusal(running)
    agent = LoggingInAgent(writes=login)
    status = await log_in(with_agent(context, cloud, agent, **mode), agent)
    assert (status.state, status.who) == ("ok", "u1")
    (file,) = (context.folder / "credentials").glob("kimi-code*.json")
    assert (json.loads(file.read_bytes()), file.stat().st_mode & 0o777) == (login, 0o600)
    assert seen(await running.grant(CODE))["access_token"] == login["access_token"]
    assert left_behind(context) == []


async def test_the_agent_logs_in_in_a_private_folder_at_the_tomls_servers(context: Context, cloud: Cloud) -> None:
    agent = LoggingInAgent(writes=cloud.new_login())
    auth = with_agent(context, cloud, agent)
    async with aclosing(auth.login()) as coming:  # type: ignore[type-var]
        await anext(coming)
        (folder,) = agent.folders
        assert folder.parent == context.folder
        assert folder.stat().st_mode & 0o777 == 0o700
        assert list(folder.iterdir()) == []
    assert dict(agent.environments[0])["KIMI_CODE_OAUTH_HOST"] == cloud.oauth_host
    assert left_behind(context) == []


@pytest.mark.parametrize("name", ["kimi-code", "kimi-code-env-0123456789abcdef"])
async def test_whatever_name_the_agent_gives_its_file_the_login_is_found(
    context: Context, cloud: Cloud, name: str
) -> None:
    agent = LoggingInAgent(writes=cloud.new_login(), name=name)
    auth = with_agent(context, cloud, agent)
    await log_in(auth, agent)
    assert cloud.accepts(seen(await auth.grant(CODE))["access_token"])


async def test_what_a_person_has_just_confirmed_replaces_even_a_newer_login(context: Context, cloud: Cloud) -> None:
    put(context.folder / "credentials", cloud.new_login(9000))
    agent = LoggingInAgent(writes=cloud.new_login(60))
    auth = with_agent(context, cloud, agent)
    before = await auth.grant(CODE)
    await log_in(auth, agent)
    assert seen(before)["access_token"] == agent.writes["access_token"]
    assert (await auth.grant(CODE)).fingerprint == before.fingerprint
    origins = json.loads((context.folder / "origins.json").read_bytes())
    assert set(origins.values()) == {cloud.oauth_host}


async def test_the_status_after_a_login_names_the_accounts_models(context: Context, cloud: Cloud) -> None:
    cloud.models["coding"] = [Model("kimi-for-coding"), Model("k3")]
    agent = LoggingInAgent(writes=cloud.new_login())
    status = await log_in(with_agent(context, cloud, agent), agent)
    assert (status.details["models"], status.remedy) == ("kimi-for-coding, k3", "")
    (request,) = cloud.seen.sent("/models")
    assert request.token == agent.writes["access_token"]
    assert request.headers["user-agent"].startswith("NanoKimi/")
    status = await log_in(with_agent(context, cloud, agent, model="k9"), agent)
    assert 'no model "k9"' in status.remedy


@pytest.mark.parametrize("answer", [Fail(403, "access_terminated_error", "no"), Fail(500, "server_error", "no")])
async def test_a_login_is_stored_though_its_models_cannot_be_learned(
    context: Context, cloud: Cloud, answer: Fail
) -> None:
    cloud.break_path("/models", answer)
    agent = LoggingInAgent(writes=cloud.new_login())
    status = await log_in(with_agent(context, cloud, agent), agent)
    assert (status.state, status.remedy) == ("ok", "")
    assert f"answered {answer.status}" in status.details["models"]


async def test_a_declined_login_says_so_and_leaves_the_old_one(context: Context, cloud: Cloud) -> None:
    file = put(context.folder / "credentials", login := cloud.new_login())
    agent = LoggingInAgent(writes=cloud.new_login(), declined=True)
    with pytest.raises(LoginNeeded, match=r"^the person has refused; run the command again$"):
        await log_in(with_agent(context, cloud, agent), agent)
    assert json.loads(file.read_bytes()) == login
    assert left_behind(context) == []


@pytest.mark.parametrize(
    ("writes", "said"),
    [
        (None, "there is no login in"),
        (b"torn", "is not JSON"),
        ({"access_token": "", "refresh_token": ""}, "has been revoked"),
        (new_login(refresh_token=""), "has no refresh token"),
    ],
)
async def test_an_agent_that_leaves_no_login_changes_nothing(
    context: Context, cloud: Cloud, writes: Any, said: str
) -> None:
    file = put(context.folder / "credentials", login := cloud.new_login())
    agent = LoggingInAgent(writes=writes)
    with pytest.raises(LoginNeeded, match=said):
        await log_in(with_agent(context, cloud, agent), agent)
    assert json.loads(file.read_bytes()) == login
    assert left_behind(context) == []


async def test_a_link_that_an_agent_plants_is_not_followed(context: Context, cloud: Cloud, tmp_path: Path) -> None:
    elsewhere = put(tmp_path, new_login())

    class Planting(LoggingInAgent):
        async def log_in(self, folder: Path, environment: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[ShowCode]:
            async for code in super().log_in(folder, environment):
                yield code
            (folder / "credentials").mkdir()
            (folder / "credentials/kimi-code.json").symlink_to(elsewhere)

    agent = Planting()
    with pytest.raises(LoginNeeded, match="nothing that can be kept"):
        await log_in(with_agent(context, cloud, agent), agent)
    assert not (context.folder / "credentials/kimi-code.json").exists()


async def test_one_login_at_a_time_whichever_process_it_is_in(context: Context, cloud: Cloud) -> None:
    first, second = LoggingInAgent(writes=cloud.new_login()), LoggingInAgent(writes=cloud.new_login())
    async with aclosing(with_agent(context, cloud, first).login()) as coming:  # type: ignore[type-var]
        await anext(coming)
        with pytest.raises(LoginNeeded, match="another login of this account is under way"):
            await log_in(with_agent(context, cloud, second), second)
        assert first.folders[0].is_dir()
    await log_in(with_agent(context, cloud, second), second)


async def test_what_a_killed_login_left_is_removed_by_the_next(context: Context, cloud: Cloud) -> None:
    put(context.folder / "login-0123456789ab" / "credentials", new_login())
    agent = LoggingInAgent(writes=cloud.new_login())
    await log_in(with_agent(context, cloud, agent), agent)
    assert left_behind(context) == []


async def test_without_an_agent_the_way_by_a_file_is_said(context: Context) -> None:
    context.name = "work"
    with pytest.raises(ConfigError, match="nanokimi auth import --plugin work FILE"):
        await anext(account(context).login())


# ------------------------------------------------------------------- logging out
@pytest.mark.parametrize("mode", MODES)
async def test_logging_out_leaves_no_token_anywhere_in_the_instances_folder(
    context: Context, cloud: Cloud, mode: dict[str, Any]
) -> None:
    folder = context.folder / "credentials"
    put(folder, cloud.new_login())
    put(folder, cloud.new_login(), "kimi-code.json.from-auth.kimi.ai")
    (context.folder / "rescued.json").write_text(json.dumps(cloud.new_login()))
    auth = account(context, cloud, **mode)
    grant = await auth.grant(CODE)
    status = await auth.log_out()
    assert status.state == "login_needed"
    assert "nanokimi auth login" in status.remedy
    left = b"".join(path.read_bytes() for path in context.folder.rglob("*") if path.is_file())
    assert [token for token in cloud.oauth.issued() if token.encode() in left] == []
    assert all(mount.source.is_dir() for mount in grant.mounts)
    assert "there is no login" in await refusal(auth)


@pytest.mark.parametrize("mode", MODES)
async def test_a_login_in_somebodys_own_folder_is_not_logged_out(
    context: Context, cloud: Cloud, tmp_path: Path, mode: dict[str, Any]
) -> None:
    file = put(tmp_path / ".kimi-code/credentials", cloud.new_login())
    auth = account(context, cloud, path=str(tmp_path / ".kimi-code"), **mode)
    grant = await auth.grant(CODE)
    with pytest.raises(ConfigError, match=str(file.parent)):
        await auth.log_out()
    assert seen(grant)["access_token"] == seen(await auth.grant(CODE))["access_token"]


async def test_a_login_after_a_logout_works(context: Context, cloud: Cloud) -> None:
    put(context.folder / "credentials", cloud.new_login())
    agent = LoggingInAgent(writes=cloud.new_login())
    auth = with_agent(context, cloud, agent)
    grant = await auth.grant(CODE)
    await auth.log_out()
    assert (await log_in(auth, agent)).state == "ok"
    assert seen(grant)["access_token"] == agent.writes["access_token"]


# ------------------------------------------------------------------- refreshing at once
async def test_a_refresh_on_request_renews_a_token_that_still_lives(context: Context, cloud: Cloud) -> None:
    put(context.folder / "credentials", cloud.new_login())
    status = await account(context, cloud).refresh()
    assert (status.state, cloud.refreshes) == ("ok", 1)
    assert status.until is not None


async def test_a_refresh_that_cannot_be_says_whose_turn_it_is(context: Context, cloud: Cloud) -> None:
    with pytest.raises(LoginNeeded, match="nanokimi auth login"):
        await account(context, cloud).refresh()
    put(context.folder / "credentials", cloud.new_login())
    cloud.oauth.script(Refuse(503, "server_error", "busy"))
    with pytest.raises(AccountAway, match="503"):
        await account(context, cloud).refresh()
    cloud.oauth.revoke()
    with pytest.raises(LoginNeeded, match="nanokimi auth login") as caught:
        await account(context, cloud).refresh()
    assert not isinstance(caught.value, AccountAway)


async def test_with_refresher_agent_the_agents_own_program_gets_the_logins_directories(
    context: Context, cloud: Cloud
) -> None:
    put(context.folder / "credentials", cloud.new_login())
    agent = LoggingInAgent()
    auth = with_agent(context, cloud, agent, refresher="agent")
    grant = await auth.grant(CODE)
    with pytest.raises(AccountAway):  # this one refreshes nothing
        await auth.refresh()
    (mounts,) = agent.refreshed
    assert [(mount.target.name, mount.read_only) for mount in mounts] == [("credentials", False), ("oauth", False)]
    assert mounts[0].source == context.folder / "credentials"
    assert grant.mounts[0].read_only
    assert cloud.seen.sent("/oauth/token") == []
    (file,) = mounts[0].source.glob("kimi-code*.json")
    assert file.stem == name_for("kimi-code", Settings.model_validate(servers(cloud)))


async def test_with_refresher_agent_a_turn_takes_nothing_away_from_a_refresh_that_is_under_way(
    context: Context, cloud: Cloud, as_user: Any
) -> None:
    name = name_for("kimi-code", Settings.model_validate(servers(cloud)))
    for expires_in in (900, -5):
        file = put(context.folder / "credentials", cloud.new_login(expires_in), name)
        async with anyio.create_task_group() as tasks:
            auth = with_agent(context, cloud, agent := RefreshingAgent(), refresher="agent")
            tasks.start_soon(refused, auth)
            await agent.began.wait()
            with anyio.move_on_after(10 if expires_in > 0 else 0.2):
                await auth.grant(CODE)
            assert {file.stat().st_uid, file.parent.stat().st_uid, (context.folder / "oauth").stat().st_uid} == {0}
            agent.answer.set()


async def test_with_refresher_agent_no_login_is_renamed_while_it_is_refreshed(context: Context, cloud: Cloud) -> None:
    file = put(context.folder / "credentials", cloud.new_login())
    auth = with_agent(context, cloud, agent := RefreshingAgent(), refresher="agent")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(refused, auth)
        await agent.began.wait()
        with anyio.move_on_after(0.2):
            await auth.grant(CODE)
        assert file.exists()
        agent.answer.set()
    await auth.grant(CODE)
    assert not file.exists()
