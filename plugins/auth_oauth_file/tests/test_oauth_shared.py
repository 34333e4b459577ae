"""With ``credentials = "shared"``: the login's own directories in the containers, and one file, never two."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
import pytest

from nanokimi_auth_oauth_file import OAuthFile
from nanokimi_core import ConfigError, Context, Need
from testbed.cloud import Cloud
from testbed.subscription import AI, CLI, CODE, account, new_login, put, refusal

pytestmark = pytest.mark.anyio


def shared(context: Context, cloud: Cloud | None = None, **table: Any) -> OAuthFile:
    return account(context, cloud, credentials="shared", **table)


# ------------------------------------------------------------------- grants
async def test_kimi_code_gets_credentials_and_locks_as_shared_directories(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    grant = await shared(context).grant(CODE)
    assert [(mount.source, mount.target, mount.read_only) for mount in grant.mounts] == [
        (context.folder / "credentials", PurePosixPath("/home/node/.kimi-code/credentials"), False),
        (context.folder / "oauth", PurePosixPath("/home/node/.kimi-code/oauth"), False),
    ]
    assert all(mount.source.is_dir() for mount in grant.mounts)
    assert (grant.oauth_key, grant.expires_at) == ("oauth/kimi-code", None)


async def test_kimi_cli_gets_credentials_only_for_its_lock_lies_in_them(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    grant = await shared(context).grant(CLI)
    assert [mount.target for mount in grant.mounts] == [PurePosixPath("/home/node/.kimi/credentials")]
    assert grant.oauth_key == "oauth/kimi-code"


async def test_all_containers_share_one_directory(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    auth = shared(context)
    first, second = await auth.grant(CODE), await auth.grant(CODE)
    assert first == second


# ------------------------------------------------------------------- one file, never two
async def test_the_login_gets_the_name_that_the_agent_looks_for_and_is_never_copied(context: Context) -> None:
    file = put(context.folder / "credentials", new_login())
    inode = file.stat().st_ino
    grant = await shared(context, region="ai").grant(CODE)
    assert grant.oauth_key == f"oauth/{AI}"
    (only,) = (context.folder / "credentials").iterdir()
    assert (only.name, only.stat().st_ino) == (f"{AI}.json", inode)
    grant = await shared(context, region="ai").grant(CLI)
    (only,) = (context.folder / "credentials").iterdir()
    assert (only.name, only.stat().st_ino, grant.oauth_key) == ("kimi-code.json", inode, "oauth/kimi-code")


async def test_many_chats_that_start_at_once_get_the_one_renamed_file(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    auth = shared(context, region="ai")
    keys: list[str | None] = []

    async def one() -> None:
        keys.append((await auth.grant(CODE)).oauth_key)

    async with anyio.create_task_group() as chats:
        for _ in range(16):
            chats.start_soon(one)
    assert keys == [f"oauth/{AI}"] * 16


async def test_two_agents_that_need_two_names_are_told_to_use_two_logins(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    auth = shared(context, region="ai")
    await auth.grant(CODE)
    assert 'use = "oauth_file"' in await refusal(auth, CLI)
    assert (context.folder / "credentials" / f"{AI}.json").is_file()


async def test_two_agents_on_one_login_are_warned_about_once(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    put(context.folder / "credentials", new_login())
    auth = shared(context)
    for need in (CODE, CLI, CODE, CLI):
        await auth.grant(need)
    assert caplog.text.count("neither heeds the other's lock") == 1


async def test_nothing_is_renamed_in_somebodys_own_agent_home(context: Context, tmp_path: Path) -> None:
    home = tmp_path / ".kimi-code"
    file = put(home / "credentials", new_login())
    (home / "config.toml").touch()
    said = await refusal(shared(context, path=str(home), region="ai"))
    assert f"nanokimi auth import {file}" in said
    assert file.is_file()
    grant = await shared(context, path=str(home)).grant(CODE)
    assert [mount.source for mount in grant.mounts] == [home / "credentials", home / "oauth"]


# ------------------------------------------------------------------- NanoKimi only watches
async def test_the_keeper_stands_back_and_the_status_shows_what_it_sees(context: Context, cloud: Cloud) -> None:
    put(context.folder / "credentials", cloud.new_login(-5000))
    auth = shared(context, cloud, usage_minutes=0)
    with anyio.move_on_after(0.3):
        await auth.run()
    assert (await auth.grant(CODE)).expires_at is None
    status = await auth.status()
    assert (status.state, status.remedy, status.details["refresher"]) == ("ok", "", "the agents")
    assert status.until is not None
    assert status.until < datetime.now(UTC)
    assert "the agent refreshes it" in status.details["access_token"]
    with pytest.raises(ConfigError, match="the agents refresh the login"):
        await auth.refresh()
    assert cloud.refreshes == 0


async def test_a_refused_login_is_rejected_until_it_changes_and_nothing_is_refreshed(
    context: Context, cloud: Cloud
) -> None:
    put(context.folder / "credentials", cloud.new_login())
    auth = shared(context, cloud)
    old = await auth.grant(CODE)
    await auth.rejected(old, "401 invalid token")
    status = await auth.status()
    assert (status.state, status.who) == ("rejected", "u1")
    assert status.details["refused"].endswith("UTC: 401 invalid token")
    put(context.folder / "credentials", cloud.new_login(), str(old.oauth_key).removeprefix("oauth/"))
    assert (await auth.status()).state == "ok"
    await auth.rejected(old, "401 invalid token")
    assert (await auth.status()).state == "ok"
    assert cloud.refreshes == 0


async def test_the_fingerprint_stays_when_the_login_changes_and_the_mark_does_not(context: Context) -> None:
    put(context.folder / "credentials", new_login(-10))
    auth = shared(context)
    before = await auth.grant(CODE)
    put(context.folder / "credentials", new_login())
    after = await auth.grant(CODE)
    assert after.fingerprint == before.fingerprint
    assert after.mark != before.mark


async def test_a_login_of_kimi_clis_name_is_replaced_under_that_name(context: Context, tmp_path: Path) -> None:
    auth = shared(context, region="ai")
    await auth.import_login(put(tmp_path, new_login()))
    await auth.grant(Need("kimi-cli", CLI.agent_home, CLI.user))
    login = new_login()
    await auth.import_login(put(tmp_path, login))
    (only,) = (path for path in (context.folder / "credentials").iterdir() if path.suffix == ".json")
    assert (only.name, json.loads(only.read_bytes())) == ("kimi-code.json", login)


async def test_a_login_of_another_server_is_set_aside_and_not_lost(context: Context, tmp_path: Path) -> None:
    china, abroad = new_login(5000), new_login()
    await shared(context).import_login(put(tmp_path, china))
    await shared(context, region="ai").import_login(put(tmp_path, abroad))
    folder = context.folder / "credentials"
    assert json.loads((folder / "kimi-code.json.from-auth.kimi.com").read_bytes()) == china
    grant = await shared(context, region="ai").grant(CODE)
    assert grant.oauth_key == f"oauth/{AI}"
    assert json.loads((folder / f"{AI}.json").read_bytes()) == abroad
    await shared(context).import_login(folder / "kimi-code.json.from-auth.kimi.com")
    assert (await shared(context).grant(CODE)).oauth_key == "oauth/kimi-code"
    assert (await shared(context, region="ai").grant(CODE)).oauth_key == f"oauth/{AI}"
