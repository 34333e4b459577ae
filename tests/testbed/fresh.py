"""Fresh virtual environments, as a stranger's: NanoKimi from built wheels, and nothing of this process's."""

from __future__ import annotations

import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from nanokimi_core.cli.scaffold import Plan

ROOT = Path(__file__).parent.parent.parent
SECONDS = 240
_OURS = ("COV_", "COVERAGE", "PYTEST", "PYTHON", "NANOKIMI", "MOONSHOT", "ASSISTANT", "VIRTUAL_ENV", "UV_RUN")
_NAMES = ("harbour", "meadow", "orchard", "quarry", "village", "lagoon", "prairie", "canyon")


def environ(**more: str) -> dict[str, str]:
    """Give what a stranger's processes see: how to reach a package index is theirs as well."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | more


def uv() -> list[str]:
    """Find uv: the one that runs this, one in the PATH, or one that is installed here."""
    named = os.environ.get("UV") or shutil.which("uv")
    if named:
        return [named]
    assert find_spec("uv"), "there is no uv; install it with: pip install uv"
    return [sys.executable, "-m", "uv"]


def run(
    command: Sequence[str | Path], *, cwd: Path, said: str | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which must be this exit code."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environ(),
        input=said or "",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def build(folder: Path) -> Path:
    """Build NanoKimi's wheel out of its source distribution; gives the wheel."""
    run([*uv(), "build", "-q", "--package", "nanokimi", "--out-dir", folder], cwd=ROOT)
    (wheel,) = folder.glob("nanokimi-*.whl")
    return wheel


class Fresh:
    """A virtual environment with nothing in it, and a folder to work in.

    Args:
        folder: For both.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self._programs = folder / "venv" / "bin"
        self._pinned = folder / "constraints.txt"
        tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
        self._pinned.write_text("\n".join({*tool["constraint-dependencies"], *tool["build-constraint-dependencies"]}))
        run([*uv(), "venv", "-q", "--python", sys.executable, folder / "venv"], cwd=self.home)

    def program(self, name: str) -> Path:
        """Give the path of a program in there."""
        return self._programs / name

    def install(self, *what: str | Path) -> None:
        """Install wheels, folders or names; of what they need, the versions that this project was tried with."""
        into = ["--python", str(self.program("python"))]
        pinned = ["--constraints", str(self._pinned), "--build-constraints", str(self._pinned)]
        run([*uv(), "pip", "install", "-q", *into, *pinned, *map(str, what)], cwd=self.home)

    def nanokimi(self, *arguments: str, said: str | None = None) -> str:
        """Run the command and give what it prints."""
        return run([self.program("nanokimi"), *arguments], cwd=self.home, said=said).stdout

    def pytest(self, folder: Path) -> str:
        """Run a distribution's tests and give what is printed."""
        return run([self.program("python"), "-m", "pytest", "-q"], cwd=folder).stdout

    def toml(self, text: str) -> None:
        """Write nanokimi.toml."""
        (self.home / "nanokimi.toml").write_text(text)

    @contextmanager
    def start(self, *command: str | Path) -> Iterator[Started]:
        """Start a program that goes on; it lives no longer than the block."""
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=self.home,
            env=environ(PYTHONUNBUFFERED="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            try:
                yield Started(process)
            finally:
                process.kill()


class Started:
    """A program that has been started, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def type(self, line: str) -> None:
        """Write a line to its input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for a line that has this in it."""
        while True:
            try:
                line = self._lines.get(timeout=SECONDS / 4)
            except queue.Empty:
                raise AssertionError(f"{pattern!r} never came: {''.join(self.seen)}") from None
            self.seen.append(line)
            if found := re.search(pattern, line):
                return found
            assert line, f"it ended without {pattern!r}: {''.join(self.seen)}"

    def end(self) -> int:
        """Ask it to stop, and give its exit code."""
        self.process.terminate()
        return self.process.wait(SECONDS / 4)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")


def free_name() -> str:
    """Give a name for a transport whose port, which comes from the name, nobody uses at the moment."""
    for name in _NAMES:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", int(Plan("transport", name).words()["port"])))
            except OSError:
                continue
            return name
    raise AssertionError("all these ports are in use")
