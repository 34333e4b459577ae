"""Real commands, with the real library, against the stand-in for WhatsApp's servers."""

from __future__ import annotations

import itertools
import os
import re
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from code_pictures import png_modules
from whatsapp_testbed import User, WhatsAppServer

from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.standing import read_note, read_standing
from nanokimi_transport_whatsapp.terminal.holding import in_use
from nanokimi_transport_whatsapp.terminal.picture import modules_of
from testbed.site import TESTS, Site, Terminal

pytestmark = pytest.mark.whatsapp

SECONDS = 60
MEMORY = Path("/dev/shm")
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WhatsAppServer]:
    with WhatsAppServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def ann(server: WhatsAppServer) -> User:
    number = next(_NUMBERS)
    return server.user(f"1555000{number:04}", f"1000000000{number:05}", "Ann")


@pytest.fixture
def site(server: WhatsAppServer, tmp_path: Path) -> Iterator[Site]:
    """A home in memory where there is one: linking writes 800 keys to disk, one by one."""
    environment = server.environment() | {"LINES": "10"}  # too few to draw in, so codes come as text
    environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], str(TESTS)])
    where = MEMORY if os.access(MEMORY, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(prefix="nanokimi-", dir=where) as folder:
        site = Site(Path(folder), environment)
        site.toml('transports = ["whatsapp"]\n')
        yield site


def places(site: Site, instance: str = "whatsapp") -> Places:
    return Places(site.data / "plugins" / instance)


def shown(terminal: Terminal, pattern: str) -> str:
    """Wait for a code."""
    deadline = time.monotonic() + SECONDS
    while not (found := re.search(rf"{pattern}\r", terminal.seen)):
        assert time.monotonic() < deadline
        terminal.until("\n")
    return found[1]


def link(site: Site, user: User, *arguments: str) -> str:
    """Link an account by its QR code; gives all that was said."""
    with site.terminal("whatsapp", "link", *arguments) as terminal:
        user.scan(shown(terminal, r"QR: (\S+)"))
        assert terminal.ended() == 0
        return terminal.seen


def wait(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_scanned_code_links_an_account_whose_login_nobody_else_can_read(site: Site, ann: User) -> None:
    png = site.home / "code.png"
    with site.terminal("whatsapp", "link", "--png", str(png)) as terminal:
        code = shown(terminal, r"QR: (\S+)")
        assert [row[2:-2] for row in png_modules(png)[2:-2]] == modules_of(code)
        ann.scan(code)
        terminal.until("Number [1]:")
        assert not png.exists()
        assert f"Linked: +{ann.number}." in terminal.seen
        assert "1. My own." in terminal.seen
        terminal.type("1\n")
        assert terminal.ended() == 0
    assert "Your chat with yourself is the owner's chat" in terminal.seen
    assert 'transports = ["whatsapp"]' in terminal.seen
    folder = places(site).session.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    note = read_note(places(site))
    assert note is not None
    assert (note.number, note.me.id) == ("own", ann.chat)

    again = site.run("whatsapp", "link", "--number", "own")
    assert again.returncode == 1
    assert f"whatsapp is linked already: +{ann.number}, since 20" in again.stderr
    assert "nanokimi whatsapp unlink" in again.stderr
    status = site.run("whatsapp", "status")
    assert status.returncode == 0
    assert f"account: +{ann.number}, your own number" in status.stdout


def test_a_typed_code_links_an_instance_by_its_own_name_and_unlink_tells_the_server(site: Site, ann: User) -> None:
    site.toml('transports = ["work"]\n[plugins.work]\nuse = "whatsapp"\n')
    typed = f"00{ann.number[0]} {ann.number[1:4]}-{ann.number[4:]}"
    with site.terminal("work", "link", "--number", "bot", "--phone", typed) as terminal:
        assert ann.type_code(shown(terminal, r"    (\w{4}-\w{4})"))
        assert terminal.ended() == 0
    assert "Link with phone number instead" in terminal.seen
    assert 'owner = "work:' in terminal.seen
    note = read_note(places(site, "work"))
    assert note is not None
    assert note.number == "bot"

    with site.terminal("work", "unlink") as terminal:
        terminal.until(f"Unlink work (+{ann.number})? [y/N]:")
        terminal.type("y\n")
        assert terminal.ended() == 0
    assert ann.devices() == []
    assert not places(site, "work").session.parent.exists()
    status = site.run("work", "status")
    assert (status.returncode, "nanokimi work link" in status.stdout) == (1, True)


def test_where_the_server_cannot_be_told_only_force_removes_a_login(
    site: Site, ann: User, server: WhatsAppServer
) -> None:
    site.measured = False
    link(site, ann, "--number", "own")
    server.trouble.down()
    try:
        kept = site.run("whatsapp", "unlink", "--yes")
        assert kept.returncode == 1
        assert "remove it on the phone (Linked devices), then: nanokimi whatsapp unlink --force" in kept.stderr
        assert places(site).session.exists()
        forced = site.run("whatsapp", "unlink", "--yes", "--force")
    finally:
        server.trouble.up()
    assert forced.returncode == 0
    assert "remove it on the phone" in forced.stdout
    assert not places(site).session.exists()
    assert read_note(places(site)) is None


def test_ctrl_c_leaves_nothing_behind_and_a_half_link_is_said_and_can_be_finished(site: Site, ann: User) -> None:
    with site.terminal("whatsapp", "link") as terminal:
        shown(terminal, r"QR: (\S+)")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130
    assert "Nothing was linked." in terminal.seen
    assert "Traceback" not in terminal.seen
    assert not in_use(places(site))
    assert "state: not linked" in site.run("whatsapp", "status").stdout

    with site.terminal("whatsapp", "link") as terminal:
        ann.scan(shown(terminal, r"QR: (\S+)"))
        terminal.until("Number [1]:")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130
    assert "isn't finished here: go on with nanokimi whatsapp link" in terminal.seen
    assert read_note(places(site)) is None
    unfinished = site.run("whatsapp", "status")
    assert (unfinished.returncode, "was not finished" in unfinished.stdout) == (1, True)

    finished = site.run("whatsapp", "link", "--number", "own")
    assert finished.returncode == 0, finished.stderr
    assert "QR" not in finished.stdout
    assert ann.devices() == [1]


def test_a_running_transport_gives_the_login_to_commands_and_goes_on_by_itself(
    site: Site, ann: User, server: WhatsAppServer
) -> None:
    site.measured = False

    def running(state: str) -> Callable[[], bool]:
        return lambda: (known := read_standing(places(site))) is not None and known.state == state

    with site.start("run"):
        wait(running("unlinked"))
        assert "The running nanokimi goes on with it by itself." in link(site, ann, "--number", "own")
        wait(running("connected"))
        assert site.run("whatsapp", "status").returncode == 0
        logins = ann.logins()

        server.trouble.stream_error(ann, conflict="replaced")
        wait(running("replaced"))
        lost = site.run("whatsapp", "status")
        assert (lost.returncode, "another program uses this login" in lost.stdout) == (1, True)
        wait(lambda: not in_use(places(site)))
        assert "connects whatsapp anew" in site.run("whatsapp", "reconnect").stdout
        wait(running("connected"))
        assert ann.logins() > logins

        assert site.run("whatsapp", "unlink", "--yes").returncode == 0
        wait(running("unlinked"))
        assert ann.devices() == []
