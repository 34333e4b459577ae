"""The guide's account: nanokimi auth login shows the code, and what comes of it counts in other processes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from club_server import ClubServer

from testbed.site import Site, command

CLUB = Path(__file__).parent.parent.parent / "docs" / "plugins" / "club"


@pytest.fixture
def server() -> Iterator[ClubServer]:
    club = ClubServer()
    yield club
    club.close()


@pytest.fixture
def site(tmp_path: Path, server: ClubServer) -> Site:
    site = Site(tmp_path)
    site.install("club", "nanokimi_club", distribution="nanokimi-auth-club")
    shutil.copy(CLUB / "nanokimi_club.py", tmp_path / "packages")
    site.toml(f'backend = "echo"\nauth = "club"\n[plugins.club]\nurl = "{server.url}"\n')
    return site


def login(site: Site, server: ClubServer, *, agree: bool) -> tuple[int, str]:
    """Log in, as a person does who reads the code and enters it on the page; gives the exit code and what was said."""
    with subprocess.Popen(
        command(["auth", "login", "club"]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=site.home,
        env=site.environ(PYTHONUNBUFFERED="1"),
    ) as process:
        assert process.stdout is not None
        said = ""
        while not (shown := set(re.findall(r"\b[0-9A-F]{6}\b", said)) & server.devices.keys()):
            line = process.stdout.readline()
            assert line, f"no code was shown: {said}"
            said += line
        server.enter(shown.pop(), agree=agree)
        rest, _ = process.communicate(timeout=60)
    return process.returncode, said + rest


def test_a_login_that_is_confirmed_serves_and_shows_no_secret(site: Site, server: ClubServer) -> None:
    code, said = login(site, server, agree=True)
    assert code == 0, said
    assert f"{server.url}/enter" in said
    assert "ana" in said
    status = site.run("auth", "status")
    assert (status.returncode, "ana" in status.stdout) == (0, True), status.stdout + status.stderr
    assert "club-" not in said.replace("club-1", "") + status.stdout


def test_a_login_that_is_refused_says_so_and_stores_nothing(site: Site, server: ClubServer) -> None:
    code, said = login(site, server, agree=False)
    assert code == 1
    assert "the login was refused" in said
    assert "Traceback" not in said
    assert site.run("auth", "status").returncode == 1
