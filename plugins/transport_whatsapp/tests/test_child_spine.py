"""How a child begins and ends, and that nothing but values comes on its wire."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import stat
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from child_rig import ChildRig, Rigs, rigs
from scripted_engine import ME, SECONDS, Hang, event, text

from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.child.streams import TooLong, lines
from nanokimi_transport_whatsapp.engine import EngineError
from nanokimi_transport_whatsapp.values import Ask, Brought, Figures, Link, Send, Typing

ANN, BOB = "1000000002@lid", "1000000003@lid"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Rigs]:
    with rigs(tmp_path) as made:
        yield made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_message_is_brought_until_it_is_done_and_an_answer_is_sent(made: Rigs) -> None:
    child = made.start()
    assert child.expect(Figures) == [Figures()]
    made.network.wait_called("open")
    made.network.link(Link(state="connected", me=ME))
    assert child.expect(Link, state="connected")[0].me == ME
    made.network.bring(event(text(ANN, "A1", "hello")))
    (brought,) = child.expect(Brought)
    assert brought.message.id == "A1"
    child.tell(Send(request=child.request(), key="k1", chat=ANN, text="hi"))
    answer = child.answer(1)
    assert (answer.network_id, answer.sender, answer.again) == ("ID1", ME.id, False)
    child.kill()

    child = made.start()
    (again,) = child.expect(Brought)
    assert again == brought
    child.done(again)
    child.figures(spooled=0)
    assert child.stop() == exits.STOPPED
    assert child.strange == []


def test_what_the_library_prints_goes_to_the_log_and_its_stdin_is_empty(made: Rigs) -> None:
    child = made.start()
    made.network.wait_called("open")
    made.network.do("print")
    made.network.wait_called("printed")
    made.network.bring(event(text(ANN, "A1", "hello")))
    child.expect(Brought)
    assert child.strange == []
    assert [figures.spooled for figures in child.all(Figures)] == [0]
    log = child.log.read_text()
    assert '"spooled":77' in log
    assert '"spooled":78' in log
    assert "stdin holds b''" in log


def test_files_are_the_owners_and_no_secret_is_seen(made: Rigs) -> None:
    proxy = "socks5://me:s3cret@127.0.0.1:1"
    child = made.start(proxy=proxy)
    made.network.wait_called("open")
    made.network.link(Link(state="connected"))
    child.expect(Link)
    assert made.network.called("create")[0]["proxy"] == proxy
    assert "through the proxy ***" in child.log.read_text()
    process = Path(f"/proc/{child.process.pid}")
    seen = child.log.read_bytes() + (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert b"s3cret" not in seen
    assert str(child.places.folder).encode() not in child.log.read_bytes()
    folder, session = child.places.session.parent, child.places.session
    private = [folder, session, child.places.media, child.places.spool, child.places.child_lock]
    assert [mode(path) for path in private] == [0o700, 0o600, 0o700, 0o600, 0o600]


def test_a_change_of_the_link_is_told_also_where_the_session_cannot_be_kept_private(made: Rigs) -> None:
    child = made.start()
    made.network.wait_called("open")
    shutil.rmtree(child.places.session.parent)
    made.network.link(Link(state="connected"))
    child.expect(Link, state="connected")
    assert "the session can't be kept private: No such file or directory" in child.log.read_text()


@pytest.mark.parametrize("way", ["stdin", "signal", "hanging"])
def test_a_child_ends_soon_when_it_is_told_even_if_the_library_hangs(made: Rigs, way: str) -> None:
    child = made.start(limits={"stop_seconds": 0.3})
    made.network.wait_called("open")
    if way == "hanging":
        made.network.scripts["close"] = hang
    if way == "signal":
        child.process.terminate()
        assert child.ended() == exits.STOPPED
    else:
        assert child.stop() == exits.STOPPED
    assert len(made.network.called("close")) == 1


def hang(_: dict[str, object]) -> None:
    raise Hang


def test_a_second_child_waits_for_the_first_to_go_and_not_for_ever(made: Rigs) -> None:
    first = made.start()
    first.expect(Figures)
    second = made.start(limits={"lock_seconds": 0.1})
    assert second.ended() == exits.LOCKED
    assert "another child still uses the session" in second.expect(Link, state="ended")[0].said
    third, fourth = made.start(), made.start()
    assert fourth.stop() == exits.STOPPED  # seen while it waits for the lock
    third.tell(Ask())
    assert third.all(Figures) == []
    first.stop()
    third.expect(Figures, 2)


def test_a_library_that_cannot_be_loaded_is_said_in_one_line(made: Rigs) -> None:
    child = made.start(engine="no_such_engine")
    assert child.ended() == exits.LIBRARY_MISSING
    (link,) = child.all(Link)
    assert (link.state, link.said) == (
        "ended",
        "the WhatsApp library can't be loaded: No module named 'no_such_engine'",
    )
    assert child.log.read_text() == link.said + "\n"


def test_an_engine_that_says_why_it_cannot_be_made_is_quoted(made: Rigs) -> None:
    def refuse(_: dict[str, object]) -> None:
        raise EngineError("failed", "libmagic is missing; install it")

    made.network.scripts["create"] = refuse
    child = made.start()
    assert child.ended() == exits.LIBRARY_MISSING
    assert child.expect(Link)[0].said == "libmagic is missing; install it"


def test_a_folder_that_cannot_be_used_is_said(made: Rigs) -> None:
    made.folder.joinpath("media").write_text("in the way")
    child = made.start()
    assert child.ended() == exits.UNUSABLE
    assert child.expect(Link)[0].said == "the instance's folder can't be used: File exists"


def test_a_connection_that_cannot_be_begun_is_said_and_the_spool_is_handed_over(made: Rigs) -> None:
    def fail(_: dict[str, object]) -> None:
        raise RuntimeError("no such device")

    made.network.scripts["open"] = fail
    child = made.start()
    assert child.expect(Link, state="ended")[0].said == "the connection can't be begun: no such device"
    child.tell(Ask())
    child.expect(Figures, 2)


@pytest.mark.parametrize("data", [b"{}\n", b'{"kind":"figures"}\n'])
def test_a_line_that_is_no_value_ends_the_child(made: Rigs, data: bytes) -> None:
    child = made.start()
    child.write(data)
    assert child.ended() == exits.NOT_OURS


@pytest.mark.parametrize(
    ("first", "code"), [(b"", exits.STOPPED), (b"no value\n", exits.NOT_OURS), (b'{"kind":"ask"}\n', exits.NOT_OURS)]
)
def test_a_child_that_is_not_told_how_to_start_ends(first: bytes, code: int) -> None:
    command = [sys.executable, "-m", "nanokimi_transport_whatsapp.child"]
    ended = subprocess.run(command, input=first, capture_output=True, timeout=SECONDS, check=False)
    assert ended.returncode == code
    assert bool(ended.stdout) == bool(code)


def test_lines_are_put_together_and_one_that_is_too_long_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"one\n" + b"x" * 70_000 + b"\n\nlast")
    descriptor = os.open(file, os.O_RDONLY)
    assert [len(line) for line in lines(descriptor, 100_000)] == [3, 70_000, 0]
    os.lseek(descriptor, 0, os.SEEK_SET)
    with pytest.raises(TooLong):
        list(lines(descriptor, 50_000))
    os.close(descriptor)


def wait_until_held_up(child: ChildRig) -> None:
    """Wait until the child's writer waits for somebody to read."""
    assert child.process.stdout is not None
    until, waiting = time.monotonic() + SECONDS, 0
    while waiting < 60_000:
        assert time.monotonic() < until, "the pipe was never full"
        time.sleep(0.01)
        (waiting,) = struct.unpack("i", fcntl.ioctl(child.process.stdout, termios.FIONREAD, b"\0\0\0\0"))


def test_when_the_transport_does_not_read_the_spool_goes_on_taking_and_hints_are_dropped(made: Rigs) -> None:
    child = made.start()
    made.network.wait_called("open")
    made.network.typing(Typing(chat=ANN, sender=ANN, on=True))
    child.expect(Typing)
    child.reading.clear()
    long = "x" * 30_000
    made.network.bring(*(event(text(ANN, f"A{number}", long)) for number in range(300)))
    made.network.wait(lambda: len(made.network.kept) == 300, "300 events kept")
    wait_until_held_up(child)
    made.network.typing(Typing(chat=ANN, sender=ANN, on=False))
    made.network.link(Link(state="weak"))
    child.reading.set()
    child.expect(Link, state="weak")
    brought = child.expect(Brought, 64)
    child.done(*brought)
    child.expect(Brought, 128)
    assert len(child.all(Typing)) == 1
    child.reading.clear()
    child.done(*child.all(Brought))
    wait_until_held_up(child)
    for _ in range(300):
        child.tell(Ask())  # answers that nobody reads hold nothing up either
    assert child.stop() == exits.STOPPED


CALLBACK = """
import ctypes, sys
from nanokimi_transport_whatsapp.child.ending import Ending

Ending(1).on_faults()

class Dropped:
    def __del__(self):
        raise ValueError("nobody minds")

@ctypes.CFUNCTYPE(None)
def heard():
    raise ValueError("no such table")

Dropped()
print("still here", flush=True)
heard()
print("deaf", flush=True)
"""


def test_a_child_that_fails_where_the_library_calls_it_ends_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALLBACK], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stdout) == (exits.CALLBACK, "still here\n")
    assert done.stderr.endswith("the WhatsApp library was not heard: ValueError: no such table\n")


def test_a_child_that_has_a_fault_ends_and_says_it_in_its_log(made: Rigs) -> None:
    child = made.start()
    made.network.wait_called("open")
    with closing(sqlite3.connect(child.places.spool)) as connection:
        connection.execute("DROP TABLE heard")
    made.network.bring(event(text(ANN, "A1", "hello")))
    assert child.ended() == exits.FAULT
    assert "no such table: heard" in child.log.read_text()
