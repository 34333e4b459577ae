"""Several keys: which one serves, and what becomes of one that is refused."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from pydantic import SecretStr

from nanokimi_auth_apikey import ApiKey, Settings
from nanokimi_auth_apikey.checks import check
from nanokimi_auth_apikey.keys import find_keys
from nanokimi_auth_apikey.ring import Ring
from nanokimi_auth_apikey.standing import Standing, choose
from nanokimi_core import AuthStatus, ConfigError, Grant, LoginNeeded, Need
from nanokimi_core.logs import redact
from testbed.context import PluginContext

pytestmark = pytest.mark.anyio

CODE = Need("kimi-code", PurePosixPath("/home/node/.kimi-code"), (1000, 1000))
FIRST, SECOND, THIRD = (f"sk-canary-{name}-0123456789-{name[0] * 4}" for name in ("first", "other", "third"))
REFUSED = "401 Unauthorized: Invalid Authentication"
USED_UP = "Error code: 429 - exceeded_current_quota_error: suspended due to insufficient balance"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def put(context: PluginContext, name: str, key: str) -> Path:
    file = context.folder.parent / name
    file.write_text(f"{key}\n")
    file.chmod(0o600)
    return file


def table(context: PluginContext, *keys: str, **more: Any) -> dict[str, Any]:
    files = [{"file": str(put(context, f"key-{number}", key))} for number, key in enumerate(keys, start=1)]
    return {"keys": files, "usage_minutes": 0, **more}


def account(context: PluginContext, *keys: str, **more: Any) -> ApiKey:
    return ApiKey(Settings.model_validate(table(context, *keys, **more)), context)


async def given(auth: ApiKey) -> str:
    return key_of(await auth.grant(CODE))


def key_of(grant: Grant) -> str:
    assert grant.api_key is not None
    return grant.api_key.get_secret_value()


async def refuse(auth: ApiKey, why: str = REFUSED) -> str:
    """Have the server refuse the key that serves; gives that key."""
    grant = await auth.grant(CODE)
    await auth.rejected(grant, why)
    return key_of(grant)


def let_pass(context: PluginContext, seconds: float) -> None:
    """Make everything that is remembered so much older."""
    for file in [*context.folder.glob("refused/*.json"), *context.folder.glob("usage/*.json")]:
        record = json.loads(file.read_text())
        file.write_text(json.dumps({**record, **{at: record[at] - seconds for at in ("at", "until") if at in record}}))


def keys_in(status: AuthStatus) -> list[str]:
    return [line for name, line in status.details.items() if name.startswith("key ")]


# ------------------------------------------------------------------- a reserve
async def test_the_first_key_serves_and_the_next_one_when_it_is_refused(context: PluginContext) -> None:
    auth = account(context, FIRST, SECOND, THIRD)
    assert await refuse(auth) == FIRST
    assert await refuse(auth, USED_UP) == SECOND
    assert await given(auth) == THIRD
    status = await auth.status()
    assert (status.state, status.who) == ("ok", "…tttt")
    rejected, used_up, serves = keys_in(status)
    assert "…ffff from file" in rejected
    assert "rejected until" in rejected
    assert "out of quota until" in used_up
    assert serves.endswith("serves")


async def test_another_key_is_another_fingerprint_and_another_mark(context: PluginContext) -> None:
    auth = account(context, FIRST, SECOND)
    before = await auth.grant(CODE)
    await auth.rejected(before, REFUSED)
    after = await auth.grant(CODE)
    assert before.fingerprint != after.fingerprint
    assert before.mark
    assert before.mark != after.mark


async def test_the_first_key_is_tried_again_after_a_while_and_then_after_longer(context: PluginContext) -> None:
    auth = account(context, FIRST, SECOND)
    await refuse(auth)
    let_pass(context, 14 * 60)
    assert await given(auth) == SECOND
    let_pass(context, 2 * 60)
    assert await refuse(auth) == FIRST
    let_pass(context, 28 * 60)
    assert await given(auth) == SECOND
    let_pass(context, 3 * 60)
    assert await given(auth) == FIRST


async def test_where_all_keys_are_refused_one_is_given_all_the_same_and_the_status_says_why(
    context: PluginContext,
) -> None:
    auth = account(context, FIRST, SECOND)
    await refuse(auth)
    await refuse(auth, USED_UP)
    assert await given(auth) == SECOND  # a balance may be filled up; a key that isn't known stays so
    status = await auth.status()
    assert (status.state, status.who) == ("out_of_quota", "…oooo")
    assert "fill up the balance" in status.remedy


async def test_sixteen_chats_that_meet_the_same_refusal_put_one_key_aside_and_tell_it_once(
    context: PluginContext,
) -> None:
    auth = account(context, FIRST, SECOND, THIRD)
    grants = [await auth.grant(CODE) for _ in range(16)]
    for number, grant in enumerate(grants):
        await auth.rejected(grant, f"{REFUSED} (request {number})")
    assert await given(auth) == SECOND
    (said,) = context.told
    assert "the API key …ffff is set aside since" in said
    assert said.endswith("the server does not accept it; …oooo serves now")


async def test_a_trial_that_is_refused_again_is_not_told_again_and_later_trouble_is(context: PluginContext) -> None:
    auth = account(context, FIRST, SECOND)
    await refuse(auth)
    let_pass(context, 16 * 60)
    assert await refuse(auth) == FIRST
    assert len(context.told) == 1
    let_pass(context, 86_400)
    assert await refuse(auth, USED_UP) == FIRST
    assert len(context.told) == 2
    assert "what it may use is used up" in context.told[1]


async def test_the_last_key_that_is_refused_leaves_no_other_one(context: PluginContext) -> None:
    auth = account(context, FIRST, SECOND)
    await refuse(auth)
    await refuse(auth)
    assert context.told[-1].endswith("no other key works now")


async def test_of_a_single_key_only_the_core_tells(context: PluginContext) -> None:
    auth = account(context, FIRST)
    await refuse(auth)
    assert (context.told, await given(auth), (await auth.status()).state) == ([], FIRST, "rejected")


async def test_a_restarted_process_keeps_a_refused_key_aside_without_telling_it_again(context: PluginContext) -> None:
    await refuse(account(context, FIRST, SECOND))
    again = account(context, FIRST, SECOND)
    assert await given(again) == SECOND
    assert len(context.told) == 1


async def test_an_old_grants_refusal_blames_no_newer_key(context: PluginContext) -> None:
    auth = account(context, FIRST, SECOND)
    old = await auth.grant(CODE)
    put(context, "key-1", THIRD)
    await auth.rejected(old, REFUSED)
    assert await given(auth) == THIRD
    await auth.rejected(replace(await auth.grant(CODE), api_key=None), REFUSED)
    assert await given(auth) == THIRD
    assert context.told == []


async def test_a_refused_key_that_is_replaced_in_its_file_serves_from_the_next_grant_on(context: PluginContext) -> None:
    auth = account(context, FIRST, SECOND)
    await refuse(auth)
    assert await given(auth) == SECOND
    put(context, "key-1", THIRD)
    assert await given(auth) == THIRD


async def test_a_clock_that_was_wrong_keeps_no_key_aside(context: PluginContext) -> None:
    auth = account(context, FIRST, SECOND)
    await refuse(auth)
    let_pass(context, -86_400)
    assert await given(auth) == FIRST


async def test_a_disk_that_takes_nothing_loses_only_what_is_remembered(context: PluginContext) -> None:
    auth = account(context, FIRST, SECOND)
    (context.folder / "refused").write_text("in the way")
    await refuse(auth)
    assert await given(auth) == FIRST


# ------------------------------------------------------------------- in turns
def at(context: PluginContext, settings: Mapping[str, Any], hour: int, aside: str = "") -> str:
    """Say which key serves at an hour."""
    ring = Ring(Settings.model_validate(settings), context)
    standings = [replace(standing, now=hour * 3600.0 + 5) for standing in ring.standings(ring.found())]
    standings = [_refused(one) if one.name == aside else one for one in standings]
    return choose(standings, "turns").key.secret.get_secret_value()


def _refused(standing: Standing) -> Standing:
    from nanokimi_auth_apikey.refusals import refuse

    return replace(standing, refusal=refuse(None, "rejected", "401", standing.now))


async def test_in_turns_each_hour_has_its_key_and_all_have_as_many(context: PluginContext) -> None:
    settings = table(context, FIRST, SECOND, THIRD, order="turns")
    served = [at(context, settings, hour) for hour in range(9)]
    assert served == [FIRST, SECOND, THIRD] * 3
    assert [at(context, settings, hour, aside="…oooo") for hour in range(3)] == [FIRST, THIRD, THIRD]


async def test_in_turns_a_refused_key_is_passed_over_too(context: PluginContext) -> None:
    auth = account(context, FIRST, SECOND, order="turns")
    refused = await refuse(auth)
    assert {refused, await given(auth)} == {FIRST, SECOND}


# ------------------------------------------------------------------- keys that are no use
async def test_a_broken_key_and_a_double_one_are_named_and_the_others_serve(context: PluginContext) -> None:
    coding = "sk-kimi-canary-0123456789-kkkk"
    auth = account(context, coding, FIRST, FIRST, SECOND)
    assert [await given(auth), await given(auth)] == [FIRST, FIRST]
    broken, double = context.told
    assert "…kkkk from file" in broken
    assert 'account = "kimi-code"' in broken
    assert f"…ffff from file {context.folder.parent / 'key-3'} is that from file" in double
    status = await auth.status()
    assert [status.details[f"left out {number}"] for number in (1, 2)] == [
        told.removeprefix("a key is left out: ") for told in (broken, double)
    ]
    assert len(keys_in(status)) == 2
    assert len([line for line in await check(auth._settings, context) if line.outcome == "warning"]) == 2


async def test_without_any_key_that_is_one_all_sources_are_named(
    context: PluginContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY_A", raising=False)
    settings = {"keys": [{"env": "KEY_A"}, {"file": str(context.folder / "none")}], "usage_minutes": 0}
    auth = ApiKey(Settings.model_validate(settings), context)
    with pytest.raises(LoginNeeded, match=r"KEY_A is not set; key file .*none can't be read"):
        await auth.grant(CODE)
    status = await auth.status()
    assert (status.state, status.quotas) == ("login_needed", ())
    assert status.remedy
    await auth.rejected(Grant("kimi", "https://x", "m", 1, "f", api_key=SecretStr(FIRST)), REFUSED)


async def test_keys_of_the_same_ending_are_told_apart_by_their_sources(context: PluginContext) -> None:
    auth = account(context, FIRST, FIRST.replace("canary", "canard"))
    await refuse(auth)
    one, other = (f"…ffff from file {context.folder.parent / name}" for name in ("key-1", "key-2"))
    assert context.told[0].startswith(f"the API key {one} is set aside")
    assert context.told[0].endswith(f"{other} serves now")


async def test_set_key_says_where_the_keys_are(context: PluginContext) -> None:
    settings = table(context, FIRST)
    auth = ApiKey(Settings.model_validate({**settings, "keys": [*settings["keys"], {"env": "KEY_A"}]}), context)
    with pytest.raises(ConfigError) as caught:
        await auth.set_key(SecretStr(SECOND))
    where = f"file {context.folder.parent / 'key-1'}, environment variable KEY_A"
    assert caught.value.message == f"[plugins.apikey] keys in nanokimi.toml says where the keys are: {where}"


# ------------------------------------------------------------------- canaries
async def test_no_key_is_in_a_log_a_status_a_sentence_or_a_file_that_is_kept(
    context: PluginContext, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("KEY_A", THIRD)
    settings = table(context, FIRST, SECOND, f"{FIRST} ")
    settings["keys"].append({"env": "KEY_A"})
    auth = ApiKey(Settings.model_validate(settings), context)
    seen: list[object] = [auth, vars(auth), auth._settings, find_keys(auth._settings, context.folder)]
    for _ in range(3):
        await refuse(auth, f"{USED_UP}: {FIRST}, {SECOND} and {THIRD} are wrong")
        seen += [await auth.status(), await auth.grant(CODE)]
    seen += [*context.told, *await check(auth._settings, context), caplog.text]
    seen += [record.args for record in caplog.records]
    seen += [file.read_text() for file in context.folder.rglob("*") if file.is_file()]
    assert len(list((context.folder / "refused").iterdir())) == 3
    for key in (FIRST, SECOND, THIRD):
        assert shown(seen, key[-4:])
        assert not shown(seen, key[:-4])
        assert not shown(seen, key[3:20])
        assert shown([*seen, {"a leak": key}], key[:-4])  # it is found where it is


async def test_keys_that_do_not_look_like_one_are_hidden_too_also_those_in_reserve(context: PluginContext) -> None:
    one, other = (f"odd-{secrets.token_hex(12)}-{end}" for end in ("ffff", "oooo"))
    auth = account(context, one, other, base_url="http://127.0.0.1:9/v1")
    assert redact(f"not {other}") == f"not {other}"
    await refuse(auth, f"neither {one} nor {other}")
    assert redact(f"not {other}") == "not …oooo"
    kept: list[object] = [file.read_text() for file in (context.folder / "refused").iterdir()]
    assert shown(kept, "neither …ffff nor …oooo")
    assert not shown([*kept, *context.told, await auth.status()], other)


def shown(things: list[object], part: str) -> bool:
    return any(part in f"{thing} {thing!r}" for thing in things)
