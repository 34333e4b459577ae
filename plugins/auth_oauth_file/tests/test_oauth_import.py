from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanokimi_auth_oauth_file import OAuthFile, Settings
from nanokimi_auth_oauth_file.disk.login import parse
from nanokimi_auth_oauth_file.disk.store import Store
from nanokimi_auth_oauth_file.keeping.locks import FileLock
from nanokimi_core import ConfigError, Context, private_folder
from testbed.cloud import Cloud
from testbed.context import PluginContext
from testbed.subscription import AI, CODE, account, new_login, put, seen


def is_held(path: Path) -> bool:
    lock = FileLock(path)
    taken = lock.try_take()
    lock.release()
    return not taken


async def refusal(auth: OAuthFile, file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        await auth.import_login(file)
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.anyio
async def test_an_imported_login_is_private_and_ready_for_the_next_grant(context: Context, tmp_path: Path) -> None:
    login = new_login(device="laptop")
    file = put(tmp_path / "laptop", login)
    auth = account(context)
    status = await auth.import_login(file)
    assert (status.state, status.who) == ("ok", "u1")
    assert status.remedy.startswith("Use it on no other machine")
    assert str(file) in status.remedy
    stored = context.folder / "credentials/kimi-code.json"
    assert json.loads(stored.read_bytes()) == login
    assert stored.stat().st_mode & 0o777 == 0o600
    assert stored.parent.stat().st_mode & 0o777 == 0o700
    assert (await auth.grant(CODE)).oauth_key == "oauth/kimi-code"


@pytest.mark.anyio
async def test_a_login_for_other_servers_gets_kimi_codes_name_for_them(context: Context, tmp_path: Path) -> None:
    auth = account(context, region="ai")
    await auth.import_login(put(tmp_path, new_login()))
    assert [file.name for file in (context.folder / "credentials").iterdir()] == [f"{AI}.json"]
    assert (await auth.grant(CODE)).oauth_key == f"oauth/{AI}"


@pytest.mark.anyio
async def test_an_import_goes_where_path_says(context: Context, tmp_path: Path) -> None:
    target = tmp_path / "shared/credentials"
    status = await account(context, path=str(target)).import_login(put(tmp_path, new_login()))
    assert status.details["file"] == str(target / "kimi-code.json")
    assert (target / "kimi-code.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("login", "said"),
    [
        ({"access_token": "", "refresh_token": ""}, "has been revoked"),
        ({"access_token": "a", "refresh_token": ""}, "has no refresh token"),
        ({"access_token": "a"}, "has no refresh token"),
        ({"api_key": "x"}, "neither access_token nor refresh_token"),
        (b"sk-not-json", "is not JSON"),
        (b"", "is empty"),
        (b"x" * 70_000, "larger than"),
    ],
)
async def test_what_holds_no_login_is_refused_and_the_good_one_stays(
    context: Context, tmp_path: Path, login: Any, said: str
) -> None:
    auth = account(context)
    good = new_login()
    await auth.import_login(put(tmp_path, good))
    assert said in await refusal(auth, put(tmp_path, login, "bad"))
    assert json.loads((context.folder / "credentials/kimi-code.json").read_bytes()) == good


@pytest.mark.anyio
async def test_an_older_copy_of_the_same_login_is_refused(context: Context, tmp_path: Path) -> None:
    auth = account(context)
    await auth.import_login(put(tmp_path, new_login(900)))
    said = await refusal(auth, put(tmp_path, new_login(-900), "kimi-code-old"))
    assert "newer login of the same account" in said
    put(context.folder / "credentials", {"access_token": "", "refresh_token": ""})
    assert (await auth.import_login(tmp_path / "kimi-code-old.json")).state == "ok"


@pytest.mark.anyio
async def test_an_older_copy_has_the_command_named_that_makes_room_for_it(context: Context, tmp_path: Path) -> None:
    older, newer = new_login(100), new_login(900)
    put(context.folder / "credentials", newer)
    named = PluginContext(context.folder, "work")
    for made, command in ((context, "nanokimi auth logout"), (named, "nanokimi auth logout work")):
        with pytest.raises(ConfigError) as caught:
            await account(made).import_login(put(tmp_path, older))
        assert caught.value.remedy.endswith(f"run first: {command}")
    mine = put(tmp_path / "mine", newer)
    assert f"take {mine} away" in await refusal(account(context, path=str(mine.parent)), put(tmp_path, older))


@pytest.mark.anyio
async def test_an_imported_file_is_named_by_its_plain_path(context: Context, tmp_path: Path) -> None:
    file = put(tmp_path / "imported", new_login())
    winding = file.parent / ".." / "imported" / file.name
    assert ".." not in await refusal(account(context), winding.with_name("other.json"))
    assert f" {file} " in (await account(context).import_login(winding)).remedy


@pytest.mark.anyio
async def test_a_file_that_is_missing_is_named(context: Context, tmp_path: Path) -> None:
    assert str(tmp_path / "none.json") in await refusal(account(context), tmp_path / "none.json")
    assert "not a regular file" in await refusal(account(context), tmp_path)


@pytest.mark.anyio
async def test_a_login_of_another_server_keeps_its_name_and_is_not_lost(context: Context, tmp_path: Path) -> None:
    china, abroad = new_login(5000), new_login()
    await account(context).import_login(put(tmp_path, china))
    await account(context, region="ai").import_login(put(tmp_path, abroad))
    for region, login in (("cn", china), ("ai", abroad), ("cn", china)):
        grant = await account(context, region=region).grant(CODE)
        assert seen(grant)["access_token"] == login["access_token"]
    newer = new_login(6000)
    await account(context, region="ai").import_login(put(tmp_path, newer))
    assert seen(await account(context).grant(CODE))["access_token"] == china["access_token"]
    assert seen(await account(context, region="ai").grant(CODE))["access_token"] == newer["access_token"]


@pytest.mark.anyio
async def test_a_login_takes_the_name_of_one_of_another_server_which_is_set_aside(
    context: Context, tmp_path: Path
) -> None:
    china, elsewhere = new_login(5000), new_login()
    await account(context).import_login(put(tmp_path, elsewhere))
    (context.folder / "origins.json").write_text(json.dumps({"kimi-code": "https://auth.elsewhere.example"}))
    await account(context).import_login(put(tmp_path, china))
    folder = context.folder / "credentials"
    assert json.loads((folder / "kimi-code.json").read_bytes()) == china
    assert json.loads((folder / "kimi-code.json.from-auth.elsewhere.example").read_bytes()) == elsewhere


@pytest.mark.anyio
async def test_an_import_ends_the_state_rejected(context: Context, tmp_path: Path, cloud: Cloud) -> None:
    auth = account(context, cloud)
    await auth.import_login(put(tmp_path, cloud.new_login()))
    for _ in range(2):
        await auth.rejected(await auth.grant(CODE), "401")
    assert (await auth.status()).state == "rejected"
    await auth.import_login(put(tmp_path, cloud.new_login(1000)))
    assert (await auth.status()).state == "ok"


@pytest.mark.anyio
@pytest.mark.parametrize("table", [{}, {"credentials": "shared"}])
async def test_an_import_waits_for_the_locks_of_a_refresh(
    context: Context, tmp_path: Path, table: dict[str, Any]
) -> None:
    folder = put(context.folder / "credentials", new_login()).parent
    lock = FileLock(folder / "kimi-code.lock")
    assert lock.try_take()
    auth, login = account(context, **table), new_login(1000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(auth.import_login, put(tmp_path, login))
        with anyio.fail_after(20):
            while not is_held(context.folder / "keeper.lock"):
                await anyio.sleep(0.005)
        assert json.loads((folder / "kimi-code.json").read_bytes()) != login
        lock.release()
    assert json.loads((folder / "kimi-code.json").read_bytes()) == login


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.dictionaries(st.text(max_size=15), st.text(max_size=15) | st.integers()))
def test_no_content_at_all_replaces_a_good_login_by_a_bad_one(tmp_path: Path, content: Any) -> None:
    store = Store(Settings(), private_folder(tmp_path / "own"))
    target = put(tmp_path / "own/credentials", new_login())
    file = put(tmp_path, content, "any")
    try:
        store.take(file)
    except ConfigError as error:
        assert str(error)  # noqa: PT017  # most contents are refused, and each with a sentence
    assert parse(target.read_bytes()).refreshable
