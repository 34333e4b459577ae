"""What an account has left, asked of a server on this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute
from pydantic import SecretStr

from nanokimi_auth_apikey import ApiKey, Settings
from nanokimi_core import Need, __version__
from nanokimi_core.testing import FakeClock
from testbed.cloud import Cloud, Drop, Fail
from testbed.cloud_quota import balance, usages
from testbed.context import PluginContext

pytestmark = pytest.mark.anyio

CODE = Need("kimi-code", PurePosixPath("/home/node/.kimi-code"), (1000, 1000))
KEY, SPARE = "sk-canary-left-0123456789-llll", "sk-canary-more-0123456789-mmmm"
MEMBER, OTHER_MEMBER = "sk-kimi-canary-0123456789-kkkk", "sk-kimi-canary-0123456789-oooo"
BALANCE, USAGES = "/users/me/balance", "/usages"
SOON = 0.0005  # minutes


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def account(cloud: Cloud, context: PluginContext, *keys: str, minutes: float = 15) -> ApiKey:
    """Make an account of these keys, which the server knows."""
    sources = []
    for number, key in enumerate(keys or (KEY,)):
        cloud.add_key(key)
        file = context.folder.parent / f"key-{number}"
        file.write_text(key)
        file.chmod(0o600)
        sources.append({"file": str(file)})
    member = keys and keys[0].startswith("sk-kimi-")
    table: dict[str, Any] = {"account": "kimi-code", "base_url": cloud.base_url_coding} if member else {}
    table = {"base_url": cloud.base_url_platform, **table, "keys": sources, "usage_minutes": minutes}
    return ApiKey(Settings.model_validate(table), context)


@asynccontextmanager
async def running(auth: ApiKey) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(auth.run)
        yield
        tasks.cancel_scope.cancel()


async def until(true: Callable[[], object]) -> None:
    with anyio.fail_after(30):
        while not true():
            await anyio.sleep(0.005)


def noted(folder: Path) -> str:
    """What the files of a folder say; one of them may just be taking another's place."""
    texts = []
    for file in folder.glob("*"):
        with suppress(FileNotFoundError):
            texts.append(file.read_text())
    return "".join(texts)


async def given(auth: ApiKey) -> str:
    grant = await auth.grant(CODE)
    assert grant.api_key is not None
    return grant.api_key.get_secret_value()


async def refuse(auth: ApiKey, why: str) -> None:
    await auth.rejected(await auth.grant(CODE), why)


def let_pass(context: PluginContext, seconds: float) -> None:
    """Make everything that is remembered so much older."""
    for file in [*context.folder.glob("refused/*.json"), *context.folder.glob("usage/*.json")]:
        record = json.loads(file.read_text())
        file.write_text(json.dumps({**record, **{at: record[at] - seconds for at in ("at", "until") if at in record}}))


# ------------------------------------------------------------------- asking
async def test_status_tells_the_balance_and_who_asked_for_it(cloud: Cloud, context: PluginContext) -> None:
    status = await account(cloud, context).status()
    assert [(quota.name, quota.left) for quota in status.quotas] == [("Balance", "49.59")]
    assert status.details["left"].startswith("Balance 49.59, as of ")
    (asked,) = cloud.seen.sent(BALANCE)
    assert (asked.method, asked.path, asked.token) == ("GET", "/v1/users/me/balance", KEY)
    assert asked.headers["user-agent"] == f"NanoKimi/{__version__}"


async def test_status_tells_what_a_member_has_used_of_the_plan(cloud: Cloud, context: PluginContext) -> None:
    ends = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    cloud.set_quota("coding", usages(83, 10, week_ends=ends))
    status = await account(cloud, context, MEMBER).status()
    assert {quota.name: (quota.used, quota.left) for quota in status.quotas} == {
        "Weekly limit": (0.83, "17 %"),
        "5h limit": (0.1, "90 %"),
    }
    assert max(quota.resets_at or ends for quota in status.quotas) == ends
    assert [request.path for request in cloud.seen.requests] == ["/coding/v1/usages"]


async def test_each_of_several_keys_has_what_it_has_left(cloud: Cloud, context: PluginContext) -> None:
    cloud.set_quota("platform", balance(3.5), token=SPARE)
    status = await account(cloud, context, KEY, SPARE).status()
    assert "left: Balance 49.59" in status.details["key 1"]
    assert "in reserve; left: Balance 3.50" in status.details["key 2"]


async def test_the_server_is_not_asked_twice_in_a_minute_nor_for_a_status_while_it_is_asked_anyway(
    cloud: Cloud, context: PluginContext
) -> None:
    auth = account(cloud, context)
    for _ in range(3):
        assert (await auth.status()).quotas
    assert len(cloud.seen.sent(BALANCE)) == 1
    let_pass(context, 61)
    await auth.status()
    assert len(cloud.seen.sent(BALANCE)) == 2
    let_pass(context, 3600)
    async with running(auth):
        await until(lambda: len(cloud.seen.sent(BALANCE)) == 3)
        let_pass(context, 300)
        await auth.status()
    assert len(cloud.seen.sent(BALANCE)) == 3


async def test_never_means_never(cloud: Cloud, context: PluginContext) -> None:
    auth = account(cloud, context, minutes=0)
    await auth.run()
    status = await auth.status()
    assert (status.state, status.quotas) == ("ok", ())
    assert not cloud.seen.requests


async def test_storing_a_key_asks_no_server(cloud: Cloud, context: PluginContext) -> None:
    auth = ApiKey(Settings(base_url=cloud.base_url_platform), context)
    assert (await auth.set_key(SecretStr(KEY))).state == "ok"
    assert not cloud.seen.requests


async def test_a_server_that_does_not_tell_is_asked_once_a_day(cloud: Cloud, context: PluginContext) -> None:
    cloud.break_path(BALANCE, Fail(404, "url.not_found", "The requested resource was not found"))
    auth = account(cloud, context)
    for _ in range(2):
        assert (await auth.status()).quotas == ()
        let_pass(context, 40_000)
    assert len(cloud.seen.sent(BALANCE)) == 1
    let_pass(context, 10_000)
    await auth.status()
    assert len(cloud.seen.sent(BALANCE)) == 2


@pytest.mark.parametrize(
    "trouble",
    [
        Fail(500, "server_error", "oops"),
        Fail(429, "rate_limit_reached_error", "later"),
        Fail(302, "moved", "elsewhere", {"location": "/v1/models"}),
        Drop(),
        "<html>the hotel's network</html>",
        "[" * 50_000,
        "9" * 100_000,
        {"data": {"available_balance": None}},
        None,
    ],
    ids=["500", "429", "302", "drop", "html", "deep", "huge", "null", "none"],
)
async def test_an_answer_that_says_nothing_leaves_what_was_known_with_its_time(
    cloud: Cloud, context: PluginContext, trouble: Any
) -> None:
    auth = account(cloud, context)
    before = await auth.status()
    let_pass(context, 7200)
    if isinstance(trouble, Fail | Drop):
        cloud.break_path(BALANCE, trouble)
    else:
        cloud.set_quota("platform", trouble)
    after = await auth.status()
    assert (after.state, after.quotas) == ("ok", before.quotas)
    assert after.details["left"] < before.details["left"]  # an earlier time
    assert [request.path for request in cloud.seen.requests] == ["/v1/users/me/balance"] * 2  # led nowhere else


async def test_what_was_left_a_day_ago_is_no_longer_told(cloud: Cloud, context: PluginContext) -> None:
    auth = account(cloud, context)
    await auth.status()
    cloud.break_path(BALANCE, Fail(500, "server_error", "oops"))
    let_pass(context, 90_000)
    status = await auth.status()
    assert (status.quotas, "left" in status.details) == ((), False)


async def test_a_server_that_is_away_or_a_proxy_that_can_not_be_used_is_no_fault(
    context: PluginContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cloud() as gone:
        auth = account(gone, context)
    assert (await auth.status()).state == "ok"
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:1")
    assert (await auth.status()).state == "ok"


class TestLate:
    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest, nanokimi_clock: FakeClock) -> Any:
        return nanokimi_clock.backend(request.param)

    async def test_a_server_that_never_answers_holds_up_a_status_for_less_than_five_seconds(
        self, context: PluginContext, nanokimi_clock: FakeClock, tmp_path: Path
    ) -> None:
        states = []

        async def ask() -> None:
            states.append((await auth.status()).state)

        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tg:
            port = listener.extra(SocketAttribute.local_port)  # noqa: S610  # no database
            put = {"file": str(tmp_path / "k")}
            (tmp_path / "k").write_text(KEY)
            (tmp_path / "k").chmod(0o600)
            auth = ApiKey(Settings.model_validate({"key": put, "base_url": f"http://127.0.0.1:{port}/v1"}), context)
            tg.start_soon(ask)
            await nanokimi_clock.settle()
            assert states == []
            await nanokimi_clock.advance(4.5)
            assert states == ["ok"]


# ------------------------------------------------------------------- warning
async def test_the_owner_is_warned_once_at_80_percent_and_once_at_the_end(cloud: Cloud, context: PluginContext) -> None:
    ends = datetime.now(UTC) + timedelta(days=2)
    said = f"whole again at {ends:%Y-%m-%d %H:%M} UTC"
    cloud.set_quota("coding", usages(79, week_ends=ends))
    async with running(account(cloud, context, MEMBER, minutes=SOON)):
        for week, told in ((79, 0), (80, 1), (95, 1), (100, 2), (100, 2)):
            cloud.set_quota("coding", usages(week, week_ends=ends))
            before = len(cloud.seen.sent(USAGES))
            await until(lambda before=before: len(cloud.seen.sent(USAGES)) >= before + 3)  # type: ignore[misc]
            assert len(context.told) == told
    assert context.told == [
        f"API key …kkkk: Weekly limit is used up to 80 % or more; {said}",
        f"API key …kkkk: Weekly limit is used up; {said}",
    ]


async def test_the_owner_is_warned_when_a_fifth_of_a_balance_is_left_since_it_was_filled_up(
    cloud: Cloud, context: PluginContext
) -> None:
    auth = account(cloud, context)
    for available, used in ((50.0, 0.0), (40.0, 0.2), (10.0, 0.8), (10.1, 0.798), (200.0, 0.0), (100.0, 0.5), (0, 1)):
        cloud.set_quota("platform", balance(available))
        let_pass(context, 61)
        (quota,) = (await auth.status()).quotas
        assert quota.used == pytest.approx(used, abs=0.001)
    cloud.set_quota("platform", balance(10.0))
    async with running(account(cloud, context, minutes=SOON)):
        await until(lambda: len(cloud.seen.sent(BALANCE)) > 8)
        cloud.set_quota("platform", balance(1.0))
        await until(lambda: context.told)
    assert context.told == ["API key …llll: Balance is used up to 80 % or more"]


# ------------------------------------------------------------------- what follows from it
async def test_a_key_without_a_balance_is_passed_over_until_it_is_filled_up(
    cloud: Cloud, context: PluginContext
) -> None:
    auth = account(cloud, context, KEY, SPARE)
    cloud.set_quota("platform", balance(0.0, 0.0), token=KEY)
    status = await auth.status()
    assert (status.state, status.who, await given(auth)) == ("ok", "…mmmm", SPARE)
    assert "out of quota (the balance is used up)" in status.details["key 1"]
    cloud.set_quota("platform", balance(20.0), token=KEY)
    let_pass(context, 61)
    assert (await auth.status()).who == "…llll"
    assert await given(auth) == KEY


async def test_an_empty_balance_that_nobody_has_looked_at_for_an_hour_keeps_no_key_aside(
    cloud: Cloud, context: PluginContext
) -> None:
    auth = account(cloud, context, KEY, SPARE)
    cloud.set_quota("platform", balance(0.0, 0.0), token=KEY)
    await auth.status()
    let_pass(context, 3500)
    assert await given(auth) == SPARE
    let_pass(context, 200)
    assert await given(auth) == KEY


async def test_a_single_key_without_a_balance_is_out_of_quota_and_given_all_the_same(
    cloud: Cloud, context: PluginContext
) -> None:
    cloud.set_quota("platform", balance(-0.5, 0.0))
    auth = account(cloud, context)
    assert (await auth.status()).state == "out_of_quota"
    assert await given(auth) == KEY


async def test_a_key_that_the_server_does_not_know_stays_aside_until_it_does(
    cloud: Cloud, context: PluginContext
) -> None:
    auth = account(cloud, context, KEY, SPARE, minutes=SOON)
    cloud.remove_key(KEY)
    async with running(auth):
        await refuse(auth, "401 Invalid Authentication")
        await until(lambda: '"confirmed":true' in noted(context.folder / "refused"))
        assert await given(auth) == SPARE
        cloud.add_key(KEY)
        await until(lambda: len(context.told) == 2)
        assert await given(auth) == KEY
    assert context.told[1] == "the API key …llll works again"


async def test_the_server_is_asked_about_a_refusal_at_once(cloud: Cloud, context: PluginContext) -> None:
    auth = account(cloud, context, KEY, SPARE)
    async with running(auth):
        await until(lambda: len(list(context.folder.glob("usage/*.json"))) == 2)
        cloud.set_quota("platform", balance(0.0, 0.0), token=KEY)
        await refuse(auth, "429 exceeded_current_quota_error")
        await until(lambda: '"confirmed":true' in noted(context.folder / "refused"))
    assert len(cloud.seen.sent(BALANCE)) == 3  # of the other key nothing was asked


async def test_a_used_up_plan_keeps_its_key_aside_until_the_reset_or_until_something_is_bought(
    cloud: Cloud, context: PluginContext
) -> None:
    auth = account(cloud, context, MEMBER, OTHER_MEMBER)
    full = usages(100, week_ends=datetime.now(UTC) + timedelta(days=3))
    cloud.set_quota("coding", full, token=MEMBER)
    await refuse(auth, "403 access_terminated_error: You've reached your weekly (7-day) usage limit.")
    await auth.status()
    let_pass(context, 2.9 * 86_400)
    await auth.status()
    assert await given(auth) == OTHER_MEMBER
    wallet = {"balance": {"type": "BOOSTER", "amount": 10**9, "amountLeft": 10**9}}
    cloud.set_quota("coding", {**full, "boosterWallet": wallet}, token=MEMBER)
    let_pass(context, 61)
    await auth.status()
    assert await given(auth) == MEMBER


async def test_a_refusal_that_the_server_does_not_confirm_lasts_its_time(cloud: Cloud, context: PluginContext) -> None:
    auth = account(cloud, context, KEY, SPARE)
    await refuse(auth, "401 Invalid Authentication")
    for minutes, serves in ((7, SPARE), (7, SPARE), (2, KEY)):
        let_pass(context, minutes * 60)
        assert (await auth.status()).quotas
        assert await given(auth) == serves


# ------------------------------------------------------------------- canaries
async def test_asking_shows_the_key_to_the_server_only(
    cloud: Cloud, context: PluginContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    auth = account(cloud, context, KEY, SPARE, minutes=SOON)
    cloud.remove_key(SPARE)
    async with running(auth):
        await until(lambda: len(cloud.seen.sent(BALANCE)) > 4)
        cloud.break_path(BALANCE, Fail(500, "server_error", f"what is {KEY} and {SPARE}?"))
        await until(lambda: len(cloud.seen.sent(BALANCE)) > 8)
        status = await auth.status()
    kept = "".join(file.read_text() for file in context.folder.rglob("*") if file.is_file())
    assert "quotas" in kept
    seen = "".join([caplog.text, kept, repr(status), *context.told])
    sent = "".join(request.token for request in cloud.seen.requests)
    for key in (KEY, SPARE):
        assert key[3:-4] not in seen
        assert key[3:-4] in sent
