"""What the account has left: asked at intervals, kept for the status of any process, told to the owner in time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from nanokimi_auth_oauth_file import OAuthFile, Settings
from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem, parse
from nanokimi_auth_oauth_file.disk.store import Store
from nanokimi_auth_oauth_file.model_api.refused import Shortages
from nanokimi_auth_oauth_file.model_api.usage import Usages
from nanokimi_auth_oauth_file.model_api.watch import Watch
from nanokimi_core import Context, Quota
from nanokimi_core.testing import FakeClock
from testbed.cloud import Cloud, Drop, Fail
from testbed.cloud_quota import usages
from testbed.context import PluginContext
from testbed.subscription import account, new_login, put

OFTEN = 0.0002  # minutes


@asynccontextmanager
async def running(auth: OAuthFile) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(auth.run)
        yield
        tasks.cancel_scope.cancel()


def watching(context: Context, cloud: Cloud, **table: Any) -> Watch:
    """Make what looks at the account at intervals, to look when a test says so."""
    servers = {"oauth_host": cloud.oauth_host, "base_url": cloud.base_url_coding}
    known = Settings.model_validate(servers | table)

    async def login() -> Login | None:
        try:
            return Store(known, context.folder).find().login
        except LoginProblem:
            return None

    return Watch(known, context, login, Usages(known, context.folder), Shortages(context.folder))


async def asked(cloud: Cloud, times: int) -> None:
    """Wait until the server was asked so often."""
    with anyio.fail_after(30):
        while len(cloud.seen.sent("/usages")) < times:
            await anyio.sleep(0.005)


def told(context: Context) -> set[str]:
    assert isinstance(context, PluginContext)
    return set(context.told)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["access-only", "shared"])
async def test_what_is_left_shows_in_the_status_of_another_process_with_its_age(
    context: Context, cloud: Cloud, mode: str
) -> None:
    put(context.folder / "credentials", login := cloud.new_login())
    async with running(account(context, cloud, credentials=mode, usage_minutes=OFTEN)):
        await asked(cloud, 2)
    request = cloud.seen.sent("/usages")[0]
    assert (request.token, request.path) == (login["access_token"], "/coding/v1/usages")
    assert request.headers["user-agent"].startswith("NanoKimi/")
    status = await account(context, cloud, credentials=mode).status()
    assert {quota.name: quota.left for quota in status.quotas} == {"Weekly limit": "75 %", "5h limit": "90 %"}
    assert all(quota.resets_at is not None for quota in status.quotas)
    assert "(0 minutes ago)" in status.details["quotas_asked"]


@pytest.mark.anyio
async def test_the_owner_hears_once_at_80_percent_with_the_time_of_reset_and_once_more_when_it_is_used_up(
    context: Context, cloud: Cloud
) -> None:
    put(context.folder / "credentials", cloud.new_login())
    ends = datetime.now(UTC) + timedelta(days=2)
    watch = watching(context, cloud)
    for part in (79, 80, 91, 100):
        cloud.set_quota("coding", usages(week=part, week_ends=ends))
        await watch.look()
        if part == 79:
            assert told(context) == set()
    reset = f"{ends:%Y-%m-%d %H:%M} UTC"
    assert told(context) == {
        f"Weekly limit is used up to 80 % or more; whole again at {reset}",
        f"Weekly limit is used up; whole again at {reset}",
    }


@pytest.mark.anyio
async def test_a_server_without_such_a_page_is_asked_once_and_nothing_is_said(
    context: Context, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    put(context.folder / "credentials", cloud.new_login())
    cloud.break_path("/usages", Fail(404, "url.not_found", "there is nothing here"))
    watch = watching(context, cloud)
    for _ in range(3):
        await watch.look()
    assert len(cloud.seen.sent("/usages")) == 1
    assert (await account(context, cloud).status()).quotas == ()
    assert (told(context), caplog.text) == (set(), "")


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [Fail(500, "server_error", "no"), Fail(401, "auth", "no"), Drop()], ids=str)
async def test_a_server_that_gives_no_answer_costs_nothing_and_is_asked_again(
    context: Context, cloud: Cloud, answer: Fail | Drop, caplog: pytest.LogCaptureFixture
) -> None:
    put(context.folder / "credentials", cloud.new_login())
    cloud.break_path("/usages", answer)
    watch = watching(context, cloud)
    for _ in range(2):
        await watch.look()
    assert len(cloud.seen.sent("/usages")) == 2
    assert (cloud.refreshes, told(context), caplog.text) == (0, set(), "")


@pytest.mark.anyio
@pytest.mark.parametrize("answer", ["no JSON", "[" * 100_000, "7", json.dumps({"usage": {"limit": "x"}})], ids=len)
async def test_an_answer_that_is_not_understood_changes_nothing(context: Context, cloud: Cloud, answer: str) -> None:
    put(context.folder / "credentials", cloud.new_login())
    watch = watching(context, cloud)
    await watch.look()
    cloud.set_quota("coding", answer)
    await watch.look()
    assert len(cloud.seen.sent("/usages")) == 2
    assert [quota.left for quota in (await account(context, cloud).status()).quotas] == ["90 %", "75 %"]


class Counting(Usages):
    """Counts in place of asking."""

    asked = 0

    async def ask(self, token: SecretStr) -> tuple[Quota, ...]:
        self.asked += 1
        return ()


def test_a_refusal_brings_the_next_look_up_forward_but_not_to_more_than_one_a_minute(context: Context) -> None:
    clock = FakeClock()

    async def a_day() -> list[int]:
        usages = Counting(Settings(), context.folder)
        known, seen = parse(json.dumps(new_login(90_000)).encode()), []

        async def login() -> Login:
            return known

        watch = Watch(Settings(usage_minutes=60), context, login, usages, Shortages(context.folder))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            for refusals, seconds in ((0, 1), (0, 3000), (9, 1), (9, 30), (9, 31), (0, 3000), (0, 1000)):
                for _ in range(refusals):
                    watch.soon()
                await clock.advance(seconds)
                seen.append(usages.asked)
            tasks.cancel_scope.cancel()
        return seen

    backend, options = clock.backend()
    assert anyio.run(a_day, backend=backend, backend_options=options) == [1, 1, 2, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("table", "tells"),
    [
        ({}, True),
        ({"region": "ai"}, True),
        ({"usage_minutes": 0}, False),
        ({"base_url": "https://proxy.example/v1"}, False),
        ({"base_url": "https://proxy.example/coding/v1"}, True),
    ],
)
def test_only_a_server_that_is_known_to_tell_is_asked(context: Context, table: dict[str, Any], tells: bool) -> None:
    assert Usages(Settings.model_validate(table), context.folder).tells is tells


@pytest.mark.anyio
async def test_an_ended_token_is_not_sent(context: Context, cloud: Cloud) -> None:
    put(context.folder / "credentials", cloud.new_login(-10))
    await watching(context, cloud).look()
    assert cloud.seen.sent("/usages") == []


@pytest.mark.anyio
async def test_what_another_account_had_left_is_forgotten_with_its_login(context: Context, cloud: Cloud) -> None:
    file = put(context.folder / "credentials", cloud.new_login())
    auth = account(context, cloud)
    await watching(context, cloud).look()
    assert (await auth.status()).quotas
    await auth.import_login(put(context.folder, new_login(9000)))
    assert (await auth.status()).quotas == ()
    assert file.is_file()


# ------------------------------------------------------------------- a login that ends
@pytest.mark.anyio
async def test_the_owner_hears_of_a_login_that_ends_and_cannot_be_refreshed(context: Context, cloud: Cloud) -> None:
    put(context.folder / "credentials", cloud.new_login() | {"refresh_token": ""})
    await watching(context, cloud, usage_minutes=0).look()
    (said,) = told(context)
    assert "can't be refreshed; log in again with: nanokimi auth login" in said


@pytest.mark.anyio
async def test_a_login_that_can_be_refreshed_or_lasts_is_no_warning(context: Context, cloud: Cloud) -> None:
    watch = watching(context, cloud, usage_minutes=0)
    await watch.look()
    for login in (cloud.new_login(), cloud.new_login(7 * 86_400) | {"refresh_token": ""}):
        put(context.folder / "credentials", login)
        await watch.look()
    assert told(context) == set()


# ------------------------------------------------------------------- what was kept
KEPT = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at", "quotas", "name", "used"]), inner)
    ),
    max_leaves=10,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KEPT | st.fixed_dictionaries({"at": KEPT, "quotas": st.lists(KEPT, max_size=3)}))
def test_whatever_was_kept_is_read_or_forgotten(context: Context, content: Any) -> None:
    (context.folder / "usage.json").write_text(json.dumps(content))
    Usages(Settings(), context.folder).last()
