"""A process that is killed while it writes: what it had acknowledged is there afterwards."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from nanokimi_core.store import Ending
from nanokimi_core.store.sqlite import SqliteStore
from store.making import DESK, NET, assert_sums, waiting, want

ROUNDS, CHATS = 8, 10

CHILD = """
import os, sys, itertools
from pathlib import Path
import anyio
from nanokimi_core.messages import Inbound
from nanokimi_core.store import Arrival, Claim, Ending, Owed, Role
from nanokimi_core.store.sqlite import SqliteStore

round_, chats = sys.argv[2], int(sys.argv[3])

def say(what, id_):
    os.write(1, f"{what} {id_}\\n".encode())

async def chat(store, name):
    lane = ("net", name)
    for n in itertools.count():
        id_ = f"{round_}.{name}.{n}"
        claim = Claim(*lane, f"turn {id_}", 5, 0, "2026-11-21")
        _, work, _ = await store.accept(Arrival("net", Inbound(id_, name, "ann", "hi"), Role.TURN), claim)
        say("accepted", id_)
        while work is not None:
            owed = [Owed(row.message.id, *lane, "hello") for row in work.rows]
            ended = [row.message.id for row in work.rows]
            rows, work = await store.finish(work, Ending.ANSWERED, owed, claim)
            for one in ended:
                say("finished", one)
            if n % 2:
                for row in rows:
                    store.sent(row, None)

async def main():
    async with SqliteStore(Path(sys.argv[1])) as store, anyio.create_task_group() as tasks:
        for number in range(chats):
            tasks.start_soon(chat, store, f"chat{number}")

anyio.run(main)
"""


def killed(path: Path, round_: int, lines: int) -> list[list[str]]:
    """Run a child until it has acknowledged some things, kill it, and give all that it had acknowledged."""
    command = [sys.executable, "-c", CHILD, str(path), str(round_), str(CHATS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            said = [child.stdout.readline() for _ in range(lines)]
        finally:
            child.kill()
        said += child.stdout.readlines()
    return [line.split() for line in said if line.endswith("\n")]


async def left_over(path: Path) -> None:
    """What the killed process had begun is worked off by the next one, and the counters add up."""
    async with SqliteStore(path) as store:
        await assert_sums(store)
        for transport, chat in await store.lanes():
            work = await store.claim(want("after", chat=chat))
            while work is not None:
                assert transport == NET
                _, work = await store.finish(work, Ending.ANSWERED, (), want(f"after {work.turn}", chat=chat))
        now = await store.counters()
        assert (now["pending"], now["answered"]) == (0, now["accepted"])
        await assert_sums(store)


def test_what_was_acknowledged_before_a_kill_is_there_afterwards(path: Path) -> None:
    kept = random.Random(7)  # noqa: S311  # not a secret
    accepted: set[str] = set()
    finished: set[str] = set()
    for round_ in range(ROUNDS):
        for what, id_ in killed(path, round_, kept.randrange(1, 600)):
            (accepted if what == "accepted" else finished).add(id_)
        with sqlite3.connect(path) as connection:
            states = dict(connection.execute("SELECT message, state FROM inbox_states"))
            keys = {key for (key,) in connection.execute("SELECT key FROM outbox_states")}
            assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
        connection.close()
        assert accepted <= states.keys()
        assert {states[id_] for id_ in finished} <= {"done"}
        assert finished <= keys
        anyio.run(left_over, path)
    assert len(accepted) > ROUNDS


@pytest.mark.anyio
async def test_a_write_ahead_log_cut_anywhere_gives_a_state_that_was_committed(path: Path, tmp_path: Path) -> None:
    async with SqliteStore(path) as store:
        for n in range(6):
            await waiting(store, str(n))
        main, log = path.read_bytes(), path.with_name("store.db-wal").read_bytes()  # noqa: ASYNC240  # small
    seen = set()
    for n, end in enumerate(range(len(log), len(log) - 40_000, -1999)):
        copy = tmp_path / f"copy{n}" / "store.db"
        copy.parent.mkdir()  # small
        copy.write_bytes(main)  # small
        copy.with_name("store.db-wal").write_bytes(log[:end])
        async with SqliteStore(copy) as store:
            seen.add((await store.lanes()).get((NET, DESK), 0))
            await assert_sums(store)
    assert max(seen) == 6
    assert len(seen) > 2
