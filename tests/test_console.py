"""The console in a real terminal, and over pipes."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = 60


class Terminal:
    """A process on a pseudo-terminal."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._screen, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nanokimi_core", *words],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def until(self, text: str) -> str:
        deadline = time.monotonic() + SECONDS
        while text not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} never came, but {self.shown!r}"
            if select.select([self._screen], [], [], left)[0]:
                self.shown += os.read(self._screen, 4096).decode()
        return self.shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path, "chat")
    yield opened
    opened.close()


def test_a_person_talks_to_the_assistant_and_ends_with_ctrl_d(terminal: Terminal) -> None:
    terminal.until("Write to Kai.")
    terminal.type("good morning\n")
    terminal.until("Kai: good morning")
    terminal.type("/help\n")
    terminal.until("/new: forget this conversation")
    terminal.type("\x04")
    assert terminal.process.wait(SECONDS) == 0


def test_before_a_toml_exists_the_chat_says_that_echo_answers_and_how_to_get_kimi(terminal: Terminal) -> None:
    said = terminal.until("nanokimi init")
    assert "echo" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_chat_that_waits_for_a_line(terminal: Terminal, number: signal.Signals) -> None:
    terminal.until("Write to Kai.")
    terminal.process.send_signal(number)
    assert terminal.process.wait(SECONDS) in (130, 143)
    assert "Traceback" not in terminal.shown


def test_what_a_terminal_would_obey_is_not_shown(terminal: Terminal) -> None:
    terminal.until("Write to Kai.")
    terminal.type("a\x1b]0;title\x07b\n")
    terminal.until("Kai: a]0;titleb")
