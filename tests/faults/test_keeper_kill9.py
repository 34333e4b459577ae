"""``kill -9`` at random moments around refreshes: a login is lost only with the server's answer, and that is said."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.keeper_process import SAID
from faults.report import report
from nanokimi_core import private_folder
from testbed.cloud import Cloud

KILLS = int(os.environ.get("NANOKIMI_KEEPER_KILLS", "25"))
"""200 in the nightly run."""
SECONDS = 20
TESTS = Path(__file__).parents[1]


class Keeping:
    """One process after the other that keeps the login of one folder."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.cloud = cloud
        self.folder = private_folder(folder)
        self.credentials = private_folder(folder / "credentials")
        self.seed = time.time_ns()
        self.chance = random.Random(self.seed)  # noqa: S311  # no secret
        self.kills: Counter[str] = Counter()
        self.lost = 0
        self.left: set[str] = set()
        self.issued = ""
        self.file = self.credentials / "kimi-code.json"
        self.log_in()
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "faults.keeper_process", str(self.folder), cloud.oauth_host],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")} | {"PYTHONPATH": str(TESTS)},
        )

    def close(self) -> None:
        """End the process that forks the others; it ends when nothing more can come."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait(SECONDS)
        self._parent.stdout.close()

    def log_in(self) -> None:
        """Do what the owner does whose login is lost."""
        aside = self.credentials / "brought"
        aside.write_text(json.dumps(self.cloud.new_login()))
        aside.chmod(0o600)
        aside.replace(self.file)

    def live(self) -> None:
        """One life: it must have the login that was left behind, or say why not, and ends at a random moment."""
        child = self._begin()
        if self.chance.random() < 0.5:
            goal = self.cloud.oauth.refresh_requests + self.chance.choice((1, 2))
            self.until("refreshing", lambda: self.cloud.oauth.refresh_requests >= goal)
            time.sleep(self.chance.uniform(0, 0.01))
        else:
            time.sleep(self.chance.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        self._ended()
        self._look()

    def _begin(self) -> int:
        """Start a process, and wait until it has refreshed; one that says that the login is lost must be right."""
        before = _tokens(self.file)
        child = self._start()
        self.until("a refreshed login", lambda: self.said or _tokens(self.file) != before)
        if not self.said:
            return child
        self._ended()
        assert self.issued not in self.left, f"lost, although it was on disk: {self.said}; {self}"
        assert "between the server's answer and the write, so the login is spent" in self.said, self
        self.lost += 1
        (self.folder / SAID).unlink()
        self.log_in()
        return self._begin()

    def _look(self) -> None:
        """Note what the process has left behind, and which refresh token the server holds to be the login's."""
        self.until("the server to be quiet", lambda: self.cloud.quiet)
        asides = list(self.credentials.glob(".kimi-code.json.*"))
        self.kills["in a refresh"] += (self.folder / "refreshing.json").exists()
        self.kills["with a file aside"] += bool(asides)
        self.left = {token for file in (self.file, *asides) for token in _tokens(file)}
        self.issued = self.cloud.oauth.family(_tokens(self.file)[0])[-1]
        self.kills["with the new login in it"] += self.issued in self.left - set(_tokens(self.file))
        lock = self.folder / "oauth" / "kimi-code.lock"
        if lock.exists():  # as if the next start came later: who died in it holds this lock for five seconds
            os.utime(lock, (time.time() - 6,) * 2)

    @property
    def said(self) -> str:
        try:
            return (self.folder / SAID).read_text()
        except FileNotFoundError:
            return ""

    def until(self, what: str, reached: object) -> None:
        """Look again and again until something holds."""
        assert callable(reached)
        deadline = time.monotonic() + SECONDS
        while not reached():
            assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}; {self}"
            time.sleep(0.002)

    def _start(self) -> int:
        assert self._parent.stdin is not None
        self._parent.stdin.write("go\n")
        self._parent.stdin.flush()
        return int(self._line())

    def _ended(self) -> None:
        assert self._line() == "ended"

    def _line(self) -> str:
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().strip()

    def __repr__(self) -> str:
        return f"seed {self.seed}, {dict(self.kills)}, log: {(self.folder / 'log').read_text()[-2000:]}"


def _tokens(file: Path) -> list[str]:
    try:
        login = json.loads(file.read_text())
    except ValueError:
        return []
    return [login["access_token"], login["refresh_token"]]


@pytest.fixture
def keeping(tmp_path: Path, cloud: Cloud) -> Iterator[Keeping]:
    made = Keeping(tmp_path / "oauth_file", cloud)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.timeout(max(180, KILLS * 5))
def test_kill_9_around_refreshes_loses_a_login_only_with_the_servers_answer_and_says_so(keeping: Keeping) -> None:
    started = time.monotonic()
    for _ in range(KILLS):
        keeping.live()
    kills, refreshes = keeping.kills, keeping.cloud.refreshes
    report(
        f"kill -9 around refreshes: {KILLS} kills, {kills['in a refresh']} of them in one of {refreshes} refreshes, "
        f"{kills['with a file aside']} with a file aside, {kills['with the new login in it']} with the new login in "
        f"it: {keeping.lost} logins lost, each with the server's answer, and said; {time.monotonic() - started:.1f} s"
    )
    assert kills["in a refresh"], keeping
    assert keeping.cloud.oauth.reuses <= keeping.lost
    assert len(list(keeping.credentials.iterdir())) <= 4  # nothing piles up
    assert keeping.file.stat().st_mode & 0o777 == 0o600
