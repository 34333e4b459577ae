"""What a refusal by the model API leads to: one refresh, a note for the status, or nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from nanokimi_auth_oauth_file import OAuthFile
from nanokimi_auth_oauth_file.model_api.refused import Shortages, meaning_of
from nanokimi_core import AuthStatus, Context, Grant, Quota
from testbed import cloud_quota
from testbed.cloud import Cloud, Refuse
from testbed.cloud_model import Fail
from testbed.subscription import CLI, CODE, account, put, seen

UNAUTHORIZED = "provider.auth_error: 401 Invalid Authentication"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def auth(context: Context, cloud: Cloud) -> OAuthFile:
    put(context.folder / "credentials", cloud.new_login())
    return account(context, cloud)


async def standing_elsewhere(context: Context, cloud: Cloud) -> AuthStatus:
    """Ask another object of the instance, as another process has it."""
    return await account(context, cloud).status()


# ------------------------------------------------------------------- refused tokens
@pytest.mark.anyio
async def test_sixteen_chats_that_got_a_401_cost_one_refresh_and_all_see_the_new_token(
    auth: OAuthFile, cloud: Cloud
) -> None:
    grants = [await auth.grant(CODE if number % 2 else CLI) for number in range(16)]
    cloud.expire_access_tokens()
    async with anyio.create_task_group() as chats:
        for grant in grants:
            chats.start_soon(auth.rejected, grant, UNAUTHORIZED)
    assert cloud.refreshes == 1
    assert {cloud.accepts(seen(grant)["access_token"]) for grant in grants} == {True}
    assert (await auth.status()).state == "ok"


@pytest.mark.anyio
async def test_a_401_of_an_older_token_blames_no_newer_login_and_spends_nothing(
    auth: OAuthFile, context: Context, cloud: Cloud
) -> None:
    old = await auth.grant(CODE)
    put(context.folder / "credentials", cloud.new_login())
    for _ in range(3):
        await auth.rejected(old, UNAUTHORIZED)
    assert (await auth.status()).state == "ok"
    assert cloud.refreshes == 0
    kept = json.loads((context.folder / "credentials/kimi-code.json").read_bytes())
    assert seen(old)["access_token"] == kept["access_token"]


@pytest.mark.anyio
async def test_a_401_of_a_token_that_was_renewed_for_one_is_remembered_and_not_refreshed_for_ever(
    auth: OAuthFile, context: Context, cloud: Cloud
) -> None:
    for _ in range(5):
        await auth.rejected(await auth.grant(CODE), UNAUTHORIZED)
    assert cloud.refreshes == 1
    for status in (await auth.status(), await standing_elsewhere(context, cloud)):
        assert (status.state, status.who) == ("rejected", "u1")
        assert "401 Invalid Authentication" in status.details["refused"]
        assert "nanokimi auth login" in status.remedy
    put(context.folder / "credentials", cloud.new_login())
    assert (await auth.status()).state == "ok"


@pytest.mark.anyio
async def test_a_refresh_that_the_server_refuses_for_good_is_a_login_that_is_needed(
    auth: OAuthFile, context: Context, cloud: Cloud
) -> None:
    grant = await auth.grant(CODE)
    cloud.oauth.revoke()
    for _ in range(3):
        await auth.rejected(grant, UNAUTHORIZED)
    assert len(cloud.seen.sent("/oauth/token")) == 1
    for status in (await auth.status(), await standing_elsewhere(context, cloud)):
        assert status.state == "login_needed"
        assert "nanokimi auth login" in status.remedy


@pytest.mark.anyio
async def test_a_login_server_that_is_away_is_no_fault_of_the_login(auth: OAuthFile, cloud: Cloud) -> None:
    cloud.oauth.always(Refuse(503, "server_error", "busy"))
    await auth.rejected(await auth.grant(CODE), UNAUTHORIZED)
    status = await auth.status()
    assert status.state == "expiring"
    assert "503" in status.details["cause"]
    assert status.details["failing_since"].endswith("UTC")
    assert status.remedy


@pytest.mark.anyio
async def test_a_login_without_refresh_token_is_rejected_at_once(context: Context, cloud: Cloud) -> None:
    put(context.folder / "credentials", cloud.new_login() | {"refresh_token": ""})
    auth = account(context, cloud)
    await auth.rejected(await auth.grant(CODE), UNAUTHORIZED)
    assert (await auth.status()).state == "rejected"
    assert cloud.seen.sent("/oauth/token") == []


# ------------------------------------------------------------------- quota, plan, and what passes
QUOTA = (
    cloud_quota.NO_BALANCE,
    cloud_quota.NOT_ACTIVE,
    cloud_quota.CYCLE_USED,
    cloud_quota.WEEK_USED,
    cloud_quota.PERIOD_USED,
    cloud_quota.NO_MEMBERSHIP,
)
PASSING = (cloud_quota.TOO_MANY, cloud_quota.OVERLOADED, Fail(503, "server_error", "try again"))
FORBIDDEN = (cloud_quota.TERMINATED, cloud_quota.WRONG_CLIENT)


def said(fail: Fail) -> str:
    return f"{fail.error_type}: Error code: {fail.status} - {fail.message}"


@pytest.mark.parametrize(
    ("fails", "meaning"), [(QUOTA, "quota"), (PASSING, "passing"), (FORBIDDEN, "forbidden")], ids=str
)
def test_the_servers_refusals_are_told_apart(fails: tuple[Fail, ...], meaning: str) -> None:
    assert {said(fail): meaning_of(said(fail)) for fail in fails} == {said(fail): meaning for fail in fails}


@pytest.mark.parametrize(
    "why", [UNAUTHORIZED, "401", "Authentication required", "HTTP 401: your plan has a quota", "invalid token"]
)
def test_what_is_like_a_401_is_of_the_token(why: str) -> None:
    assert meaning_of(why) == "credentials"


@pytest.mark.anyio
@pytest.mark.parametrize("fail", [*QUOTA, *PASSING, *FORBIDDEN], ids=lambda fail: fail.error_type)
async def test_only_a_401_spends_a_refresh(auth: OAuthFile, cloud: Cloud, fail: Fail) -> None:
    await auth.rejected(await auth.grant(CODE), said(fail))
    assert cloud.seen.sent("/oauth/token") == []


@pytest.mark.anyio
async def test_a_used_up_quota_shows_until_its_reset_with_the_servers_words(
    auth: OAuthFile, context: Context, cloud: Cloud
) -> None:
    ends = datetime.now(UTC) + timedelta(hours=3)
    cloud.set_quota("coding", cloud_quota.usages(week=100, week_ends=ends))
    await auth.rejected(await auth.grant(CODE), said(cloud_quota.WEEK_USED))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(auth.run)
        with anyio.fail_after(30):
            while f"{ends:%H:%M}" not in (status := await standing_elsewhere(context, cloud)).remedy:
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert status.state == "out_of_quota"
    assert "weekly (7-day) usage limit" in status.details["used_up"]
    assert (await auth.grant(CODE)).mark  # it can be tried all the same


@pytest.mark.anyio
async def test_a_used_up_quota_is_over_when_the_server_shows_that_something_is_left(
    auth: OAuthFile, cloud: Cloud
) -> None:
    await auth.rejected(await auth.grant(CODE), said(cloud_quota.CYCLE_USED))
    assert (await auth.status()).state == "out_of_quota"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(auth.run)
        with anyio.fail_after(30):
            while (await auth.status()).state != "ok":
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()


def test_a_shortage_is_over_after_its_reset_or_an_hour(context: Context) -> None:
    now = datetime.now(UTC)
    shortages = Shortages(context.folder)
    used = Quota("Weekly limit", 1.0, "0 %", now + timedelta(days=2))
    other = Quota("5h limit", 0.5, "50 %", now + timedelta(days=5))
    shortages.note("403", [used, other])
    found = Shortages(context.folder).now()
    assert found is not None
    assert (found.until, found.known) == (used.resets_at, True)
    shortages.note("403", [Quota("Weekly limit", 1.0, "0 %", now - timedelta(seconds=1))])
    found = shortages.now()
    assert found is not None
    assert not found.known
    assert timedelta(minutes=59) < found.until - now < timedelta(minutes=61)
    (context.folder / "used_up.json").write_text(json.dumps({"said": "", "until": now.timestamp() - 1, "known": True}))
    assert shortages.now() is None


def test_a_shortage_is_over_when_a_turn_seems_to_have_worked(context: Context) -> None:
    times = [0.0]
    shortages = Shortages(context.folder, lambda: times[0])
    shortages.note("402", [Quota("Weekly limit", 1.0, "0 %", datetime.fromtimestamp(86_400, UTC))])
    shortages.granted()
    times[0] = 500
    shortages.note("402 again", [Quota("Weekly limit", 1.0, "0 %", datetime.fromtimestamp(86_400, UTC))])
    shortages.granted()
    times[0] = 1000
    shortages.granted()
    assert shortages.now() is not None
    times[0] = 1101
    shortages.granted()
    assert shortages.now() is None


@pytest.mark.parametrize(
    "content", ["", "[]", '{"until": "x"}', '{"until": 1e999, "said": "", "known": true}', "[" * 9999]
)
def test_a_note_that_cannot_be_read_is_none(context: Context, content: str) -> None:
    (context.folder / "used_up.json").write_text(content)
    assert Shortages(context.folder).now() is None


@pytest.mark.anyio
async def test_no_refusal_shows_a_token_that_it_quotes(
    auth: OAuthFile, context: Context, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    grant: Grant = await auth.grant(CODE)
    token = seen(grant)["access_token"]
    for code in (401, 402, 403, 429):
        await auth.rejected(await auth.grant(CODE), f"{code} for {token}: usage limit")
    assert token not in f"{caplog.text} {await auth.status()} {context}"
    assert token[20:] not in caplog.text
