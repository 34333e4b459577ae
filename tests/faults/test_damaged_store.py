"""A database that can't be used, found at the start."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faults.peer import messages
from faults.rig import Rig
from testbed.site import command

SECONDS = 60
FROM_THE_FUTURE = 10_000


def read_only(database: Path) -> None:
    database.chmod(0o400)


def in_a_read_only_folder(database: Path) -> None:
    database.parent.chmod(0o500)


def cut_in_half(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def cut_within_its_header(database: Path) -> None:
    os.truncate(database, 50)


def something_else(database: Path) -> None:
    database.write_bytes(random.randbytes(20_000))  # noqa: S311  # no secret


def newer(database: Path) -> None:
    with closing(sqlite3.connect(database)) as store:
        store.execute(f"pragma user_version = {FROM_THE_FUTURE}")


CASES: dict[Callable[[Path], None], str] = {
    read_only: "read",
    in_a_read_only_folder: "read",
    cut_in_half: "damaged",
    cut_within_its_header: "damaged",
    something_else: "damaged",
    newer: "newer",
}


def bound_by_modes() -> list[str]:
    """Begin a command line under which root, too, is bound by the modes of files."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    assert setpriv, "setpriv (util-linux) is needed to test a read-only file as root"
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search"]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig whose store has seen some messages, and which has stopped; to be left as it is."""
    with closing(Rig(tmp_path_factory.mktemp("used"))) as rig:
        peer = rig.wire()
        rig.configure()
        peer.offer(messages("c", 1, 50))
        rig.service.start()
        rig.finish()
        yield rig


@pytest.mark.parametrize("damage", CASES, ids=lambda damage: damage.__name__.replace("_", " "))
def test_a_database_that_cannot_be_used_stops_the_start_with_one_sentence_and_stays_as_it_is(
    used: Rig, rig: Rig, damage: Callable[[Path], None]
) -> None:
    rig.wire()
    rig.configure()
    shutil.copytree(used.site.data, rig.site.data)
    database = rig.database
    damage(database)
    before = database.read_bytes()
    done = subprocess.run(
        [*bound_by_modes(), *command(["run"])],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=SECONDS,
        cwd=rig.site.home,
        env=rig.site.environ(),
        check=False,
    )
    database.parent.chmod(0o700)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if " INFO " not in line] == [done.stderr.splitlines()[-1]]
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("nanokimi: ")
    assert str(database.parent) in sentence
    assert CASES[damage] in sentence
    assert "; " in sentence, "it must say what to do"
    assert database.read_bytes() == before
