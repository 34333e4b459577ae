from __future__ import annotations

import json
import logging
import os
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
import pytest

from nanokimi_auth_oauth_file import OAuthFile, Settings, nanokimi_auths
from nanokimi_auth_oauth_file.checks import check
from nanokimi_core import Auth, ConfigError, Context, ImportsLogin, LoginNeeded, Need, write_private
from testbed.cloud_oauth import OAuth

pytestmark = pytest.mark.anyio

USER = (os.geteuid() or 1000, os.getegid() or 1000)
CODE = Need("kimi-code", PurePosixPath("/home/node/.kimi-code"), USER)
CLI = Need("kimi-cli", PurePosixPath("/home/node/.kimi"), USER)
AI = "kimi-code-env-0e4f99c69cc27850"


def account(context: Context, **table: Any) -> OAuthFile:
    return OAuthFile(Settings.model_validate(table), context)


def new_login(expires_in: int = 900, **changes: Any) -> dict[str, Any]:
    """What ``kimi login`` writes, from the stand-in login server."""
    return OAuth().new_login(expires_in) | changes


def put(folder: Path, login: Any, name: str = "kimi-code") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    write_private(file, login if isinstance(login, bytes) else json.dumps(login).encode())
    return file


async def refusal(auth: OAuthFile, need: Need = CODE) -> str:
    with pytest.raises(LoginNeeded) as caught:
        await auth.grant(need)
    return str(caught.value)


# ------------------------------------------------------------------- grants
async def test_kimi_code_gets_credentials_and_locks_as_shared_directories(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    grant = await account(context).grant(CODE)
    assert [(mount.source, mount.target, mount.read_only) for mount in grant.mounts] == [
        (context.folder / "credentials", PurePosixPath("/home/node/.kimi-code/credentials"), False),
        (context.folder / "oauth", PurePosixPath("/home/node/.kimi-code/oauth"), False),
    ]
    assert all(mount.source.is_dir() for mount in grant.mounts)
    assert (grant.provider, grant.base_url, grant.model) == (
        "kimi",
        "https://api.kimi.com/coding/v1",
        "kimi-for-coding",
    )
    assert (grant.api_key, grant.oauth_key, grant.environment) == (None, "oauth/kimi-code", ())
    assert grant.context_size == 262_144
    assert grant.capabilities == {"thinking", "image_in", "video_in"}
    assert grant.expires_at is None


async def test_kimi_cli_gets_credentials_only_for_its_lock_lies_in_them(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    grant = await account(context).grant(CLI)
    assert [mount.target for mount in grant.mounts] == [PurePosixPath("/home/node/.kimi/credentials")]
    assert grant.oauth_key == "oauth/kimi-code"


async def test_other_servers_are_named_in_the_environment_and_no_secret_is(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    grant = await account(context, region="ai").grant(CODE)
    assert grant.environment == (
        ("KIMI_CODE_BASE_URL", "https://api.kimi.ai/coding/v1"),
        ("KIMI_CODE_OAUTH_HOST", "https://auth.kimi.ai"),
    )
    assert grant.base_url == "https://api.kimi.ai/coding/v1"


async def test_all_containers_share_one_directory(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    auth = account(context)
    first, second = await auth.grant(CODE), await auth.grant(CODE)
    assert first == second


async def test_an_agent_that_is_not_known_is_told_so(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    assert 'not the agent "other"' in await refusal(account(context), Need("other", CODE.agent_home, CODE.user))


# ------------------------------------------------------------------- one file, never two
async def test_the_login_gets_the_name_that_the_agent_looks_for_and_is_never_copied(context: Context) -> None:
    file = put(context.folder / "credentials", new_login())
    inode = file.stat().st_ino
    grant = await account(context, region="ai").grant(CODE)
    assert grant.oauth_key == f"oauth/{AI}"
    (only,) = (context.folder / "credentials").iterdir()
    assert (only.name, only.stat().st_ino) == (f"{AI}.json", inode)
    grant = await account(context, region="ai").grant(CLI)
    (only,) = (context.folder / "credentials").iterdir()
    assert (only.name, only.stat().st_ino, grant.oauth_key) == ("kimi-code.json", inode, "oauth/kimi-code")


async def test_many_chats_that_start_at_once_get_the_one_renamed_file(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    auth = account(context, region="ai")
    keys: list[str | None] = []

    async def one() -> None:
        keys.append((await auth.grant(CODE)).oauth_key)

    async with anyio.create_task_group() as chats:
        for _ in range(16):
            chats.start_soon(one)
    assert keys == [f"oauth/{AI}"] * 16


async def test_two_agents_that_need_two_names_are_told_to_use_two_logins(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    auth = account(context, region="ai")
    await auth.grant(CODE)
    assert 'use = "oauth_file"' in await refusal(auth, CLI)
    assert (context.folder / "credentials" / f"{AI}.json").is_file()


async def test_two_agents_on_one_login_are_warned_about_once(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    put(context.folder / "credentials", new_login())
    auth = account(context)
    for need in (CODE, CLI, CODE, CLI):
        await auth.grant(need)
    assert caplog.text.count("neither heeds the other's lock") == 1


async def test_a_login_is_not_used_with_another_server_than_its_own(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    await account(context).grant(CODE)
    for need in (CODE, CLI):
        said = await refusal(account(context, region="ai"), need)
        assert "is from https://auth.kimi.com" in said
    assert (await account(context, base_url="https://proxy.example/v1").grant(CODE)).oauth_key != "oauth/kimi-code"
    assert (await account(context).grant(CODE)).oauth_key == "oauth/kimi-code"


async def test_nothing_is_renamed_in_somebodys_own_agent_home(context: Context, tmp_path: Path) -> None:
    home = tmp_path / ".kimi-code"
    file = put(home / "credentials", new_login())
    (home / "config.toml").touch()
    said = await refusal(account(context, path=str(home), region="ai"))
    assert f"nanokimi auth import {file}" in said
    assert file.is_file()
    grant = await account(context, path=str(home)).grant(CODE)
    assert [mount.source for mount in grant.mounts] == [home / "credentials", home / "oauth"]


# ------------------------------------------------------------------- how a login can stand
async def test_no_login_says_how_to_get_one(context: Context) -> None:
    auth = account(context)
    said = await refusal(auth)
    assert "there is no login" in said
    assert "nanokimi auth import FILE" in said
    status = await auth.status()
    assert (status.state, status.details["problem"]) == ("login_needed", "missing")
    assert "nanokimi auth import FILE" in status.remedy


async def test_a_login_that_lasts_is_ok_until_then_and_names_its_account(context: Context) -> None:
    login = new_login()
    put(context.folder / "credentials", login)
    status = await account(context).status()
    assert (status.state, status.who, status.remedy) == ("ok", "u1", "")
    assert status.until == datetime.fromtimestamp(login["expires_at"], UTC)
    assert status.details["access_token"].startswith("lasts until ")
    assert status.details["file"] == str(context.folder / "credentials/kimi-code.json")


async def test_an_ended_access_token_that_can_be_refreshed_is_fine(context: Context) -> None:
    put(context.folder / "credentials", new_login(-5000))
    auth = account(context)
    assert (await auth.grant(CODE)).expires_at is None
    status = await auth.status()
    assert (status.state, status.remedy) == ("ok", "")
    assert status.until is not None
    assert status.until < datetime.now(UTC)
    assert "refreshes it" in status.details["access_token"]


@pytest.mark.parametrize("changes", [{"access_token": "", "refresh_token": ""}, {"access_token": ""}])
async def test_empty_tokens_are_a_revoked_login(context: Context, changes: dict[str, Any]) -> None:
    put(context.folder / "credentials", new_login(**changes, expires_at=0))
    auth = account(context)
    assert "has been revoked" in await refusal(auth)
    status = await auth.status()
    assert (status.state, status.details["problem"]) == ("login_needed", "revoked")


async def test_a_login_without_refresh_token_serves_until_it_ends(context: Context) -> None:
    login = new_login(refresh_token="")
    put(context.folder / "credentials", login)
    auth = account(context)
    until = datetime.fromtimestamp(login["expires_at"], UTC)
    assert (await auth.grant(CODE)).expires_at == until
    status = await auth.status()
    assert (status.state, status.until) == ("expiring", until)
    assert "can't be refreshed" in status.remedy


async def test_an_ended_login_without_refresh_token_is_over(context: Context) -> None:
    put(context.folder / "credentials", new_login(-10, refresh_token=""))
    auth = account(context)
    assert "has ended and can't be refreshed" in await refusal(auth)
    assert (await auth.status()).details["problem"] == "expired"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"{]", "it is not JSON"),
        (b'{"access_token": 1}', "its access_token is not a string"),
        (b" " * 70_000, "larger than"),
    ],
)
async def test_a_broken_file_is_named_with_the_reason(context: Context, content: bytes, said: str) -> None:
    file = put(context.folder / "credentials", content)
    auth = account(context)
    text = await refusal(auth)
    assert said in text
    assert str(file) in text
    status = await auth.status()
    assert (status.state, status.details["problem"]) == ("login_needed", "broken")


async def test_a_link_or_a_directory_in_the_files_place_is_broken(context: Context, tmp_path: Path) -> None:
    target = put(tmp_path / "elsewhere", new_login())
    folder = context.folder / "credentials"
    folder.mkdir()
    (folder / "kimi-code.json").symlink_to(target)
    assert "is a link" in await refusal(account(context))
    (folder / "kimi-code.json").unlink()
    (folder / "kimi-code.json").mkdir()
    assert "not a regular file" in await refusal(account(context))


async def test_a_path_that_is_a_file_names_the_import(context: Context, tmp_path: Path) -> None:
    file = put(tmp_path, new_login())
    assert f"nanokimi auth import {file}" in await refusal(account(context, path=str(file)))


# ------------------------------------------------------------------- fingerprint
async def test_a_refresh_in_place_or_a_new_login_needs_no_restart(context: Context) -> None:
    folder = context.folder / "credentials"
    put(folder, new_login(-10))
    auth = account(context)
    before = (await auth.grant(CODE)).fingerprint
    put(folder, new_login())
    assert (await auth.grant(CODE)).fingerprint == before
    assert (await account(context).grant(CODE)).fingerprint == before


async def test_the_fingerprint_changes_with_all_that_an_agent_was_started_with(
    context: Context, tmp_path: Path
) -> None:
    put(tmp_path / "other/credentials", new_login())
    put(context.folder / "credentials", new_login())
    tables: list[dict[str, Any]] = [
        {},
        {"model": "k3"},
        {"context_size": 100_000},
        {"capabilities": []},
        {"path": str(tmp_path / "other")},
        {"base_url": "https://proxy.example/v1"},
    ]
    seen = [(await account(context, **table).grant(CODE)).fingerprint for table in tables]
    seen.append((await account(context).grant(CLI)).fingerprint)
    assert len(set(seen)) == len(seen)


# ------------------------------------------------------------------- refused by the server
async def test_a_refused_login_is_rejected_until_it_changes(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    auth = account(context)
    await auth.rejected(await auth.grant(CODE), "401 invalid token")
    status = await auth.status()
    assert (status.state, status.who) == ("rejected", "u1")
    assert status.details["refused"].endswith("UTC: 401 invalid token")
    assert (await account(context).status()).state == "rejected"
    assert "nanokimi auth import FILE" in status.remedy
    put(context.folder / "credentials", new_login())
    assert (await auth.status()).state == "ok"


async def test_the_commands_name_an_instance_of_another_name(context: Context) -> None:
    context.name = "work"
    command = "nanokimi auth import --plugin work FILE"
    assert command in (await account(context).status()).remedy
    assert command in (await check(Settings(), context))[0].remedy
    assert command in await refusal(account(context))
    put(context.folder / "credentials", new_login())
    auth = account(context)
    await auth.rejected(await auth.grant(CODE), "401")
    assert command in (await auth.status()).remedy


async def test_a_refusal_after_the_login_was_emptied_leaves_the_better_reason(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    auth = account(context)
    grant = await auth.grant(CODE)
    put(context.folder / "credentials", {"access_token": "", "refresh_token": "", "expires_at": 0})
    await auth.rejected(grant, "401")
    assert (await auth.status()).details["problem"] == "revoked"


# ------------------------------------------------------------------- doctor, contract, canaries
async def test_doctor_names_the_login_or_the_remedy(context: Context) -> None:
    (line,) = await check(Settings(), context)
    assert (line.outcome, "nanokimi auth import FILE" in line.remedy) == ("failed", True)
    file = put(context.folder / "credentials", new_login())
    login, privacy = await check(Settings(), context)
    assert (login.outcome, privacy.outcome) == ("ok", "ok")
    assert "u1" in login.cause
    file.chmod(0o644)
    _, privacy = await check(Settings(), context)
    assert (privacy.outcome, privacy.remedy) == ("warning", f"run: chmod 600 {file}")
    put(context.folder / "credentials", new_login(refresh_token=""))
    login, _ = await check(Settings(), context)
    assert login.outcome == "warning"


def test_the_plugin_registers_itself(context: Context) -> None:
    (spec,) = nanokimi_auths()
    assert (spec.name, spec.config, spec.check) == ("oauth_file", Settings, check)
    made: Auth = spec.create(Settings(), context)
    assert isinstance(made, ImportsLogin)


async def test_nothing_that_can_be_printed_or_logged_shows_a_token(
    context: Context, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    access, refresh = "sk-canaryAccess0123456789", "canaryRefresh0123456789"
    good = {"access_token": access, "refresh_token": refresh, "expires_at": time.time() + 900}
    file = put(context.folder / "credentials", good)
    auth = account(context)
    grant = await auth.grant(CODE)
    await auth.rejected(grant, f"bad token {access} of {refresh}")
    printed: list[object] = [auth, vars(auth), grant, await auth.status(), await check(Settings(), context)]
    printed += [caplog.records, [record.args for record in caplog.records]]
    content = json.dumps(good).encode()
    for bad in (content[:-3], content + b"]", b"\xff" + content, json.dumps([good]).encode(), content * 900):
        foreign = put(tmp_path / "foreign", bad)
        write_private(file, bad)
        for attempt in (auth.grant(CODE), auth.import_login(foreign)):
            with pytest.raises((LoginNeeded, ConfigError)) as caught:
                await attempt
            printed += [caught.value, "".join(traceback.format_exception(caught.value)), *_chain(caught.value)]
        printed += [await auth.status(), await check(Settings(), context)]
    text = "\n".join([caplog.text, *(f"{thing} {thing!r}" for thing in printed)])
    for secret in (access, refresh):
        assert secret not in text
        assert secret[:-4] not in text
        assert secret in f"{text} {content!r}"  # the search does find what is there


def _chain(error: BaseException | None) -> list[object]:
    found: list[object] = []
    while error is not None:
        found += [error.args, vars(error), getattr(error, "doc", None), getattr(error, "object", None)]
        error = error.__cause__ or error.__context__
    return found
