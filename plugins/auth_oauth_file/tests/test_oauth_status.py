"""The status: offline, quick, from any process, and nothing left out that the owner must know."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_auth_oauth_file import Settings
from nanokimi_auth_oauth_file.checks import check
from nanokimi_auth_oauth_file.keeping.state import KeeperState, note_refresh, write_state
from nanokimi_core import AuthStatus, Context
from testbed.cloud import Cloud
from testbed.subscription import CODE, account, new_login, put

pytestmark = pytest.mark.anyio


async def offline(context: Context, **table: Any) -> AuthStatus:
    """Ask an object that has done nothing before, for servers that nobody reaches."""
    return await account(context, **table).status()


async def test_it_says_who_until_when_and_how_the_login_is_kept(context: Context) -> None:
    put(context.folder / "credentials", login := new_login())
    await account(context).grant(CODE)
    status = await offline(context)
    assert (status.state, status.who, status.remedy) == ("ok", "u1", "")
    assert status.until == datetime.fromtimestamp(login["expires_at"], UTC)
    details = status.details
    assert (details["credentials"], details["refresher"]) == ("access-only", "keeper")
    assert details["served_to"] == f"kimi-code (uid {CODE.user[0]})"
    assert details["oauth_host"] == "https://auth.kimi.com"


async def test_the_times_of_the_refreshes_are_known_to_another_process(context: Context, cloud: Cloud) -> None:
    put(context.folder / "credentials", cloud.new_login(300, later=900))
    auth = account(context, cloud, look=0.01, usage_minutes=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(auth.run)
        with anyio.fail_after(30):
            while cloud.refreshes == 0 or "next_refresh" not in (await account(context, cloud).status()).details:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    details = (await account(context, cloud).status()).details
    last = datetime.strptime(details["last_refresh"], "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    following = datetime.strptime(details["next_refresh"], "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    assert abs(last - datetime.now(UTC)) < timedelta(minutes=2)
    assert timedelta(minutes=1) < following - last < timedelta(minutes=14)


async def test_a_refresh_that_fails_shows_since_when_and_why_while_the_token_lives(context: Context) -> None:
    put(context.folder / "credentials", new_login(600) | {"expires_in": 900})
    since = datetime.now(UTC) - timedelta(seconds=30)
    write_state(context.folder, KeeperState("away", "the login server is away", failing_since=since))
    status = await offline(context)
    assert status.state == "expiring"
    assert (status.details["failing_since"], status.details["cause"]) == (
        f"{since:%Y-%m-%d %H:%M} UTC",
        "the login server is away",
    )
    assert "NanoKimi goes on trying" in status.remedy
    write_state(context.folder, KeeperState("denied", "no", "set another refresher", failing_since=since))
    assert (await offline(context)).remedy == "set another refresher"


async def test_a_login_that_is_newer_than_the_keepers_trouble_is_not_in_trouble(context: Context) -> None:
    write_state(context.folder, KeeperState("away", "away", failing_since=datetime.now(UTC) - timedelta(hours=1)))
    put(context.folder / "credentials", new_login())
    assert (await offline(context)).state == "ok"
    write_state(context.folder, KeeperState("login_needed", "refused", failing_since=datetime.now(UTC)))
    assert (await offline(context)).state == "ok"  # that was another login: this one's token was not refused


async def test_a_login_that_is_brought_has_nothing_of_the_last_ones_trouble_and_refreshes(
    context: Context, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    write_state(context.folder, KeeperState("unwritable", "read-only", failing_since=now))
    note_refresh(context.folder, now)
    await account(context).import_login(put(tmp_path / "brought", new_login(600) | {"expires_in": 900}))
    status = await offline(context)
    assert status.state == "ok"
    assert "last_refresh" not in status.details


async def test_an_ended_token_is_nothing_to_be_mended(context: Context) -> None:
    put(context.folder / "credentials", new_login(-5000))
    status = await offline(context)
    assert (status.state, status.remedy) == ("ok", "")
    assert "NanoKimi refreshes it" in status.details["access_token"]


async def test_a_path_that_has_become_another_servers_is_said(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    await account(context).grant(CODE)
    status = await offline(context, region="ai")
    assert (status.state, status.details["problem"]) == ("login_needed", "misplaced")


async def test_doctor_looks_at_the_login_as_nanokimi_uses_it(context: Context) -> None:
    file = put(context.folder / "credentials", new_login())
    if os.geteuid() == 0:
        os.chown(file, 4321, 4321)
    login, privacy = await check(Settings(), context)
    assert (login.outcome, privacy.outcome) == ("ok", "ok")


async def test_doctor_tells_a_login_that_serves_from_one_that_can_be_refreshed(context: Context) -> None:
    folder = put(context.folder / "credentials", new_login()).parent
    for options in ("bind", "remount,bind,ro"):
        done = subprocess.run(["mount", "-o", options, folder, folder], capture_output=True, check=False)  # noqa: ASYNC221
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.decode().strip()}")
    try:
        login, _, refresh = await check(Settings(), context)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: ASYNC221
    assert (login.outcome, refresh.outcome) == ("ok", "failed")
    assert "is read-only: a refreshed token couldn't be saved" in refresh.cause
