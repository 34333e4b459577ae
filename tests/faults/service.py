"""``nanokimi run`` as a process that is killed and started again."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from typing import IO

from testbed.site import Site, command, says_no_secret

SECONDS = 60
LOOK = 0.005
RUNS = " runs (nanokimi "


class Service:
    """One process after the other on one site; entered, none outlives the block.

    Args:
        site: Where.

    Attributes:
        started: When the last one was started, as in ``time.monotonic``.
        starts: How many there were.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.started = 0.0
        self.starts = 0
        self._process: subprocess.Popen[str] | None = None
        self._reading: threading.Thread | None = None
        self._said: list[str] = []
        self._logs: list[str] = []

    def close(self) -> None:
        """Kill what still runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def start(self) -> int:
        """Start another one, and give its process id at once."""
        assert self._process is None or self._process.poll() is not None, "one is running"
        environment = {
            k: v for k, v in self.site.environ().items() if not k.startswith("COVERAGE")
        }  # none of it is left
        self._said = []
        self.started = time.monotonic()
        self.starts += 1
        self._process = subprocess.Popen(
            command(["run"]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=self.site.home,
            env=environment,
        )
        assert self._process.stderr is not None
        self._reading = threading.Thread(target=self._read, args=(self._process.stderr, self._said), daemon=True)
        self._reading.start()
        return self._process.pid

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the last one wrote to stderr."""
        return "".join(self._said)

    @property
    def logs(self) -> str:
        """What all of them wrote."""
        return "".join([*self._logs, *self._said])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self.process.kill()
        self.ended()

    def stop(self) -> int:
        """Stop it as systemd does, and give the exit code."""
        self.process.terminate()
        return self.ended()

    def ended(self, seconds: float = SECONDS) -> int:
        """Wait for its end, and give the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it runs on after {seconds} s: {self.log[-2000:]}") from None
        assert self._reading is not None
        self._reading.join(SECONDS)
        says_no_secret("".join(self._said))
        self._logs.append("".join(self._said))
        self._said = []
        return code

    def until_said(self, text: str, seconds: float = SECONDS) -> None:
        """Wait until its log has this text."""
        deadline = time.monotonic() + seconds
        while text not in self.log:
            assert time.monotonic() < deadline, f"{text!r} was not said: {self.log[-2000:]}"
            assert self.running, f"it has ended without {text!r}: {self.log[-2000:]}"
            time.sleep(LOOK)

    def _read(self, stream: IO[str], said: list[str]) -> None:
        with stream:
            said.extend(stream)
