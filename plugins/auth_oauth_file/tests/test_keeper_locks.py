"""The keeper takes part in both agents' locks, as they do it, and waits for nobody for ever."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_auth_oauth_file.keeping.locks import DirectoryLock, FileLock, holding
from nanokimi_core import AccountAway, ConfigError
from testbed.cloud_faults import Alter, Slow
from testbed.kept import Kept, text, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def directory(kept: Kept) -> Path:
    return kept.folder / "oauth" / "kimi-code.lock"


def aged(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


@contextmanager
def flocked(path: Path) -> Iterator[None]:
    """Hold a lock as another program does."""
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


async def test_both_agents_locks_are_held_while_the_token_is_spent_and_left_afterwards(kept: Kept) -> None:
    kept.log_in(-5)
    seen: list[tuple[bool, bool]] = []

    class Looking(Alter):
        def apply(self, answer: Any) -> Any:
            with (kept.credentials / "kimi-code.lock").open() as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    free = True
                except BlockingIOError:
                    free = False
            seen.append((free, directory(kept).is_dir()))
            return answer

    kept.cloud.oauth.script(Looking())
    await kept.keeper().fresh()
    assert seen == [(False, True)]
    assert not directory(kept).exists()
    assert FileLock(kept.credentials / "kimi-code.lock").try_take()


@pytest.mark.parametrize("name", ["keeper.lock", "credentials/kimi-code.lock", "oauth/kimi-code.lock"])
async def test_a_lock_that_never_frees_is_named_and_nothing_is_sent(kept: Kept, name: str) -> None:
    kept.log_in(-5)
    lock = kept.folder / name
    keeper = kept.keeper(patience=0.05)
    if name.startswith("oauth"):
        lock.mkdir(parents=True)
        aged(lock, -60)
        with pytest.raises(AccountAway, match=f"holds the lock {lock}"):
            await keeper.fresh()
    else:
        with flocked(lock), pytest.raises(AccountAway, match=f"holds the lock {lock}"):
            await keeper.fresh()
    assert keeper.state.kind == "locked"
    assert kept.cloud.oauth.token_requests == 0


@pytest.mark.parametrize("name", ["keeper.lock", "credentials/kimi-code.lock", "oauth/kimi-code.lock"])
async def test_a_lock_that_frees_is_waited_for_and_what_its_holder_did_is_used(kept: Kept, name: str) -> None:
    kept.log_in(-5)
    lock, keeper = kept.folder / name, kept.keeper()

    async def need() -> None:
        await keeper.fresh()

    async with anyio.create_task_group() as tasks:
        if name.startswith("oauth"):
            lock.mkdir(parents=True)
            tasks.start_soon(need)
            await anyio.sleep(0.02)
            theirs = kept.log_in(900)
            lock.rmdir()
        else:
            with flocked(lock):
                tasks.start_soon(need)
                await anyio.sleep(0.02)
                theirs = kept.log_in(900)
    assert text((await keeper.fresh()).access_token) == theirs["access_token"]
    assert kept.cloud.oauth.token_requests == 0


async def test_a_lock_directory_of_a_dead_agent_is_taken_over_after_five_seconds_and_not_before(kept: Kept) -> None:
    kept.log_in(-5)
    directory(kept).mkdir(parents=True)
    aged(directory(kept), 3)
    with pytest.raises(AccountAway):
        await kept.keeper(patience=0.05).fresh()
    aged(directory(kept), 6)
    await kept.keeper(patience=0.05).fresh()
    assert kept.spendable
    assert not directory(kept).exists()


def test_a_dead_agents_lock_that_somebody_else_has_just_taken_over_is_theirs(tmp_path: Path) -> None:
    class Slower(DirectoryLock):
        """Somebody takes the lock over while this one looks."""

        def _is_stale(self, path: Path) -> bool:
            stale = super()._is_stale(path)
            if stale:
                path.rmdir()
                path.mkdir()
            return stale

    path = tmp_path / "kimi-code.lock"
    path.mkdir()
    aged(path, 6)
    assert not Slower(path).try_take()
    assert list(tmp_path.iterdir()) == [path]


async def test_a_lock_directory_is_kept_young_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "oauth" / "kimi-code.lock"
    async with holding(lock := DirectoryLock(path, touch=0.01)):
        aged_once = path.stat().st_mtime_ns
        await until(lambda: path.stat().st_mtime_ns > aged_once)
        assert not DirectoryLock(path).try_take()
        assert not lock.lost
    assert not path.exists()


async def test_a_lock_directory_that_was_taken_away_is_left_to_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "oauth" / "kimi-code.lock"
    async with holding(lock := DirectoryLock(path, touch=0.01)):
        path.rmdir()
        await until(lambda: lock.lost)
        path.mkdir()
    assert path.exists()


async def test_a_lock_that_is_a_link_is_not_followed(kept: Kept, tmp_path: Path) -> None:
    kept.log_in(-5)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (kept.credentials / "kimi-code.lock").symlink_to(victim)
    with pytest.raises(AccountAway):
        await kept.keeper().fresh()
    assert kept.cloud.oauth.token_requests == 0


async def test_cancelling_who_waits_for_a_lock_leaves_none_behind(kept: Kept) -> None:
    kept.log_in(-5)
    directory(kept).mkdir(parents=True)
    aged(directory(kept), -60)
    with anyio.move_on_after(0.05):
        await kept.keeper().fresh()
    assert FileLock(kept.credentials / "kimi-code.lock").try_take()
    assert FileLock(kept.folder / "keeper.lock").try_take()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("lock ")] == []


async def test_while_the_file_is_replaced_nothing_is_refreshed(kept: Kept) -> None:
    kept.log_in(-5)
    keeper = kept.keeper()
    async with anyio.create_task_group() as tasks, keeper.held():
        tasks.start_soon(keeper.fresh)
        tasks.start_soon(kept.keeper().fresh)
        await anyio.sleep(0.02)
        kept.log_in(900)
    assert kept.cloud.oauth.token_requests == 0


async def test_a_file_that_cant_be_held_is_an_error_that_names_the_lock(kept: Kept) -> None:
    kept.log_in(900)
    keeper = kept.keeper(patience=0.05)
    with flocked(kept.folder / "keeper.lock"), pytest.raises(ConfigError, match=r"keeper\.lock"):
        async with keeper.held():
            pass


async def test_a_file_that_is_not_there_yet_can_be_held(kept: Kept) -> None:
    async with kept.keeper().held():
        kept.log_in(900)


async def test_kimi_codes_own_way_of_locking_excludes_the_keepers(kept: Kept) -> None:
    """The dance of its lock library, by a shell: mkdir is the lock, rmdir its end."""
    kept.log_in(-5)
    kept.cloud.oauth.script(Slow(0.1))
    shell = shutil.which("sh")
    assert shell is not None
    attempts = f'for i in $(seq 400); do mkdir "{directory(kept)}" 2>/dev/null && exit 7; sleep 0.005; done'
    directory(kept).parent.mkdir()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kept.keeper().fresh)
        await until(lambda: kept.cloud.oauth.refresh_requests == 1)
        with anyio.fail_after(20):
            done = await anyio.run_process([shell, "-c", attempts], check=False)
        assert kept.spendable  # it got the lock when all was written
    assert done.returncode == 7
