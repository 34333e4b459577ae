"""What holds for an account however containers see its login: its grants' words, how it can stand, and its privacy."""

from __future__ import annotations

import json
import logging
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nanokimi_auth_oauth_file import Settings, nanokimi_auths
from nanokimi_auth_oauth_file.checks import check
from nanokimi_core import Auth, ConfigError, Context, ImportsLogin, LoginNeeded, Need, write_private
from testbed.cloud import Cloud
from testbed.subscription import CLI, CODE, account, new_login, put, refusal

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["access-only", "shared"])
def table(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The two ways in which containers see a login: all of this holds for both."""
    return {"credentials": request.param, "usage_minutes": 0}


# ------------------------------------------------------------------- grants
async def test_other_servers_are_named_in_the_environment_and_no_secret_is(
    context: Context, table: dict[str, Any]
) -> None:
    put(context.folder / "credentials", new_login())
    grant = await account(context, **table, region="ai").grant(CODE)
    assert grant.environment == (
        ("KIMI_CODE_BASE_URL", "https://api.kimi.ai/coding/v1"),
        ("KIMI_CODE_OAUTH_HOST", "https://auth.kimi.ai"),
    )
    assert grant.base_url == "https://api.kimi.ai/coding/v1"


async def test_an_agent_that_is_not_known_is_told_so(context: Context, table: dict[str, Any]) -> None:
    put(context.folder / "credentials", new_login())
    assert 'not the agent "other"' in await refusal(
        account(context, **table), Need("other", CODE.agent_home, CODE.user)
    )


# ------------------------------------------------------------------- one file, never two
async def test_a_login_is_not_used_with_another_server_than_its_own(context: Context, table: dict[str, Any]) -> None:
    put(context.folder / "credentials", new_login())
    await account(context, **table).grant(CODE)
    for need in (CODE, CLI):
        said = await refusal(account(context, **table, region="ai"), need)
        assert "is from https://auth.kimi.com" in said
    assert (
        await account(context, **table, base_url="https://proxy.example/v1").grant(CODE)
    ).oauth_key != "oauth/kimi-code"
    assert (await account(context, **table).grant(CODE)).oauth_key == "oauth/kimi-code"


# ------------------------------------------------------------------- how a login can stand
async def test_no_login_says_how_to_get_one(context: Context, table: dict[str, Any]) -> None:
    auth = account(context, **table)
    said = await refusal(auth)
    assert "there is no login" in said
    assert "nanokimi auth import FILE" in said
    status = await auth.status()
    assert (status.state, status.details["problem"]) == ("login_needed", "missing")
    assert "nanokimi auth import FILE" in status.remedy


async def test_a_login_that_lasts_is_ok_until_then_and_names_its_account(
    context: Context, table: dict[str, Any]
) -> None:
    login = new_login()
    put(context.folder / "credentials", login)
    status = await account(context, **table).status()
    assert (status.state, status.who, status.remedy) == ("ok", "u1", "")
    assert status.until == datetime.fromtimestamp(login["expires_at"], UTC)
    assert status.details["access_token"].startswith("lasts until ")
    assert status.details["file"] == str(context.folder / "credentials/kimi-code.json")


@pytest.mark.parametrize("changes", [{"access_token": "", "refresh_token": ""}, {"access_token": ""}])
async def test_empty_tokens_are_a_revoked_login(
    context: Context, table: dict[str, Any], changes: dict[str, Any]
) -> None:
    put(context.folder / "credentials", new_login(**changes, expires_at=0))
    auth = account(context, **table)
    assert "has been revoked" in await refusal(auth)
    status = await auth.status()
    assert (status.state, status.details["problem"]) == ("login_needed", "revoked")


async def test_a_login_without_refresh_token_serves_until_it_ends(context: Context, table: dict[str, Any]) -> None:
    login = new_login(refresh_token="")
    put(context.folder / "credentials", login)
    auth = account(context, **table)
    until = datetime.fromtimestamp(login["expires_at"], UTC)
    assert (await auth.grant(CODE)).expires_at == until
    status = await auth.status()
    assert (status.state, status.until) == ("expiring", until)
    assert "can't be refreshed" in status.remedy


async def test_an_ended_login_without_refresh_token_is_over(context: Context, table: dict[str, Any]) -> None:
    put(context.folder / "credentials", new_login(-10, refresh_token=""))
    auth = account(context, **table)
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
async def test_a_broken_file_is_named_with_the_reason(
    context: Context, table: dict[str, Any], content: bytes, said: str
) -> None:
    file = put(context.folder / "credentials", content)
    auth = account(context, **table)
    text = await refusal(auth)
    assert said in text
    assert str(file) in text
    status = await auth.status()
    assert (status.state, status.details["problem"]) == ("login_needed", "broken")


async def test_a_link_or_a_directory_in_the_files_place_is_broken(
    context: Context, table: dict[str, Any], tmp_path: Path
) -> None:
    target = put(tmp_path / "elsewhere", new_login())
    folder = context.folder / "credentials"
    folder.mkdir()
    (folder / "kimi-code.json").symlink_to(target)
    assert "is a link" in await refusal(account(context, **table))
    (folder / "kimi-code.json").unlink()
    (folder / "kimi-code.json").mkdir()
    assert "not a regular file" in await refusal(account(context, **table))


async def test_a_path_that_is_a_file_names_the_import(context: Context, table: dict[str, Any], tmp_path: Path) -> None:
    file = put(tmp_path, new_login())
    assert f"nanokimi auth import {file}" in await refusal(account(context, **table, path=str(file)))


# ------------------------------------------------------------------- fingerprint
async def test_the_fingerprint_changes_with_all_that_an_agent_was_started_with(
    context: Context, table: dict[str, Any], tmp_path: Path
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
    seen = [(await account(context, **table, **each).grant(CODE)).fingerprint for each in tables]
    seen.append((await account(context, **table).grant(CLI)).fingerprint)
    assert len(set(seen)) == len(seen)


# ------------------------------------------------------------------- refused by the server
async def test_the_commands_name_an_instance_of_another_name(
    context: Context, table: dict[str, Any], cloud: Cloud
) -> None:
    context.name = "work"
    command = "nanokimi auth import --plugin work FILE"
    login = "nanokimi auth login work"
    assert command in (await account(context, **table).status()).remedy
    assert command in (await check(Settings.model_validate(table), context))[0].remedy
    assert command in (said := await refusal(account(context, **table)))
    assert login in said
    put(context.folder / "credentials", cloud.new_login())
    auth = account(context, cloud, **table)
    for _ in range(2):
        await auth.rejected(await auth.grant(CODE), "401")
    assert command in (await auth.status()).remedy


# ------------------------------------------------------------------- doctor, contract, canaries
async def test_doctor_names_the_login_or_the_remedy(context: Context, table: dict[str, Any]) -> None:
    (line,) = await check(Settings.model_validate(table), context)
    assert (line.outcome, "nanokimi auth import FILE" in line.remedy) == ("failed", True)
    file = put(context.folder / "credentials", new_login())
    login, privacy = await check(Settings.model_validate(table), context)
    assert (login.outcome, privacy.outcome) == ("ok", "ok")
    assert "u1" in login.cause
    file.chmod(0o644)
    _, privacy = await check(Settings.model_validate(table), context)
    assert (privacy.outcome, privacy.remedy) == ("warning", f"run: chmod 600 {file}")
    put(context.folder / "credentials", new_login(refresh_token=""))
    login, _ = await check(Settings.model_validate(table), context)
    assert login.outcome == "warning"


def test_the_plugin_registers_itself(context: Context) -> None:
    (spec,) = nanokimi_auths()
    assert (spec.name, spec.config, spec.check) == ("oauth_file", Settings, check)
    made: Auth = spec.create(Settings(), context)
    assert isinstance(made, ImportsLogin)


async def test_nothing_that_can_be_printed_or_logged_shows_a_token(
    context: Context, table: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    access, refresh = "sk-canaryAccess0123456789", "canaryRefresh0123456789"
    good = {"access_token": access, "refresh_token": refresh, "expires_at": time.time() + 900}
    file = put(context.folder / "credentials", good)
    auth = account(context, **table)
    grant = await auth.grant(CODE)
    await auth.rejected(grant, f"bad token {access} of {refresh}")
    printed: list[object] = [
        auth,
        vars(auth),
        grant,
        await auth.status(),
        await check(Settings.model_validate(table), context),
    ]
    printed += [caplog.records, [record.args for record in caplog.records]]
    content = json.dumps(good).encode()
    for bad in (content[:-3], content + b"]", b"\xff" + content, json.dumps([good]).encode(), content * 900):
        foreign = put(tmp_path / "foreign", bad)
        write_private(file, bad)
        for attempt in (auth.grant(CODE), auth.import_login(foreign)):
            with pytest.raises((LoginNeeded, ConfigError)) as caught:
                await attempt
            printed += [caught.value, "".join(traceback.format_exception(caught.value)), *_chain(caught.value)]
        printed += [await auth.status(), await check(Settings.model_validate(table), context)]
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
