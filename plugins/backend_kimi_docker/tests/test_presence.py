"""Processes that share a plugin's folder: living ones are left alone, dead ones leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from nanokimi_backend_kimi_docker.presence import Presence

PRESENT = """
    import sys, time
    from pathlib import Path
    from nanokimi_backend_kimi_docker.presence import Presence

    with Presence(Path(sys.argv[1])) as presence:
        (presence.folder / "config.toml").write_text("key")
        print(presence.token, flush=True)
        time.sleep(60)
"""


def folders(root: Path) -> set[str]:
    return {path.name for path in (root / "running").iterdir()}


def test_two_that_are_present_at_once_keep_their_folders(tmp_path: Path) -> None:
    with Presence(tmp_path) as one:
        (one.folder / "config.toml").write_text("one")
        with Presence(tmp_path) as two:
            assert one.living() == two.living() == {one.token, two.token} == folders(tmp_path)
        assert (one.folder / "config.toml").read_text() == "one"
        assert one.living() == {one.token} == folders(tmp_path)
    assert folders(tmp_path) == set()


def test_the_folder_of_a_killed_process_is_removed_by_the_next_and_not_before_its_death(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PRESENT), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        token = other.stdout.readline().strip()
        with Presence(tmp_path) as mine:
            assert mine.living() == {mine.token, token}
            other.kill()
            other.wait(10)
            assert mine.living() == {mine.token}
            assert folders(tmp_path) == {mine.token, token}
    with Presence(tmp_path) as mine:
        assert folders(tmp_path) == {mine.token}


def test_a_folder_that_is_just_being_made_is_left_alone_and_a_forgotten_one_is_not(tmp_path: Path) -> None:
    for name in (".new", ".forgotten"):
        (tmp_path / "running" / name).mkdir(parents=True)
    long_ago = time.time() - 86_400
    os.utime(tmp_path / "running" / ".forgotten", (long_ago, long_ago))
    with Presence(tmp_path) as mine:
        assert mine.living() == {mine.token}
        assert folders(tmp_path) == {mine.token, ".new"}


def test_a_folder_that_cant_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "running").write_text("a file")
    with pytest.raises(OSError, match="running"), Presence(tmp_path):
        pass
