"""The watch for secrets finds what it is there for."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

import pytest

from testbed.cloud import Cloud
from testbed.leaks import ACCESS, KEY, MARKS, REFRESH, Watch, in_files, marked
from testbed.site import Outcome, Site

PROGRAM = """
    import logging
    from testbed.leaks import ACCESS

    def test_shows_nothing(tmp_path):
        (tmp_path / "notes").write_text("nothing")

    def test_prints():
        print("the token is", ACCESS)

    def test_logs():
        logging.getLogger("nanokimi").error("the signature is %s", ACCESS)

    def test_leaves_a_file(tmp_path):
        (tmp_path / "notes").write_text(ACCESS)
"""


NAMES = ["nanokimi.db", "data/plugins/oauth_file/keeper.json", "logs/out.log", "chats/1/notes"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that this run of tests doesn't leave behind."""
    with TemporaryDirectory(prefix="leaks-") as folder:
        yield Path(folder)


def test_every_token_of_the_login_server_is_marked(cloud: Cloud) -> None:
    login = cloud.new_login()
    assert (marked(login["access_token"]), marked(login["refresh_token"])) == (ACCESS, REFRESH)


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_secret_is_found_in_a_file_of_any_kind(place: Path, name: str, mark: str) -> None:
    file = place / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\0" * ((1 << 20) - 5) + mark.encode() + b"\xff")
    assert list(in_files(place)) == [f"{file} holds a secret ({mark})"]


@pytest.mark.parametrize(
    ("name", "belongs"),
    [
        ("data/plugins/oauth_file/credentials/kimi-code.json", {ACCESS, REFRESH}),
        ("data/plugins/oauth_file/served/kimi-code-1000/credentials/kimi-code.json", {ACCESS}),
        ("data/plugins/apikey/key", {KEY}),
        ("data/chats/1/agent/kimi_docker/kimi-code/logs/kimi-code.log", {ACCESS, KEY}),
    ],
)
def test_secrets_may_stand_where_they_belong_and_others_not(place: Path, name: str, belongs: set[str]) -> None:
    file = place / name
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(MARKS))
    assert {mark for mark in MARKS if not any(f"({mark})" in line for line in in_files(place))} == belongs


def test_a_token_that_is_logged_whole_is_taken_out_and_a_piece_of_one_is_found(cloud: Cloud) -> None:
    token, watch = cloud.new_login()["access_token"], Watch()
    for said in (token, token.rpartition(".")[2]):
        watch.handle(logging.makeLogRecord({"name": "nanokimi", "msg": "the token is %s", "args": (said,)}))
    assert len(watch.taken()) <= 1
    watch.handle(logging.makeLogRecord({"name": "nanokimi", "msg": f"the end of the token is {ACCESS}"}))
    assert len(watch.taken()) == 1


def test_a_run_fails_by_the_tests_that_show_a_secret_and_by_the_files_that_hold_one(place: Path) -> None:
    (place / "test_leaky.py").write_text(dedent(PROGRAM))
    program = [sys.executable, "-m", "pytest", "-q", "-p", "testbed.leak_watch", "-p", "no:cacheprovider"]
    program += ["--rootdir", ".", "--basetemp", "base"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(program, cwd=place, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "2 failed, 2 passed" in done.stdout
    assert "Captured stdout call shows a secret" in done.stdout
    assert "a line of the log holds a secret" in done.stdout
    assert f"notes holds a secret ({ACCESS})" in done.stdout
    assert done.returncode == 1


def test_a_command_that_says_a_secret_fails_its_test(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="was said"):
        Site(tmp_path).run(f"no-command-{ACCESS}")  # which the answer names
    with pytest.raises(AssertionError, match="was said"):
        Outcome(0, "", REFRESH)
