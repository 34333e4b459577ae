"""With ``credentials = "access-only"``: what containers see, who may read it, and when it changes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath

import anyio
import pytest

from nanokimi_auth_oauth_file.disk.access import rights
from nanokimi_auth_oauth_file.disk.login import LoginProblem, parse
from nanokimi_auth_oauth_file.disk.marks import mark_of
from nanokimi_auth_oauth_file.served import Served
from nanokimi_auth_oauth_file.serving import Serving
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import Context, Need
from testbed.cloud import Cloud
from testbed.context import PluginContext
from testbed.subscription import AI, CLI, CODE, account, everything_seen, new_login, put, refusal, seen

AsUser = Callable[[int], AbstractContextManager[None]]
SUB_UID = 100_999


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def told_by(context: Context) -> list[str]:
    assert isinstance(context, PluginContext)
    return context.told


def login_file(context: Context) -> Path:
    (file,) = (context.folder / "credentials").glob("kimi-code*.json")
    return file


# ------------------------------------------------------------------- what containers see
@pytest.mark.anyio
@pytest.mark.parametrize("need", [CODE, CLI], ids=lambda need: need.agent)
async def test_containers_see_an_access_token_in_a_read_only_directory_and_no_refresh_token(
    context: Context, cloud: Cloud, need: Need
) -> None:
    login = cloud.new_login()
    put(context.folder / "credentials", login)
    grant = await account(context, cloud).grant(need)
    (mount,) = grant.mounts
    assert (mount.target, mount.read_only) == (need.agent_home / "credentials", True)
    assert context.folder / "served" in mount.source.parents
    shown = seen(grant)
    assert shown["access_token"] == login["access_token"]
    assert (shown["refresh_token"], shown["expires_at"]) == ("", 0)
    assert cloud.accepts(shown["access_token"])


@pytest.mark.anyio
async def test_no_file_that_a_container_sees_holds_a_refresh_token_however_often_it_changes(
    context: Context, cloud: Cloud
) -> None:
    first = cloud.new_login(-10)
    put(context.folder / "credentials", first)
    auth, refresh_tokens = account(context, cloud), [first["refresh_token"]]
    for need in (CODE, CLI, CODE):
        shown = everything_seen(await auth.grant(need))
        await auth.refresh()
        shown += everything_seen(await auth.grant(need))
        kept = json.loads(login_file(context).read_bytes())
        assert kept["access_token"].encode() in shown
        refresh_tokens.append(kept["refresh_token"])
        assert [token for token in refresh_tokens if token.encode() in shown] == []
    assert cloud.refreshes == 4
    assert len(set(refresh_tokens)) == 4


@pytest.mark.anyio
async def test_each_agent_finds_the_one_login_under_its_own_name_and_the_login_keeps_its_own(context: Context) -> None:
    file = put(context.folder / "credentials", new_login())
    auth = account(context, region="ai")
    code, cli = await auth.grant(CODE), await auth.grant(CLI)
    assert (code.oauth_key, cli.oauth_key) == (f"oauth/{AI}", "oauth/kimi-code")
    assert seen(code)["access_token"] == seen(cli)["access_token"]
    assert login_file(context) == file


@pytest.mark.anyio
async def test_other_servers_leave_no_token_of_the_ones_before_in_sight(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    await account(context, base_url="https://proxy.example/v1").grant(CODE)
    grant = await account(context).grant(CODE)
    (mount,) = grant.mounts
    assert [path.name for path in mount.source.iterdir()] == ["kimi-code.json"]


@pytest.mark.anyio
async def test_a_login_of_anothers_home_stays_where_it_is_and_as_it_is(
    context: Context, cloud: Cloud, tmp_path: Path
) -> None:
    home = tmp_path / ".kimi-code"
    login = cloud.new_login()
    file = put(home / "credentials", login)
    (home / "config.toml").touch()
    grant = await account(context, cloud, path=str(home)).grant(CODE)
    assert home not in grant.mounts[0].source.parents
    assert json.loads(file.read_bytes()) == login
    assert [path.name for path in file.parent.iterdir()] == ["kimi-code.json"]


# ------------------------------------------------------------------- when it changes
@pytest.mark.anyio
async def test_a_refreshed_and_an_imported_login_reach_running_containers_without_a_restart(
    context: Context, cloud: Cloud, tmp_path: Path
) -> None:
    put(context.folder / "credentials", cloud.new_login())
    auth = account(context, cloud)
    before = await auth.grant(CODE)
    directory = before.mounts[0].source.stat().st_ino
    await auth.refresh()
    refreshed = seen(before)["access_token"]
    assert refreshed == json.loads(login_file(context).read_bytes())["access_token"]
    assert cloud.accepts(refreshed)
    other = cloud.new_login()
    await account(context, cloud).import_login(put(tmp_path, other))
    assert seen(before)["access_token"] == other["access_token"]
    after = await auth.grant(CODE)
    assert after.fingerprint == before.fingerprint
    assert after.mark != before.mark
    assert before.mounts[0].source.stat().st_ino == directory


@pytest.mark.anyio
async def test_a_file_copied_over_the_login_is_seen_by_containers_while_nobody_asks(
    context: Context, cloud: Cloud
) -> None:
    file = put(context.folder / "credentials", cloud.new_login())
    auth = account(context, cloud, look=0.01, usage_minutes=0)
    grant = await auth.grant(CODE)
    other = cloud.new_login()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(auth.run)
        put(file.parent, other, file.stem)
        with anyio.fail_after(30):
            while seen(grant)["access_token"] != other["access_token"]:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_the_token_is_replaced_before_it_ends(context: Context, cloud: Cloud) -> None:
    put(context.folder / "credentials", cloud.new_login(400, later=900))
    auth = account(context, cloud, look=0.01, usage_minutes=0)
    grant = await auth.grant(CODE)
    first = seen(grant)["access_token"]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(auth.run)
        with anyio.fail_after(30):
            while seen(grant)["access_token"] == first:
                await anyio.sleep(0.01)
        assert cloud.accepts(seen(grant)["access_token"])
        tasks.cancel_scope.cancel()
    assert cloud.refreshes == 1


@pytest.mark.anyio
async def test_many_chats_whose_token_has_ended_cost_one_refresh_and_see_one_token(
    context: Context, cloud: Cloud
) -> None:
    put(context.folder / "credentials", cloud.new_login(-10))
    auth = account(context, cloud)
    tokens: list[str] = []

    async def chat(need: Need) -> None:
        tokens.append(seen(await auth.grant(need))["access_token"])

    async with anyio.create_task_group() as chats:
        for number in range(16):
            chats.start_soon(chat, CODE if number % 2 else CLI)
    assert len(set(tokens)) == 1
    assert cloud.refreshes == 1


@pytest.mark.anyio
async def test_the_fingerprint_follows_the_way_in_which_the_login_is_seen(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    ways = [await account(context, credentials=way).grant(CODE) for way in ("access-only", "shared", "access-only")]
    first, second, third = (grant.fingerprint for grant in ways)
    assert first == third != second


# ------------------------------------------------------------------- a disk that can't be written
@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Let no file get longer, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Mount a folder over itself, read-only."""
    for options in ("bind", "remount,bind,ro"):
        done = subprocess.run(["mount", "-o", options, str(folder), str(folder)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.anyio
@pytest.mark.parametrize("unwritable", [full, read_only])
async def test_where_a_new_token_cannot_be_written_the_owner_hears_and_the_old_one_serves(
    context: Context, cloud: Cloud, unwritable: Callable[[Path], AbstractContextManager[None]]
) -> None:
    file = put(context.folder / "credentials", cloud.new_login())
    auth = account(context, cloud)
    before = await auth.grant(CODE)
    put(file.parent, cloud.new_login(), file.stem)
    with unwritable(context.folder / "served"):
        after = await auth.grant(CODE)
        assert seen(after) == seen(before)
        assert (after.mark, after.fingerprint) == (before.mark, before.fingerprint)
        (told,) = {text for text in told_by(context) if "can't be given the new access token" in text}
        assert "NanoKimi can't write" in told
        await auth.rejected(after, "401 Unauthorized")  # says nothing of the new login, which nobody has seen
        assert (await auth.status()).state == "ok"
    await auth.grant(CODE)
    assert seen(after)["access_token"] == json.loads(file.read_bytes())["access_token"]


@pytest.mark.anyio
async def test_a_login_that_was_replaced_takes_no_newer_ones_place_and_one_that_is_brought_again_does(
    context: Context,
) -> None:
    serving = Serving(Settings(), context)
    old, new = (parse(json.dumps(new_login()).encode()) for _ in range(2))
    newest = {login: mark_of(login, context.installation) for login in (old, new)}
    assert await serving.show(CODE, old) == newest[old]
    await serving.replace(new)
    await serving.repeat(old)
    assert await serving.show(CODE, old) == newest[new]
    (file,) = (context.folder / "served").rglob("kimi-code*.json")
    assert parse(file.read_bytes()).access_token == new.access_token
    await serving.replace(old)
    assert await serving.show(CODE, new) == newest[old]


@pytest.mark.anyio
async def test_where_a_new_token_cannot_be_written_and_the_old_one_has_ended_a_grant_says_so(context: Context) -> None:
    serving = Serving(Settings(), context)
    ends = time.time() + 2
    ending, next_one = (parse(json.dumps(new_login() | {"expires_at": at}).encode()) for at in (ends, ends + 900))
    await serving.show(CODE, ending)
    with full(context.folder):
        assert await serving.show(CODE, next_one) == mark_of(ending, context.installation)
        assert "can't be given the new access token" in told_by(context)[0]
        with anyio.fail_after(20):
            while not ending.expired(time.time()):
                await anyio.sleep(0.02)
        with pytest.raises(LoginProblem, match="NanoKimi can't write"):
            await serving.show(CODE, next_one)


@pytest.mark.anyio
async def test_where_nothing_was_ever_shown_a_disk_that_cannot_be_written_is_named(context: Context) -> None:
    put(context.folder / "credentials", new_login())
    auth = account(context)
    with full(context.folder):
        assert "NanoKimi can't write" in await refusal(auth)


# ------------------------------------------------------------------- who may read it
def need_of(uid: int) -> Need:
    return Need("kimi-code", PurePosixPath("/home/node/.kimi-code"), (uid, uid))


def served(folder: Path, uid: int) -> Path:
    """Show a login to one user, and give the file that it sees."""
    shows = Served(Settings(), folder)
    shows.give(need_of(uid), parse(json.dumps(new_login()).encode()))
    return shows.folder_for(need_of(uid)) / "kimi-code.json"


def test_root_gives_the_containers_user_its_token_and_keeps_the_login(open_folder: Path, as_user: AsUser) -> None:
    file = served(open_folder, 1000)
    for path, mode in ((file, 0o600), (file.parent, 0o700)):
        assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (1000, 1000, mode)
    (open_folder / "served").chmod(0o711)
    file.parent.parent.chmod(0o711)
    with as_user(1000):
        assert json.loads(file.read_bytes())["access_token"]
    with as_user(1001), pytest.raises(PermissionError):
        file.read_bytes()


@pytest.mark.anyio
async def test_the_login_itself_is_taken_back_from_the_user_that_containers_shared_it_as(
    context: Context, as_user: AsUser
) -> None:
    file = put(context.folder / "credentials", new_login())
    lock = context.folder / "oauth" / "kimi-code"
    lock.parent.mkdir(mode=0o700)
    lock.touch()
    shared = (file, file.parent, lock, lock.parent)
    for path in shared:
        os.chown(path, 1000, 1000)
    await account(context).grant(need_of(1000))
    assert [path.stat().st_uid for path in shared] == [0, 0, 0, 0]  # or an agent that refreshes as root can't lock
    assert file.stat().st_mode & 0o777 == 0o600


def test_another_user_than_nanokimis_own_is_let_in_by_an_acl_and_nobody_else(
    open_folder: Path, as_user: AsUser
) -> None:
    os.chown(open_folder, 1000, 1000)
    open_folder.chmod(0o700)
    with as_user(1000):
        try:
            file = served(open_folder, SUB_UID)
        except LoginProblem as problem:
            pytest.skip(f"no ACLs on this file system: {problem}")
        served(open_folder, SUB_UID)
    assert file.stat().st_uid == 1000
    assert rights(file).allow((SUB_UID, SUB_UID), 4)
    assert not rights(file).allow((SUB_UID, SUB_UID), 2)
    assert rights(file.parent).allow((SUB_UID, SUB_UID), 5)
    assert not rights(file).allow((1001, 1000), 4)
    for folder in (open_folder, open_folder / "served", file.parent.parent):
        folder.chmod(0o711)
    with as_user(SUB_UID):
        assert json.loads(file.read_bytes())["access_token"]
    with as_user(1001), pytest.raises(PermissionError):
        file.read_bytes()


def test_what_a_killed_process_left_beside_the_file_is_never_seen_and_goes_with_time(open_folder: Path) -> None:
    file = served(open_folder, os.geteuid())
    left = file.parent.parent / f".{file.name}.12345678"
    left.touch()
    served(open_folder, os.geteuid())
    assert left.exists()  # it may be another process's that is writing
    os.utime(left, (0, 0))
    served(open_folder, os.geteuid())
    assert not left.exists()
    assert [path.name for path in file.parent.iterdir()] == [file.name]
