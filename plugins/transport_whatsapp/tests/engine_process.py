"""A blocking face for the engine in a process of its own (``engine_child.py``)."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from nanokimi_transport_whatsapp.engine import EngineError

T = TypeVar("T")
CHILD = Path(__file__).with_name("engine_child.py")
WITHIN = 30.0
MOST = 5000


class EngineProcess:
    """An engine in a child process, between ``with`` and its end.

    Args:
        folder: For the session, and for what is written on stderr.
        environment: Beyond this process's own.
        scripted: With a scripted library in place of the real one.
    """

    def __init__(self, folder: Path, environment: dict[str, str] | None = None, *, scripted: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.session = folder / "session.db"
        self.errors = folder / "errors.log"
        command = [sys.executable, str(CHILD), str(self.session), *(["--scripted"] if scripted else [])]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | (environment or {}),
            )
        self._news = threading.Condition()
        self._told: deque[dict[str, Any]] = deque(maxlen=MOST)
        self._answers: dict[int, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._ended = False
        self._reader = threading.Thread(target=self._read, name="engine", daemon=True)
        self._reader.start()

    def __enter__(self) -> EngineProcess:
        self.told("ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(kill=error is not None)

    # ------------------------------------------------------------------ asking
    def begin(self, do: str, **given: Any) -> int:
        """Ask for something; the answer comes with ``answer``."""
        number = next(self._numbers)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"n": number, "do": do, "with": given}) + "\n")
        self.process.stdin.flush()
        return number

    def answer(self, number: int, within: float = WITHIN) -> Any:
        """Wait for an answer.

        Raises:
            EngineError: The engine raised it.
        """
        told = self._wait(lambda: self._answers.pop(number, None), within)
        if "error" in told:
            raise EngineError(**told["error"])
        return told["value"]

    def do(self, what: str, **given: Any) -> Any:
        """Ask, and wait for the answer."""
        return self.answer(self.begin(what, **given))

    def library(self, call: str, *arguments: Any) -> Any:
        """Ask the scripted library."""
        return self.do("library", call=call, arguments=list(arguments))

    # ------------------------------------------------------------------ what it tells
    def told(self, kind: str, wanted: Callable[[Any], bool] = lambda _: True, within: float = WITHIN) -> Any:
        """Wait for something to be told (``link``, ``raw``, ``typing``, ``log``); each thing is given out once."""

        def look() -> dict[str, Any] | None:
            return next((one for one in self._told if kind in one and wanted(one[kind])), None)

        found = self._wait(look, within)
        with self._news:
            self._told.remove(found)
        return found[kind]

    def forget(self) -> None:
        """Forget what was told so far."""
        with self._news:
            self._told.clear()

    def so_far(self, kind: str) -> list[Any]:
        """What has been told and not been taken yet."""
        with self._news:
            return [one[kind] for one in self._told if kind in one]

    def link(self, state: str) -> dict[str, Any]:
        """Wait for a state of the link; those before it are passed over."""
        link: dict[str, Any] = self.told("link", lambda link: link["state"] == state)
        return link

    def message(self) -> dict[str, Any]:
        """Wait for a raw event that is a message; read it."""
        while True:
            read: dict[str, Any] = self.do("read", raw=self.told("raw"))
            if read["message"] is not None:
                return read

    def until(self, look: Callable[[], Any], within: float = WITHIN) -> None:
        """Ask again and again until there is something.

        Raises:
            TimeoutError: There was nothing in this many seconds.
        """
        deadline = time.monotonic() + within
        while not look():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing came within {within} s")
            time.sleep(0.01)

    def finish(self, *, kill: bool = False) -> int:
        """Close the engine's input, or end its process by force; give the exit status."""
        if kill:
            self.process.kill()
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            status = self.process.wait(WITHIN)
        finally:
            self.process.kill()
        self._reader.join(WITHIN)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def _wait(self, look: Callable[[], T | None], within: float) -> T:
        deadline = time.monotonic() + within
        with self._news:
            while (found := look()) is None:
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    ended = "has ended" if self._ended else f"told nothing such within {within} s"
                    words = self.errors.read_text(errors="replace")[-1500:]
                    raise TimeoutError(f"the engine {ended}; told: {list(self._told)[-10:]}; stderr: {words}")
                self._news.wait(left)
            return found

    def _read(self) -> None:
        for line in self.process.stdout or ():
            told = json.loads(line)
            with self._news:
                if "n" in told:
                    self._answers[told["n"]] = told
                else:
                    self._told.append(told)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def packed(data: bytes) -> str:
    """Write bytes for the way to the child."""
    return base64.b64encode(data).decode()
