"""Distributions made by a test, and the real command run in a clean environment that sees them."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from testbed.leaks import marked

TESTS = Path(__file__).parent.parent
SECONDS = 60
LONGEST = 120
THIRD_PARTY = "testbed.third_party"


@dataclass(frozen=True)
class Outcome:
    """How a command that ran in the test's own process has ended."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        says_no_secret(self.out, self.err)


Call = Callable[..., Outcome]


@dataclass
class Terminal:
    """A command in a terminal, and what it has written there."""

    process: subprocess.Popen[bytes]
    descriptor: int
    seen: str = ""

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def until(self, text: str) -> str:
        """Read on until there is this text; gives what was read."""
        start = len(self.seen)
        deadline = time.monotonic() + SECONDS
        while text not in self.seen[start:]:
            assert time.monotonic() < deadline, f"{text!r} never came: {self.seen!r}"
            self._read()
        return self.seen[start:]

    def until_unseen(self) -> None:
        """Wait until what is typed isn't shown any more."""
        deadline = time.monotonic() + SECONDS
        while termios.tcgetattr(self.descriptor)[3] & termios.ECHO:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def ended(self) -> int:
        """Wait for the end and give the exit code."""
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it never ended: {self.seen!r}"
            self._read()
        self._read()
        return self.process.returncode

    def _read(self) -> None:
        ready, _, _ = select.select([self.descriptor], [], [], 0.05)
        if ready:
            with suppress(OSError):  # the other side is closed
                self.seen += os.read(self.descriptor, 65536).decode("utf-8", "replace")


@dataclass
class Site:
    """A folder as pip would fill it, and a home for the command.

    Attributes:
        folder: The site's distributions, and ``home/``, where commands run.
        environment: More variables for commands.
        measured: Whether coverage measures the commands, and each process that looks at a plugin, too. That doubles
            what they cost; others have measured the same lines.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    measured: bool = True

    @property
    def home(self) -> Path:
        """Where commands run; ``nanokimi.toml`` is found there."""
        path = self.folder / "home"
        path.mkdir(exist_ok=True)
        return path

    @property
    def data(self) -> Path:
        return self.home / "data"

    def toml(self, text: str) -> Path:
        path = self.home / "nanokimi.toml"
        path.write_text(text)
        return path

    def install(self, name: str, target: str, *, distribution: str = "", version: str = "1.0") -> None:
        """Register an entry point ``name`` of the group ``nanokimi``."""
        dist = distribution or f"nanokimi-{name}"
        info = self.folder / "packages" / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[nanokimi]\n{name} = {target}\n")

    def write(self, name: str, source: str, **more: str) -> None:
        """Make a plugin out of its source."""
        module = f"third_party_{name}{len(list(self.folder.glob('packages/*')))}"
        packages = self.folder / "packages"
        packages.mkdir(exist_ok=True)
        (packages / f"{module}.py").write_text(source)
        self.install(name, module, **more)

    def ours(self, *names: str) -> None:
        """Install plugins of ``testbed.third_party``."""
        for name in names:
            self.install(name, f"{THIRD_PARTY}.{name}")

    def environ(self, **more: str) -> dict[str, str]:
        measuring = {k: v for k, v in os.environ.items() if k.startswith("COVERAGE")} if self.measured else {}
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "TMPDIR")} | measuring
        paths = os.pathsep.join([str(self.folder / "packages"), str(TESTS)])
        own = {"HOME": str(self.home), "PYTHONPATH": paths, "COLUMNS": "80"}
        return kept | own | self.environment | more

    def run(self, *arguments: str, said: str | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run ``nanokimi``; the input is empty unless ``said``."""
        done = subprocess.run(
            command(arguments),
            input=said or "",
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.home,
            env=self.environ(**more.pop("env", {})),
            check=False,
            **more,
        )
        says_no_secret(done.stdout, done.stderr)
        return done

    @contextmanager
    def terminal(self, *arguments: str, kind: str = "dumb") -> Iterator[Terminal]:
        """Run ``nanokimi`` in a terminal of its own, of that ``kind``."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            command(arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=self.home,
            env=self.environ(TERM=kind),
            start_new_session=True,
        )
        os.close(theirs)
        terminal = Terminal(process, ours)
        try:
            yield terminal
        finally:
            process.kill()
            process.wait(SECONDS)
            os.close(ours)
        says_no_secret(terminal.seen)

    @contextmanager
    def start(
        self, *arguments: str, stdin: int | IO[Any] | None = subprocess.DEVNULL
    ) -> Iterator[subprocess.Popen[str]]:
        """Start ``nanokimi`` and go on; it lives no longer than the block, and never longer than ``LONGEST``."""
        process = subprocess.Popen(
            command(arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env=self.environ(),
        )
        with process:
            guard = threading.Timer(LONGEST, process.kill)  # a test that reads its output would wait for ever
            guard.start()
            try:
                yield process
            finally:
                guard.cancel()
                process.kill()


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "nanokimi_core", *arguments]


def says_no_secret(*said: str) -> None:
    """See to it that nothing that a command has said holds a secret of the stand-in servers."""
    for text in said:
        assert marked(text) is None, f"a secret ({marked(text)}) was said: {text[-2000:]}"
