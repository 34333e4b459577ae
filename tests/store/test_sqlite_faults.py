"""The SQLite file: permissions, damage, versions, full and read-only disks, and writing in company."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from nanokimi_core.errors import ConfigError
from nanokimi_core.store import Ending, LeaseLost, StoreError, Work
from nanokimi_core.store.sqlite import SqliteStore
from nanokimi_core.store.sqlite.schema import MIGRATIONS, migrate
from store.making import (
    DESK,
    NET,
    Clock,
    Opening,
    answer,
    assert_sums,
    ids,
    modes,
    read,
    said,
    size,
    taken,
    waiting,
    want,
    write,
)

pytestmark = pytest.mark.anyio


async def fill(path: Path, count: int = 3) -> None:
    async with SqliteStore(path) as store, anyio.create_task_group() as tasks:
        for n in range(count):
            tasks.start_soon(waiting, store, str(n))


# ---------------------------------------------------------------------- the file
async def test_only_the_owner_can_read_the_file_and_what_lies_beside_it(path: Path) -> None:
    write(path, b"")
    assert modes(path.parent)["store.db"] & 0o077
    async with SqliteStore(path) as store:
        await waiting(store, "x")
        seen = modes(path.parent)
    assert seen == {"data": 0o700, "store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


async def test_every_commit_is_flushed_and_freed_pages_can_go_back(path: Path) -> None:
    await fill(path)
    async with SqliteStore(path) as store:
        settings = {
            name: (await store._writer.call(lambda tx, name=name: tx.one(f"PRAGMA {name}")))[0]  # type: ignore[misc]
            for name in ("journal_mode", "synchronous", "auto_vacuum")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "auto_vacuum": 2}


async def test_vacuum_makes_the_file_smaller(path: Path, clock: Clock) -> None:
    async with SqliteStore(path, clock=clock) as store:
        for n in range(300):
            await store.accept(said(str(n), text="x" * 4000))
        assert await store.forget(f"{NET}:{DESK}") == 300
    large = size(path)
    async with SqliteStore(path) as store:
        await store.vacuum()
    assert size(path) < large / 2


async def test_what_was_done_or_forgotten_is_not_in_the_file(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.accept(said("1", text="the question of " * 9))
        rows, _ = await store.finish(await taken(store, "t"), Ending.ANSWERED, [answer("a", text="the answer of " * 9)])
        store.sent(rows[0], None)
        await store.accept(said("2", text="the secret of " * 9, chat="sofa"))
        await store.see(f"{NET}:sofa", "the name of the sofa", "group", ["the person on the sofa"])
        (row,) = await store.owe([answer("the key of the sofa", chat="sofa", text="the word to the sofa")])
        store.sent(row, "the first id on the sofa")
        store.receipt(NET, "the key of the sofa", "the second id on the sofa")
        assert await store.ours(NET, "sofa", "the second id on the sofa")
        await store.forget(f"{NET}:sofa")
    content = b"".join(one.read_bytes() for one in path.parent.iterdir())
    for text in (b"the question of", b"the answer of", b"the secret of", b"sofa"):
        assert text not in content


async def test_states_are_shown_in_words(path: Path) -> None:
    async with SqliteStore(path) as store:
        for n in range(2):
            await store.accept(said(str(n)), want(f"t{n}") if not n else None)
        rows = await store.owe([answer("a"), answer("b"), answer("c")])
        store.sent(rows[0], None)
        await store.give_up(rows[1], "blocked")
    with sqlite3.connect(path) as connection:
        inbox = connection.execute("SELECT message, chat, state, attempts FROM inbox_states").fetchall()
        outbox = connection.execute("SELECT key, chat, state, attempts FROM outbox_states").fetchall()
    connection.close()
    assert inbox == [("0", DESK, "claimed", 1), ("1", DESK, "pending", 0)]
    assert outbox == [("a", DESK, "sent", 1), ("b", DESK, "dead", 1), ("c", DESK, "owed", 1)]


async def test_claiming_and_counting_take_no_longer_with_many_rows(path: Path) -> None:
    await fill(path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 100 UNION ALL SELECT x + 1 FROM n WHERE x < 200100)"
            " INSERT INTO inbox(lane, message, state, role, attempts, since, ended) SELECT 1, x, 3, 0, 1, 0, 0 FROM n"
        )
    connection.close()
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    async with SqliteStore(path) as store:
        tx = store._writer._tx
        assert tx is not None
        tx.connection.set_progress_handler(step, 100)
        assert await store.lanes() == {(NET, DESK): 3}
        assert (await store.counters())["pending"] == 3
        await store.finish(await taken(store, "t"), Ending.ANSWERED, (), want("u"))
        tx.connection.set_progress_handler(None, 100)
    assert steps < 20  # a scan of the rows is 10,000 and more


# ---------------------------------------------------------------------- damage and versions
async def refused(path: Path) -> str:
    before = read(path)
    with pytest.raises(ConfigError) as caught:
        async with SqliteStore(path):
            raise AssertionError
    assert read(path) == before
    assert str(path) in str(caught.value)
    return str(caught.value)


async def test_a_newer_file_is_refused_and_left_as_it_is(path: Path) -> None:
    await fill(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "was written by a newer NanoKimi (its version is 99" in await refused(path)


@pytest.mark.parametrize("left", [1, 50, 4096, 0.5])
async def test_a_truncated_file_is_refused_and_left_as_it_is(path: Path, left: float) -> None:
    await fill(path, 200)
    content = read(path)
    write(path, content[: left if isinstance(left, int) else int(len(content) * left)])
    assert "restore it from a backup" in await refused(path)


@pytest.mark.parametrize(
    "content", [b"hello\n", b"\x00" * 8192, b"x" * 10_000, b"SQLite format 3\x00" + b"\xff" * 5000]
)
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    write(path, content)
    assert "restore it from a backup" in await refused(path)


async def test_an_empty_file_and_no_folder_are_a_new_store(path: Path, tmp_path: Path) -> None:
    write(path, b"")
    await fill(path)
    await fill(tmp_path / "a" / "b" / "store.db")


async def test_a_folder_in_its_place_is_said(path: Path) -> None:
    write(path / "file", b"")
    with pytest.raises(StoreError, match=r"store\.db can't be used"):
        await fill(path)


async def test_pages_damaged_in_the_middle_are_said(path: Path) -> None:
    await fill(path, 2000)
    content = bytearray(read(path))
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'inbox_open'").fetchone()
    connection.close()
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    write(path, bytes(content))
    with pytest.raises((StoreError, ConfigError), match="damaged"):
        async with SqliteStore(path) as store:
            await store.lanes()


async def test_an_older_file_is_brought_up_to_date_step_by_step(path: Path) -> None:
    path.parent.mkdir()
    older = (["CREATE TABLE a(x)", "INSERT INTO a VALUES(1)"],)
    newer = (*older, ["ALTER TABLE a ADD COLUMN y"], ["UPDATE a SET y = x + 1"])
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, path, older)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, path, (*newer[:2], ["UPDATE a SET y = 0", "nonsense"]))
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute("SELECT * FROM a").fetchall() == [(1, None)]
    for _ in range(2):
        migrate(connection, path, newer)
        assert connection.execute("SELECT * FROM a").fetchall() == [(1, 2)]
    assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    with pytest.raises(ConfigError, match="newer NanoKimi"):
        migrate(connection, path, older)
    connection.close()


async def test_the_newest_version_is_what_a_new_file_gets(path: Path) -> None:
    await fill(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.close()


# ---------------------------------------------------------------------- writing in company
async def test_an_operation_that_raises_harms_no_other_of_its_batch(path: Path) -> None:
    async with SqliteStore(path) as store:
        await waiting(store, "1")
        work = await taken(store, "t")
        await store.finish(work, Ending.ANSWERED)
        failures: list[Exception] = []

        async def finish_again() -> None:
            try:
                await store.finish(work, Ending.ANSWERED, [answer("never")])
            except LeaseLost as error:
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            for n in range(20):
                tasks.start_soon(store.accept, said(f"a{n}", chat=f"chat{n}"))
                if n % 5 == 0:
                    tasks.start_soon(finish_again)
        assert len(failures) == 4
        assert await store.lanes() == {(NET, f"chat{n}"): 1 for n in range(20)}
        assert (await store.counters())["received"] == 21
        assert await store.owed(NET, DESK, 0, 9) == []
        await assert_sums(store)


async def test_what_waits_together_is_one_commit(path: Path) -> None:
    async with SqliteStore(path) as store:
        tx = store._writer._tx
        assert tx is not None
        statements: list[str] = []
        tx.connection.set_trace_callback(statements.append)
        async with anyio.create_task_group() as tasks:
            for n in range(100):
                tasks.start_soon(store.accept, said(f"{n}", chat=f"chat{n}"))
        tx.connection.set_trace_callback(None)
    assert statements.count("COMMIT") <= 3


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_claim_goes_back_that_was_on_disk_when_its_task_was_cancelled(path: Path) -> None:
    async with SqliteStore(path) as store:
        await waiting(store, "1")
        claiming: list[asyncio.Task[object]] = []

        async def claim() -> None:
            task = asyncio.current_task()
            assert task is not None
            claiming.append(task)
            await store.claim(want("lost"))
            raise AssertionError("it was not cancelled")

        async def cancel() -> None:
            await store.lanes()  # in the same transaction, and answered first
            claiming[0].cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            tasks.start_soon(claim)
        await store.lanes()
        assert (await taken(store, "found")).attempts == 1


async def test_more_than_one_batch_is_written(path: Path) -> None:
    async with SqliteStore(path) as store:
        async with anyio.create_task_group() as tasks:
            for n in range(1000):
                tasks.start_soon(store.accept, said(f"{n}"))
        assert await store.lanes() == {(NET, DESK): 1000}


async def test_a_store_that_is_not_entered_says_so(path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="is closed"):
        await store.lanes()
    async with store:
        with pytest.raises(StoreError, match="entered already"):
            await store.__aenter__()
        await store.lanes()
    with pytest.raises(StoreError, match="is closed"):
        await store.lanes()
    async with store:
        await store.lanes()


async def test_an_error_inside_comes_out_as_it_is(path: Path) -> None:
    with pytest.raises(KeyError):
        async with SqliteStore(path):
            raise KeyError


async def test_what_was_posted_is_written_also_when_the_task_is_cancelled(path: Path) -> None:
    async with anyio.create_task_group() as tasks, SqliteStore(path) as store:
        (row,) = await store.owe([answer("a")])
        store.sent(row, None)
        tasks.cancel_scope.cancel()
        await anyio.sleep(5)
    async with SqliteStore(path) as store:
        assert (await store.counters())["sent"] == 1


# ---------------------------------------------------------------------- disks
@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


async def until_full(store: SqliteStore) -> list[str]:
    """Accept until there is no room; gives what was accepted."""
    kept = []
    with pytest.raises(StoreError, match="the disk is full; make room"):  # noqa: PT012  # which one doesn't matter
        for n in range(1000):
            await store.accept(said(f"{n}", text="x" * 3000))
            kept.append(f"{n}")
    return kept


async def test_a_full_disk_is_said_loses_nothing_and_work_goes_on_when_there_is_room(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    async with SqliteStore(small_disk / "store.db") as store:
        (row,) = await store.owe([answer("a")])
        kept = await until_full(store)
        with caplog.at_level(logging.ERROR, "nanokimi.store"):
            for n in range(50):
                store.count("refused_cap")
                store.count("received")
                if n == 0:
                    store.sent(row, None)
                with pytest.raises(StoreError):
                    await store.accept(said(f"later{n}", text="x" * 300_000))
        ballast.unlink()
        work: Work | None = await taken(store, "t", batch=1000)
        assert ids(work) == kept
        now = await store.counters()
        assert (now["sent"], now["owed"], now["refused_cap"]) == (1, 0, 50)
        await assert_sums(store)
    async with SqliteStore(small_disk / "store.db") as store:
        await assert_sums(store)


async def test_a_read_only_disk_is_said_and_work_goes_on_when_it_can_be_written(small_disk: Path) -> None:
    async with SqliteStore(small_disk / "store.db") as store:
        await waiting(store, "1")
        tx = store._writer._tx
        assert tx is not None
        tx.connection.execute("PRAGMA query_only = 1")
        with pytest.raises(StoreError, match="it is read-only; make the data folder writable"):
            await store.accept(said("2"))
        await waiting(store, "2")
        assert ids(await store.claim(want("t"))) == ["1", "2"]


async def test_a_store_on_a_read_only_disk_is_not_opened(small_disk: Path) -> None:
    await fill(small_disk / "store.db")
    remount(small_disk, "ro")
    with pytest.raises(StoreError, match=r"store\.db can't be used"):
        await fill(small_disk / "store.db")
    remount(small_disk, "rw")
    async with SqliteStore(small_disk / "store.db") as store:
        assert await store.lanes() == {(NET, DESK): 3}


async def test_what_was_sent_is_kept_until_it_can_be_written(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with SqliteStore(path) as store:
        (row,) = await store.owe([answer("a")])
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            store.sent(row, "n")
            store.count("refused_cap", 3)
            with pytest.raises(StoreError, match="another process holds it"):
                await store.lanes()
            store.count("refused_cap", 4)
            other.execute("ROLLBACK")
        other.close()
        now = await store.counters()
        assert (now["sent"], now["refused_cap"]) == (1, 7)
        assert await store.ours(NET, DESK, "n")
    assert "it is tried again" in caplog.text


async def test_locked_by_another_process_is_said(opening: Opening, path: Path) -> None:
    async with opening() as store:
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another process holds it; end that process"):
                await store.accept(said("1"))
        other.close()
        await waiting(store, "1")
