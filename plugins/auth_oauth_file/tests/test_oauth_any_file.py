"""Whatever lies where a login belongs: a sentence, never a crash, and never an overwrite of what was good."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nanokimi_auth_oauth_file import OAuthFile
from nanokimi_core import AuthStatus, ConfigError, Context, Grant, LoginNeeded
from testbed.cloud import Cloud
from testbed.subscription import CODE, account, everything_seen, new_login, put, seen

LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
JSON = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TOKEN = st.sampled_from(["", "token", "a b", "ü", "x" * 3000]) | JSON
LOGIN = st.fixed_dictionaries(
    {},
    optional={"access_token": TOKEN, "refresh_token": TOKEN, "expires_at": LEAF, "expires_in": LEAF, "scope": JSON},
)
WHOLE = json.dumps(new_login()).encode()
TRUNCATED = st.integers(0, len(WHOLE) - 1).map(lambda end: WHOLE[:end])
ANY = st.binary(max_size=80) | TRUNCATED | (JSON | LOGIN).map(lambda value: json.dumps(value).encode())
SLOW = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


async def grant_or_sentence(auth: OAuthFile) -> Grant | None:
    """Ask for a grant, and see to it that there is one, or one sentence."""
    try:
        return await auth.grant(CODE)
    except LoginNeeded as error:
        said = str(error)
    assert len(said.split()) > 3
    assert "\n" not in said
    return None


async def status_of(auth: OAuthFile) -> AuthStatus:
    status = await auth.status()
    assert status.remedy or status.state in ("ok", "expiring")
    return status


async def use(context: Context, cloud: Cloud, before: Grant) -> tuple[Grant | None, AuthStatus]:
    """Ask for all that can be asked of an account."""
    auth = account(context, cloud)
    grant = await grant_or_sentence(auth)
    await auth.rejected(grant or before, "500")
    return grant, await status_of(auth)


@SLOW
@given(content=ANY)
@example(content=b" " * 70_000)
@example(content=b"[" * 60_000)
@example(content=b'{"access_token": "' + b"x" * 65_000 + b'"}')
def test_any_content_of_the_logins_file_is_used_or_named_and_stays(
    context: Context, cloud: Cloud, content: bytes
) -> None:
    file = put(context.folder / "credentials", WHOLE)
    before = anyio.run(account(context, cloud).grant, CODE)
    put(file.parent, content)
    grant, status = anyio.run(use, context, cloud, before)
    assert file.read_bytes() == content
    if grant is None:
        assert status.state == "login_needed"
    else:
        assert everything_seen(grant).count(b'"refresh_token": ""') == 1


@SLOW
@given(content=ANY)
def test_any_content_where_containers_look_is_replaced_by_the_token(context: Context, content: bytes) -> None:
    put(context.folder / "credentials", WHOLE)
    auth = account(context)
    grant = anyio.run(auth.grant, CODE)
    put(grant.mounts[0].source, content)
    anyio.run(auth.grant, CODE)
    assert seen(grant)["access_token"] == json.loads(WHOLE)["access_token"]


@SLOW
@given(content=ANY)
def test_any_content_of_a_file_to_import_replaces_no_good_login_by_a_bad_one(
    context: Context, tmp_path: Path, content: bytes
) -> None:
    file = put(context.folder / "credentials", WHOLE)
    foreign = tmp_path / "kimi-code-any.json"
    foreign.write_bytes(content)
    try:
        anyio.run(account(context).import_login, foreign)
    except ConfigError as error:
        assert error.remedy  # noqa: PT017  # most contents are refused, and each with a sentence
        assert file.read_bytes() == WHOLE
    else:
        found = json.loads(file.read_bytes())
        assert found["access_token"]
        assert found["refresh_token"]


# ------------------------------------------------------------------- what is no file
def a_link(path: Path) -> None:
    outside = next(folder for folder in path.parents if folder.name == "data")
    path.symlink_to(put(outside, new_login(), "kimi-code-elsewhere"))


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def a_loop(path: Path) -> None:
    path.symlink_to(path)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


STRANGE = (a_link, a_dangling_link, a_loop, a_directory, a_fifo)


@pytest.mark.anyio
@pytest.mark.parametrize("make", STRANGE)
async def test_what_is_no_file_in_the_logins_place_is_named_and_left_alone(context: Context, make: Any) -> None:
    put(context.folder / "credentials", WHOLE)
    auth = account(context, look=0.01)
    grant = await auth.grant(CODE)
    shown = everything_seen(grant)
    file = context.folder / "credentials/kimi-code.json"
    file.unlink()
    make(file)
    kind = file.lstat().st_mode
    with anyio.fail_after(30):
        assert await grant_or_sentence(auth) is None
        assert (await status_of(auth)).details["problem"] == "broken"
        with anyio.move_on_after(0.1):
            await auth.run()
    assert file.lstat().st_mode == kind
    assert everything_seen(grant) == shown


@pytest.mark.anyio
@pytest.mark.parametrize("make", STRANGE)
async def test_what_is_no_file_where_containers_look_never_leads_out_of_there(
    context: Context, tmp_path: Path, make: Any
) -> None:
    put(context.folder / "credentials", WHOLE)
    auth = account(context)
    grant = await auth.grant(CODE)
    file = grant.mounts[0].source / "kimi-code.json"
    file.unlink()
    make(file)
    target = file.resolve() if file.is_symlink() and file.exists() else None
    before = target.read_bytes() if target else b""
    again = await grant_or_sentence(auth)
    if make is a_directory:
        assert again is None
        return
    assert not file.is_symlink()
    assert seen(grant)["access_token"] == json.loads(WHOLE)["access_token"]
    assert target is None or target.read_bytes() == before


@pytest.mark.anyio
@pytest.mark.parametrize("make", [a_dangling_link, a_loop, a_directory, a_fifo])
async def test_what_is_no_file_is_not_imported(context: Context, tmp_path: Path, make: Any) -> None:
    file = put(context.folder / "credentials", WHOLE)
    make(tmp_path / "kimi-code-any.json")
    with anyio.fail_after(30), pytest.raises(ConfigError):
        await account(context).import_login(tmp_path / "kimi-code-any.json")
    assert file.read_bytes() == WHOLE


@pytest.mark.anyio
@pytest.mark.parametrize("make", STRANGE)
async def test_what_is_no_directory_where_the_logins_directory_belongs_is_named(context: Context, make: Any) -> None:
    make(context.folder / "credentials")
    auth = account(context)
    with anyio.fail_after(30):
        assert await grant_or_sentence(auth) is None
        assert (await status_of(auth)).state == "login_needed"
