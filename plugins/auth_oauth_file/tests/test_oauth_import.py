from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanokimi_auth_oauth_file import OAuthFile, Settings
from nanokimi_auth_oauth_file.login import parse
from nanokimi_auth_oauth_file.store import Store
from nanokimi_core import ConfigError, Context, Need, private_folder
from testbed.cloud_oauth import OAuth

CODE = Need("kimi-code", PurePosixPath("/home/node/.kimi-code"), (os.geteuid() or 1000, os.getegid() or 1000))
CLI = Need("kimi-cli", PurePosixPath("/home/node/.kimi"), CODE.user)
AI = "kimi-code-env-0e4f99c69cc27850"


def account(context: Context, **table: Any) -> OAuthFile:
    return OAuthFile(Settings.model_validate(table), context)


def new_login(expires_in: int = 900, **changes: Any) -> dict[str, Any]:
    return OAuth().new_login(expires_in) | changes


def put(folder: Path, login: Any, name: str = "kimi-code.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_bytes(login if isinstance(login, bytes) else json.dumps(login).encode())
    return file


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
    assert "use it on no other machine" in status.remedy
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
async def test_a_login_replaces_the_one_that_kimi_cli_uses_under_its_name(context: Context, tmp_path: Path) -> None:
    auth = account(context, region="ai")
    await auth.import_login(put(tmp_path, new_login()))
    await auth.grant(CLI)
    login = new_login(900)
    await auth.import_login(put(tmp_path, login))
    (only,) = (context.folder / "credentials").iterdir()
    assert (only.name, json.loads(only.read_bytes())) == ("kimi-code.json", login)


@pytest.mark.anyio
async def test_a_login_of_another_server_is_set_aside_and_not_lost(context: Context, tmp_path: Path) -> None:
    china, abroad = new_login(5000), new_login()
    await account(context).import_login(put(tmp_path, china))
    await account(context, region="ai").import_login(put(tmp_path, abroad))
    folder = context.folder / "credentials"
    assert json.loads((folder / "kimi-code.json.from-auth.kimi.com").read_bytes()) == china
    grant = await account(context, region="ai").grant(CODE)
    assert grant.oauth_key == f"oauth/{AI}"
    assert json.loads((folder / f"{AI}.json").read_bytes()) == abroad
    await account(context).import_login(folder / "kimi-code.json.from-auth.kimi.com")
    assert (await account(context).grant(CODE)).oauth_key == "oauth/kimi-code"
    assert (await account(context, region="ai").grant(CODE)).oauth_key == f"oauth/{AI}"


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
    assert said in await refusal(auth, put(tmp_path, login, "bad.json"))
    assert json.loads((context.folder / "credentials/kimi-code.json").read_bytes()) == good


@pytest.mark.anyio
async def test_an_older_copy_of_the_same_login_is_refused(context: Context, tmp_path: Path) -> None:
    auth = account(context)
    await auth.import_login(put(tmp_path, new_login(900)))
    said = await refusal(auth, put(tmp_path, new_login(-900), "kimi-code-old.json"))
    assert "newer login of the same account" in said
    put(context.folder / "credentials", {"access_token": "", "refresh_token": ""})
    assert (await auth.import_login(tmp_path / "kimi-code-old.json")).state == "ok"


@pytest.mark.anyio
async def test_a_file_that_is_missing_is_named(context: Context, tmp_path: Path) -> None:
    assert str(tmp_path / "none.json") in await refusal(account(context), tmp_path / "none.json")
    assert "not a regular file" in await refusal(account(context), tmp_path)


@pytest.mark.anyio
async def test_an_import_of_a_new_login_ends_the_state_rejected(context: Context, tmp_path: Path) -> None:
    file = put(tmp_path, new_login())
    auth = account(context)
    await auth.import_login(file)
    await auth.rejected(await auth.grant(CODE), "401")
    assert (await auth.status()).state == "rejected"
    await auth.import_login(put(tmp_path, new_login(1000)))
    assert (await auth.status()).state == "ok"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.dictionaries(st.text(max_size=15), st.text(max_size=15) | st.integers()))
def test_no_content_at_all_replaces_a_good_login_by_a_bad_one(tmp_path: Path, content: Any) -> None:
    store = Store(Settings(), private_folder(tmp_path / "own"))
    target = put(tmp_path / "own/credentials", new_login())
    file = put(tmp_path, content, "any.json")
    try:
        store.take(file)
    except ConfigError as error:
        assert str(error)  # noqa: PT017  # most contents are refused, and each with a sentence
    assert parse(target.read_bytes()).refreshable
