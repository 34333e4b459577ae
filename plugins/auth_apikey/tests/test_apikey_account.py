from __future__ import annotations

import json
import logging
import os
import traceback
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from pydantic import SecretStr

from nanokimi_auth_apikey import ApiKey, Settings, nanokimi_auths
from nanokimi_auth_apikey.checks import check
from nanokimi_auth_apikey.keys import find_keys
from nanokimi_core import Auth, ConfigError, Context, LoginNeeded, Need, TakesKey

pytestmark = pytest.mark.anyio

CANARY = "sk-canary0123456789abcdefgh"
OTHER = "sk-canary0123456789ijklmnop"
CODING = "sk-kimi-canary0123456789abcd"
CODE = Need("kimi-code", PurePosixPath("/home/node/.kimi-code"), (1000, 1000))
CLI = Need("kimi-cli", PurePosixPath("/home/node/.kimi"), (1000, 1000))


def account(context: Context, **table: Any) -> ApiKey:
    return ApiKey(Settings.model_validate({"usage_minutes": 0} | table), context)


def store(context: Context, key: str = CANARY) -> None:
    file = context.folder / "key"
    file.write_text(key + "\n")
    file.chmod(0o600)


async def test_a_grant_has_the_key_and_all_that_a_config_needs(context: Context) -> None:
    store(context)
    grant = await account(context).grant(CODE)
    assert grant.api_key is not None
    assert grant.api_key.get_secret_value() == CANARY
    assert (grant.provider, grant.base_url, grant.model) == ("kimi", "https://api.moonshot.cn/v1", "kimi-k2.6")
    assert grant.context_size == 262_144
    assert grant.capabilities == {"thinking", "image_in", "video_in"}
    assert (grant.oauth_key, grant.mounts, grant.environment, grant.expires_at) == (None, (), (), None)


async def test_a_kimi_code_key_gets_the_coding_endpoint(context: Context) -> None:
    store(context, CODING)
    grant = await account(context, account="kimi-code").grant(CODE)
    assert (grant.provider, grant.base_url, grant.model) == (
        "kimi",
        "https://api.kimi.com/coding/v1",
        "kimi-for-coding",
    )


async def test_without_a_key_that_fits_a_login_is_needed(context: Context) -> None:
    with pytest.raises(LoginNeeded, match="nanokimi auth set-key"):
        await account(context).grant(CODE)
    store(context, CODING)
    with pytest.raises(LoginNeeded, match='account = "kimi-code"'):
        await account(context).grant(CODE)


async def test_the_fingerprint_changes_with_all_that_an_agent_was_started_with(context: Context) -> None:
    store(context)
    tables: list[dict[str, Any]] = [
        {},
        {"region": "ai"},
        {"model": "kimi-k3"},
        {"context_size": 100_000},
        {"capabilities": []},
        {"base_url": "https://proxy.example/v1"},
    ]
    seen = [(await account(context, **table).grant(CODE)).fingerprint for table in tables]
    again = [(await account(context, **table).grant(CODE)).fingerprint for table in tables]
    assert seen == again
    store(context, OTHER)
    seen.append((await account(context).grant(CODE)).fingerprint)
    assert len(set(seen)) == len(seen)
    assert not any(part in print_ for print_ in seen for part in (CANARY, CANARY[-4:]))


async def test_two_installations_have_different_fingerprints_for_one_key(context: Context) -> None:
    store(context)
    here = (await account(context).grant(CODE)).fingerprint
    context.installation = "another"
    assert (await account(context).grant(CODE)).fingerprint != here


async def test_a_changed_key_is_used_from_the_next_grant_on(context: Context) -> None:
    store(context)
    auth = account(context)
    before = await auth.grant(CODE)
    store(context, OTHER)
    after = await auth.grant(CODE)
    assert after.api_key is not None
    assert after.api_key.get_secret_value() == OTHER
    assert after.fingerprint != before.fingerprint


# ------------------------------------------------------------------- kimi-cli's gate
async def test_kimi_cli_gets_a_credentials_folder_that_everybody_may_read_and_that_holds_no_secret(
    context: Context,
) -> None:
    store(context)
    umask = os.umask(0o077)
    try:
        grant = await account(context).grant(CLI)
    finally:
        os.umask(umask)
    (mount,) = grant.mounts
    assert mount.target == PurePosixPath("/home/node/.kimi/credentials")
    assert mount.read_only
    assert mount.source.is_relative_to(context.folder)
    assert mount.source.stat().st_mode & 0o777 == 0o755
    file = mount.source / "kimi-code.json"
    assert file.stat().st_mode & 0o777 == 0o644
    content = json.loads(file.read_text())
    assert content["access_token"]
    assert (content["refresh_token"], content["expires_at"]) == ("", 0)
    assert [path.name for path in mount.source.iterdir()] == ["kimi-code.json"]
    assert CANARY not in file.read_text()


async def test_the_gates_file_is_mended_and_otherwise_left_alone(context: Context) -> None:
    store(context)
    auth = account(context)
    file = (await auth.grant(CLI)).mounts[0].source / "kimi-code.json"
    before = file.stat()
    await auth.grant(CLI)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    file.write_text("{}")
    file.chmod(0o600)
    await auth.grant(CLI)
    assert json.loads(file.read_text())["access_token"]
    assert file.stat().st_mode & 0o777 == 0o644


# ------------------------------------------------------------------- status and refusal
async def test_status_names_the_key_by_its_last_four_characters_and_says_where_it_is_from(context: Context) -> None:
    store(context)
    status = await account(context).status()
    assert (status.state, status.who) == ("ok", "…efgh")
    assert status.details["source"] == f"file {context.folder / 'key'}"
    assert status.details["base_url"] == "https://api.moonshot.cn/v1"


async def test_status_without_a_key_has_the_remedy(context: Context) -> None:
    status = await account(context).status()
    assert status.state == "login_needed"
    assert "nanokimi auth set-key" in status.remedy


async def test_a_refused_key_is_rejected_until_it_changes(context: Context) -> None:
    store(context)
    auth = account(context)
    await auth.rejected(await auth.grant(CODE), "401")
    status = await auth.status()
    assert (status.state, status.who) == ("rejected", "…efgh")
    assert 'region = "ai"' in status.remedy
    assert status.details["refused"].endswith("UTC: 401")
    assert (await auth.grant(CODE)).api_key is not None
    store(context, OTHER)
    assert (await auth.status()).state == "ok"


async def test_another_process_sees_the_refusal_and_another_server_does_not(context: Context) -> None:
    store(context)
    auth = account(context)
    await auth.rejected(await auth.grant(CODE), f"401 for {CANARY}")
    assert (await account(context).status()).state == "rejected"
    assert (await account(context, region="ai").status()).state == "ok"
    (file,) = (context.folder / "refused").iterdir()
    assert CANARY not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    for garbage in ("", "[]", "{}", "nonsense", '{"kind": "rejected", "said": "", "at": 0, "until": 1e999}'):
        file.write_text(garbage)
        assert (await account(context).status()).state == "ok"


async def test_the_commands_name_an_instance_of_another_name(context: Context) -> None:
    context.name = "work"
    command = "nanokimi auth set-key --plugin work"
    assert command in (await account(context).status()).remedy
    assert command in (await check(Settings(), context))[0].remedy
    with pytest.raises(LoginNeeded, match=command):
        await account(context).grant(CODE)
    store(context)
    auth = account(context)
    await auth.rejected(await auth.grant(CODE), "401")
    assert command in (await auth.status()).remedy


async def test_a_late_refusal_of_an_old_key_does_not_touch_the_new_one(context: Context) -> None:
    store(context)
    auth = account(context, base_url="https://proxy.example/v1")
    old = await auth.grant(CODE)
    store(context, OTHER)
    await auth.rejected(old, "401")
    assert (await auth.status()).state == "ok"
    await auth.rejected(await auth.grant(CODE), "401")
    status = await auth.status()
    assert (status.state, "region" in status.remedy) == ("rejected", False)


async def test_a_refusal_of_somebody_elses_grant_is_ignored(context: Context) -> None:
    store(context)
    auth = account(context)
    await auth.rejected(replace(await auth.grant(CODE), api_key=None), "401")
    assert (await auth.status()).state == "ok"


# ------------------------------------------------------------------- set-key
async def test_a_set_key_is_stored_for_its_owner_only_and_used(context: Context) -> None:
    auth = account(context)
    status = await auth.set_key(SecretStr(f"  {CANARY}\n"))
    assert (status.state, status.who, status.remedy) == ("ok", "…efgh", "")
    assert (context.folder / "key").stat().st_mode & 0o777 == 0o600
    grant = await auth.grant(CODE)
    assert grant.api_key is not None
    assert grant.api_key.get_secret_value() == CANARY


@pytest.mark.parametrize("bad", ["", CODING, "sk-two words", "nonsense-0123456789", "eyJhbGciOiJI.eyJzdWIi.c2ln"])
async def test_a_key_that_cannot_be_one_is_refused_and_the_old_one_stays(context: Context, bad: str) -> None:
    store(context)
    with pytest.raises(ConfigError) as caught:
        await account(context).set_key(SecretStr(bad))
    assert caught.value.remedy
    assert not bad or bad not in str(caught.value)
    assert find_keys(Settings(), context.folder, {}).keys[0].secret.get_secret_value() == CANARY


async def test_a_key_is_not_stored_where_the_toml_says_that_it_is_somewhere_else(context: Context) -> None:
    with pytest.raises(ConfigError, match=r"nanokimi\.toml says where the key is"):
        await account(context, key={"env": "MY_KEY"}).set_key(SecretStr(CANARY))
    assert not (context.folder / "key").exists()


async def test_a_stored_key_that_the_environment_hides_is_said_to_be_hidden(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOONSHOT_API_KEY", OTHER)
    status = await account(context).set_key(SecretStr(CANARY))
    assert status.who == "…mnop"
    assert "…efgh is stored, but MOONSHOT_API_KEY is set" in status.remedy
    monkeypatch.setenv("MOONSHOT_API_KEY", CODING)
    assert "unset it" in (await account(context).set_key(SecretStr(CANARY))).remedy


# ------------------------------------------------------------------- doctor
async def test_doctor_names_the_key_or_the_remedy(context: Context) -> None:
    key, model = await check(Settings(), context)
    assert (key.outcome, model.outcome) == ("failed", "ok")
    assert "nanokimi auth set-key" in key.remedy
    store(context)
    key, _ = await check(Settings(), context)
    assert key.outcome == "ok"
    assert "…efgh" in key.cause
    assert CANARY not in repr(key)


async def test_doctor_warns_of_a_context_size_that_is_a_guess(context: Context) -> None:
    _, model = await check(Settings(model="something-new"), context)
    assert (model.outcome, model.remedy) == ("warning", "set context_size in [plugins.apikey]")
    _, model = await check(Settings(model="something-new", context_size=9000), context)
    assert model.outcome == "ok"


# ------------------------------------------------------------------- the contract, and canaries
def test_the_plugin_registers_itself(context: Context) -> None:
    (spec,) = nanokimi_auths()
    assert (spec.name, spec.config, spec.check) == ("apikey", Settings, check)
    made: Auth = spec.create(Settings(), context)
    assert isinstance(made, TakesKey)


async def test_nothing_that_can_be_printed_or_logged_shows_the_key(
    context: Context, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    toml = tmp_path / "nanokimi.toml"
    toml.touch(0o600)
    settings = Settings.model_validate(
        {"key": CANARY, "usage_minutes": 0}, context={"config_path": toml, "base": tmp_path}
    )
    auth = ApiKey(settings, context)
    grant = await auth.grant(CLI)
    await auth.rejected(grant, f"Incorrect API key provided: {CANARY}")
    printed: list[object] = [
        settings,
        settings.key,
        auth,
        vars(auth),
        grant,
        await auth.status(),
        await check(settings, context),
    ]
    printed += [find_keys(settings, context.folder, {}), caplog.records, [record.args for record in caplog.records]]
    for key in (CODING, f"{CANARY}\n{CANARY}", f'"{CANARY}"', f"Bearer {CANARY}"):
        store(context, key)
        for attempt in (account(context).grant(CODE), account(context).set_key(SecretStr(key))):
            with pytest.raises((LoginNeeded, ConfigError)) as caught:
                await attempt
            printed += [caught.value, "".join(traceback.format_exception(caught.value)), _chain(caught.value)]
        printed += [await account(context).status(), await check(Settings(), context)]
    text = "\n".join([caplog.text, *(f"{thing} {thing!r}" for thing in printed)])
    for secret in (CANARY, CODING):
        assert secret not in text
        assert secret[:-4] not in text
    assert grant.api_key is not None
    assert CANARY in f"{text} {grant.api_key.get_secret_value()}"  # the search does find what is there


def _chain(error: BaseException | None) -> list[object]:
    found: list[object] = []
    while error is not None:
        found += [error.args, vars(error)]
        error = error.__cause__ or error.__context__
    return found
