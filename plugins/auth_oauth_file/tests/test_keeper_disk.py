"""Full, read-only and vanishing disks, and what a process leaves behind that dies in a refresh."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from nanokimi_auth_oauth_file.disk.login import LoginProblem
from nanokimi_auth_oauth_file.disk.writing import Reserved, serialised
from nanokimi_auth_oauth_file.keeping.journal import Journal
from nanokimi_auth_oauth_file.keeping.state import read_state
from nanokimi_core import AccountAway
from testbed.cloud_faults import Alter, Refuse
from testbed.kept import Kept, text, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))
    yield folder
    while os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    file = folder / "filling"
    with file.open("wb", buffering=0) as stream:
        try:
            while stream.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return file


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    mount("-o", "remount,ro", str(folder))
    try:
        yield
    finally:
        mount("-o", "remount,rw", str(folder))


async def test_a_full_disk_spends_nothing_and_is_loud_and_the_old_token_serves(kept: Kept, disk: Path) -> None:
    full = Kept(kept.folder, kept.cloud, path=str(disk))
    login = full.log_in(900)
    full.times.go(500)
    filling = fill(disk)
    keeper = full.keeper()
    async with full.running(keeper):
        await until(lambda: keeper.state.kind == "unwritable")
        assert "No space left" in full.context.told[0]
        assert text((await keeper.fresh()).access_token) == login["access_token"]
        assert (full.cloud.oauth.token_requests, full.read()) == (0, login)
        filling.unlink()
        full.times.steady += 61
        await until(lambda: not keeper.state.kind)
        await until(lambda: len(full.context.told) == 2)
    assert full.spendable
    assert names(disk) == ["kimi-code.json", "kimi-code.lock"]


async def test_a_read_only_disk_spends_nothing_and_names_the_folder(kept: Kept, disk: Path) -> None:
    frozen = Kept(kept.folder, kept.cloud, path=str(disk))
    login = frozen.log_in(-5)
    keeper = frozen.keeper()
    with read_only(disk), pytest.raises(AccountAway, match=f"{disk}: Read-only file system"):
        await keeper.fresh()
    assert (frozen.cloud.oauth.token_requests, frozen.read()) == (0, login)
    frozen.times.go(61)
    await keeper.fresh()
    assert frozen.spendable


async def test_another_process_ends_no_trouble_with_the_disk_before_a_write_has_worked(kept: Kept, disk: Path) -> None:
    frozen = Kept(kept.folder, kept.cloud, path=str(disk))
    frozen.log_in(900)
    with read_only(disk):
        with pytest.raises(AccountAway, match="Read-only file system"):
            await frozen.keeper().renew(None)
        before = read_state(frozen.folder)
        assert before is not None
        async with frozen.running(later := frozen.keeper()):
            await later.fresh()
            await until(lambda: later.state.next_refresh is not None and read_state(frozen.folder) == later.state)
        assert (later.state.kind, later.state.failing_since) == ("unwritable", before.failing_since)
        assert later.state.last_refresh is None  # the file's own time is no refresh
    await frozen.keeper().renew(None)
    state = read_state(frozen.folder)
    assert state is not None
    assert state.kind == ""
    assert state.last_refresh is not None


async def test_a_new_login_ends_the_trouble_of_an_earlier_process(kept: Kept, disk: Path) -> None:
    frozen = Kept(kept.folder, kept.cloud, path=str(disk))
    frozen.log_in(900)
    with read_only(disk), pytest.raises(AccountAway):
        await frozen.keeper().renew(None)
    frozen.put(frozen.cloud.new_login(1800) | {"expires_in": 900})
    async with frozen.running(later := frozen.keeper()):
        await until(lambda: later.state.next_refresh is not None)
    assert later.state.kind == ""


async def test_a_disk_that_an_earlier_process_could_not_write_to_is_told_again(kept: Kept, disk: Path) -> None:
    frozen = Kept(kept.folder, kept.cloud, path=str(disk))
    frozen.log_in(900)
    frozen.times.go(500)
    with read_only(disk):
        for times in (1, 2):
            async with frozen.running(frozen.keeper()):
                await until(lambda times=times: len(frozen.context.told) == times)
    assert all("Read-only file system" in said for said in frozen.context.told)


async def test_without_room_for_the_journal_nothing_is_spent(kept: Kept, disk: Path) -> None:
    noted = Kept(disk / "instance", kept.cloud, path=str(kept.folder))
    noted.log_in(-5)
    filling = fill(disk)
    with pytest.raises(AccountAway, match="No space left"):
        await noted.keeper().fresh()
    assert noted.cloud.oauth.token_requests == 0
    filling.unlink()
    await noted.keeper().fresh()
    assert noted.spendable


@pytest.fixture
def freezing(kept: Kept, disk: Path) -> Kept:
    """A login on a disk that becomes read-only with the next answer of the server."""
    frozen = Kept(kept.folder, kept.cloud, path=str(disk))
    frozen.log_in(-5)

    class Freezing(Alter):
        def apply(self, answer: Any) -> Any:
            # Not the disk, which a file that is open for writing keeps from it.
            subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)
            return answer

    frozen.cloud.oauth.script(Freezing())
    return frozen


def thaw(frozen: Kept) -> None:
    subprocess.run(["umount", str(frozen.credentials)], check=True)


async def test_a_new_login_that_cant_be_written_is_used_told_and_written_when_it_can_be(freezing: Kept) -> None:
    keeper = freezing.keeper()
    before = freezing.read()
    found = await keeper.fresh()
    assert freezing.cloud.accepts(text(found.access_token))
    assert freezing.read() == before
    assert keeper.state.kind == "unsaved"
    assert "couldn't be saved" in freezing.context.told[0]
    thaw(freezing)
    async with freezing.running(keeper):
        freezing.times.steady += 61
        await until(lambda: not keeper.state.kind)
    assert freezing.read()["access_token"] == text(found.access_token)
    assert freezing.spendable
    assert freezing.cloud.oauth.refresh_requests == 1
    assert not (freezing.folder / "rescued.json").exists()


@pytest.mark.parametrize("left", [True, False])
async def test_a_new_login_that_was_never_written_outlives_the_process(freezing: Kept, left: bool) -> None:
    found = await freezing.keeper().fresh()
    thaw(freezing)
    for aside in freezing.credentials.glob(".kimi-code.json.*"):
        if not left:  # as if nothing at all could have been written there
            aside.unlink()
    again = await freezing.keeper().fresh()
    assert text(again.access_token) == text(found.access_token) == freezing.read()["access_token"]
    assert freezing.spendable
    assert freezing.cloud.oauth.refresh_requests == 1


async def test_an_owners_login_wins_over_one_that_was_never_written(freezing: Kept) -> None:
    keeper = freezing.keeper()
    await keeper.fresh()
    thaw(freezing)
    brought = freezing.log_in(900)
    assert text((await keeper.fresh()).access_token) == brought["access_token"]
    async with freezing.running(keeper):
        await until(lambda: not keeper.state.kind)
    assert freezing.read() == brought
    assert not (freezing.folder / "rescued.json").exists()


async def test_a_login_that_is_taken_away_takes_one_that_was_never_written_along(freezing: Kept) -> None:
    keeper = freezing.keeper()
    await keeper.fresh()
    thaw(freezing)
    freezing.file.unlink()
    async with freezing.running(keeper):
        await until(lambda: keeper.state.kind == "login_needed")
        freezing.log_in(900)
        await until(lambda: not keeper.state.kind)
    assert not (freezing.folder / "rescued.json").exists()


async def test_one_that_was_never_written_mends_a_torn_file(freezing: Kept) -> None:
    keeper = freezing.keeper()
    found = await keeper.fresh()
    thaw(freezing)
    freezing.file.write_text("{")
    assert text((await keeper.fresh()).access_token) == text(found.access_token)
    async with freezing.running(keeper):
        freezing.times.steady += 61
        await until(lambda: not keeper.state.kind)
    assert freezing.spendable


# ------------------------------------------------------------------- what a process leaves behind
async def test_a_rescued_login_serves_where_it_still_cant_be_written(kept: Kept, disk: Path) -> None:
    full = Kept(kept.folder, kept.cloud, path=str(disk))
    note(full, full.log_in(-5))
    rescued = kept.cloud.new_login(900)
    (full.folder / "rescued.json").write_text(json.dumps(rescued))
    (disk / "kimi-code.lock").touch()
    filling = fill(disk)
    keeper = full.keeper()
    assert text((await keeper.fresh()).access_token) == rescued["access_token"]
    assert keeper.state.kind == "unsaved"
    filling.unlink()
    async with full.running(keeper):
        full.times.steady += 61
        await until(lambda: not keeper.state.kind)
    assert full.read() == rescued
    assert full.cloud.oauth.token_requests == 0
    assert not (full.folder / "rescued.json").exists()


async def test_a_death_before_the_request_costs_nothing(kept: Kept) -> None:
    login = kept.log_in(-5)
    (kept.credentials / ".kimi-code.json.left").write_text(" " * 100)
    note(kept, login)
    await kept.keeper().fresh()
    assert kept.spendable
    assert names(kept.credentials) == ["kimi-code.json", "kimi-code.lock"]


async def test_a_death_between_answer_and_write_is_said_plainly_and_asked_about_once(kept: Kept) -> None:
    login = kept.log_in(-5)
    note(kept, login)
    kept.cloud.oauth.revoke()
    said = r"the process ended at about 2026-01-02 03:04:05 UTC between the server's answer and the write, so .* spent"
    for _ in range(2):
        with pytest.raises(LoginProblem, match=said):
            await kept.keeper().fresh()
    assert kept.cloud.oauth.refresh_requests == 1


async def test_the_time_of_the_first_try_is_said_however_many_follow(kept: Kept) -> None:
    note(kept, kept.log_in(-5))
    keeper = kept.keeper()
    kept.cloud.oauth.script(Refuse(503, ""), Refuse(429, ""))
    for _ in range(2):
        with pytest.raises(AccountAway):
            await keeper.fresh()
        kept.times.go(61)
    kept.cloud.oauth.revoke()
    with pytest.raises(LoginProblem, match="2026-01-02 03:04:05 UTC"):
        await keeper.fresh()


async def test_a_death_between_write_and_rename_loses_nothing(kept: Kept) -> None:
    login = kept.log_in(-5)
    note(kept, login)
    Reserved(kept.file, ".kimi-code.json.left").keep(serialised(kept.cloud.new_login(900)))
    found = await kept.keeper().fresh()
    assert kept.cloud.accepts(text(found.access_token))
    assert kept.spendable
    assert kept.cloud.oauth.token_requests == 0
    assert names(kept.credentials) == ["kimi-code.json", "kimi-code.lock"]


async def test_what_was_left_behind_of_another_login_is_not_taken_up(kept: Kept) -> None:
    note(kept, kept.cloud.new_login(-5))
    (kept.credentials / ".kimi-code.json.left").write_text(json.dumps(kept.cloud.new_login(900)))
    kept.log_in(-5)
    await kept.keeper().fresh()
    assert kept.spendable
    assert kept.cloud.oauth.refresh_requests == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"spent": 1}', '{"spent": "x", "at": 1e99, "aside": "a"}', "null"])
async def test_a_journal_that_makes_no_sense_is_no_journal(kept: Kept, content: str) -> None:
    kept.log_in(-5)
    (kept.folder / "refreshing.json").write_text(content)
    await kept.keeper().fresh()
    assert kept.spendable
    assert not (kept.folder / "refreshing.json").exists()


def note(kept: Kept, login: dict[str, Any]) -> None:
    """Leave the journal of a refresh that was never ended."""
    kept.credentials.mkdir(exist_ok=True)
    journal = Journal(kept.folder, kept.context.installation)
    journal.begin(SecretStr(login["refresh_token"]), ".kimi-code.json.left")
    file = kept.folder / "refreshing.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"at": 1767323045}))
