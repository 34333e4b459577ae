"""Who may use a login's files: NanoKimi as root, as the container's user, and as another one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

import pytest

from nanokimi_auth_oauth_file.disk.login import LoginProblem
from nanokimi_auth_oauth_file.disk.store import Store
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import Need
from testbed.cloud_oauth import OAuth

AsUser = Callable[[int], AbstractContextManager[None]]
HOME = PurePosixPath("/home/node/.kimi-code")
ME = 1000
SUB_UID = 100_999


def need(uid: int, agent: str = "kimi-code") -> Need:
    return Need(agent, HOME, (uid, uid))


def make(folder: Path, owner: int, mode: int = 0o600) -> Path:
    """Make a data folder with a login in it, all of one user."""
    file = folder / "credentials/kimi-code.json"
    file.parent.mkdir(mode=0o700)
    file.write_text(json.dumps(OAuth().new_login()))
    file.chmod(mode)
    for path in (folder, file.parent, file):
        os.chown(path, owner, owner)
    return file


def refusal(store: Store, uid: int) -> LoginProblem:
    with pytest.raises(LoginProblem) as caught:
        store.prepare(need(uid))
    with pytest.raises(LoginProblem):
        store.look("kimi-code", (uid, uid))
    assert caught.value.kind == "unreadable"
    return caught.value


def test_root_gives_the_login_to_the_containers_user(open_folder: Path, as_user: AsUser) -> None:
    file = make(open_folder, 0)
    lock = file.with_name("kimi-code.lock")
    lock.touch(0o600)
    Store(Settings(), open_folder).prepare(need(ME))
    for path in (file, file.parent, lock, open_folder / "oauth"):
        assert (path.stat().st_uid, path.stat().st_gid) == (ME, ME), path
    with as_user(ME):
        assert json.loads(file.read_text())["refresh_token"]
        (open_folder / "oauth/kimi-code.lock").mkdir()
        file.with_suffix(".new").write_text("{}")


def test_root_gives_back_what_an_earlier_user_has_left(open_folder: Path, as_user: AsUser) -> None:
    file = make(open_folder, 4321)
    Store(Settings(), open_folder).prepare(need(ME))
    assert file.stat().st_uid == ME


def test_root_does_not_take_a_strangers_own_login_away(open_folder: Path, as_user: AsUser) -> None:
    file = make(open_folder, 4321)
    store = Store(Settings(path=open_folder), open_folder)
    with pytest.raises(LoginProblem, match="belongs to uid 4321") as caught:
        store.prepare(need(ME))
    assert f"chown -R {ME}:{ME}" in caught.value.remedy
    assert file.stat().st_uid == 4321


def test_root_follows_no_link_that_an_agent_has_planted(open_folder: Path, as_user: AsUser) -> None:
    file = make(open_folder, ME)
    victim = open_folder / "victim"
    victim.touch(0o600)
    file.with_name("kimi-code.lock").symlink_to(victim)
    with pytest.raises(LoginProblem, match="is a link"):
        Store(Settings(), open_folder).prepare(need(ME))
    assert victim.stat().st_uid == 0


def test_an_import_as_root_belongs_to_whom_the_folder_belongs(open_folder: Path, as_user: AsUser) -> None:
    file = make(open_folder, ME)
    other = open_folder / "new.json"
    other.write_text(json.dumps(OAuth().new_login(5000)))
    Store(Settings(), open_folder).take(other)
    assert file.read_text() == other.read_text()
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (ME, 0o600)


def test_nanokimis_own_files_are_the_containers_too(open_folder: Path, as_user: AsUser) -> None:
    make(open_folder, ME)
    with as_user(ME):
        stored = Store(Settings(), open_folder).prepare(need(ME))
    assert stored.login is not None
    assert (open_folder / "oauth").stat().st_uid == ME


def test_files_of_root_are_refused_with_the_chown(open_folder: Path, as_user: AsUser) -> None:
    make(open_folder, 0)
    open_folder.chmod(0o777)
    with as_user(ME):
        problem = refusal(Store(Settings(), open_folder), ME)
        assert "can't look into" in problem.cause
        assert problem.remedy == f"run: sudo chown -R {ME}:{ME} {open_folder / 'credentials'}"
    os.chown(open_folder / "credentials", ME, ME)
    with as_user(ME):
        problem = refusal(Store(Settings(), open_folder), ME)
        assert problem.remedy == f"run: sudo chown -R {ME}:{ME} {open_folder / 'credentials'}"


def test_a_lock_of_root_that_the_agent_cannot_take_is_refused_with_the_chown(
    open_folder: Path, as_user: AsUser
) -> None:
    file = make(open_folder, ME)
    file.with_name("kimi-code.lock").touch(0o600)
    with as_user(ME):
        problem = refusal(Store(Settings(), open_folder), ME)
        assert "kimi-code.lock, which belongs to uid 0" in problem.cause
        assert problem.remedy.startswith(f"run: sudo chown -R {ME}:{ME} {open_folder / 'credentials'}")


def test_a_sub_uid_is_let_in_by_the_acl_that_the_remedy_names(open_folder: Path, as_user: AsUser) -> None:
    file = make(open_folder, ME)
    with as_user(ME):
        (open_folder / "oauth").mkdir()
        problem = refusal(Store(Settings(), open_folder), SUB_UID)
        assert f"the container's user {SUB_UID}" in problem.cause
        assert problem.remedy.startswith(f"run: setfacl -R -m u:{SUB_UID}:rwX")
    if os.system("setfacl --version >/dev/null 2>&1") != 0:  # noqa: S605
        pytest.skip("setfacl is not installed")
    with as_user(ME):
        assert os.system(problem.remedy.removeprefix("run: ")) == 0  # noqa: S605
        assert Store(Settings(), open_folder).prepare(need(SUB_UID)).login is not None
    open_folder.chmod(0o711)
    with as_user(SUB_UID):
        assert json.loads(file.read_text())["refresh_token"]
        file.with_suffix(".new").write_text("{}")


def test_a_login_that_only_the_containers_user_can_read_is_given_without_being_seen(
    open_folder: Path, as_user: AsUser
) -> None:
    file = make(open_folder, ME)
    (open_folder / "oauth").mkdir()
    for path in (file.parent, open_folder / "oauth"):
        path.chmod(0o777)
        os.chown(path, ME, ME)
    os.chown(file, SUB_UID, SUB_UID)
    with as_user(ME):
        assert Store(Settings(), open_folder).prepare(need(SUB_UID)).login is None
        problem = refusal(Store(Settings(), open_folder), ME)
        assert problem.remedy == f"run: sudo chown -R {ME}:{ME} {file.parent}"


def test_what_cannot_be_made_or_written_is_named(open_folder: Path, as_user: AsUser) -> None:
    file = make(open_folder, ME)
    new = open_folder / "new.json"
    new.write_text(json.dumps(OAuth().new_login(5000)))
    os.chown(open_folder, 0, 0)
    open_folder.chmod(0o755)
    with as_user(ME), pytest.raises(LoginProblem, match=f"NanoKimi can't make {open_folder / 'oauth'}"):
        Store(Settings(), open_folder).prepare(need(ME))
    os.chown(file.parent, 0, 0)
    file.parent.chmod(0o755)
    with as_user(ME), pytest.raises(LoginProblem, match="NanoKimi can't write"):
        Store(Settings(), open_folder).take(new)
    with as_user(ME), pytest.raises(LoginProblem, match="can't use"):
        Store(Settings(region="ai"), open_folder).prepare(need(ME, "kimi-code"))
