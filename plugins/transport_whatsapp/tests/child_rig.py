"""A child process as its transport sees it, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from scripted_engine import SECONDS, ScriptedNetwork

from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.values import Answer, Ask, Brought, Done, Figures, FromChild, Start, Value
from nanokimi_transport_whatsapp.wire import from_child, line

Sort = TypeVar("Sort", bound=Value)


class ChildRig:
    """One child, begun with ``Start``.

    Attributes:
        said: All that came on the wire, oldest first.
        strange: Lines on the wire that were no values.
    """

    def __init__(
        self, folder: Path, network: ScriptedNetwork, *, limits: dict[str, Any] | None = None, **start: Any
    ) -> None:
        environment = {**os.environ, **network.variables, "CHILD_LIMITS": json.dumps(limits or {})}
        module = "nanokimi_transport_whatsapp.child" if limits is None else "limited_child"
        self.log = folder / "child.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        self.network, self.places = network, Places(folder)
        self.said: list[FromChild] = []
        self.strange: list[bytes] = []
        self.changed = threading.Condition()
        self.reading = threading.Event()
        self.reading.set()
        self._ended = False
        self._requests = 0
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.tell(Start(**({"engine": "scripted_engine", "folder": str(folder)} | start)))

    # ------------------------------------------------------------------ the wire
    def tell(self, *values: Value) -> None:
        """Write values."""
        self.write(b"".join(map(line, values)))

    def write(self, data: bytes) -> None:
        """Write bytes; a child that is gone takes them too."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            return

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Wait for something about what was said."""
        with self.changed:
            there = self.changed.wait_for(until, SECONDS)
        assert there, f"not within {SECONDS:g} s: {what}, among {self.said[-20:]}; the log: {self.log.read_text()}"

    def all(self, sort: type[Sort]) -> list[Sort]:
        """Give all values of a sort that came."""
        with self.changed:
            return [value for value in self.said if isinstance(value, sort)]

    def expect(self, sort: type[Sort], times: int = 1, **fields: Any) -> list[Sort]:
        """Wait for so many values of a sort with these fields, and give them."""

        def found() -> list[Sort]:
            return [one for one in self.all(sort) if all(getattr(one, name) == fields[name] for name in fields)]

        self.wait(lambda: len(found()) >= times, f"{times} of {sort.__name__} {fields}")
        return found()

    def request(self) -> int:
        """Give a number for a request."""
        self._requests += 1
        return self._requests

    def answer(self, request: int) -> Answer:
        """Wait for the answer to a request."""
        return self.expect(Answer, request=request)[0]

    def texts(self) -> list[str]:
        """Give the texts of all messages that were brought, in their order."""
        return [getattr(one.message.content, "text", "") for one in self.all(Brought)]

    def done(self, *brought: Brought) -> None:
        """Say that messages were delivered."""
        self.tell(Done(numbers=tuple(one.number for one in brought)))

    def figures(self, **fields: int) -> Figures:
        """Ask for figures until they are these: what is done is dropped a moment later."""
        until = time.monotonic() + SECONDS
        while True:
            before = len(self.all(Figures))
            self.tell(Ask())
            figures = self.expect(Figures, before + 1)[-1]
            if all(getattr(figures, name) == value for name, value in fields.items()):
                return figures
            assert time.monotonic() < until, f"not {fields}: {figures}"

    # ------------------------------------------------------------------ its life
    def stop(self) -> int:
        """End stdin, and give the exit code."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        return self.ended()

    def ended(self) -> int:
        """Wait for the end, and give the exit code."""
        code = self.process.wait(SECONDS)
        self.reading.set()
        self._listener.join(SECONDS)
        return code

    def kill(self) -> None:
        """Kill it, as the kernel would."""
        self.process.kill()
        self.stop()

    def leave(self) -> None:
        """End it by its stdin, so that what it did is counted as covered; a child that stays is killed."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for data in stdout:
                self.reading.wait(SECONDS)
                self._take(data)

    def _take(self, data: bytes) -> None:
        with self.changed:
            try:
                self.said.append(from_child(data))
            except ValueError:
                self.strange.append(data)
            self.changed.notify_all()


class Rigs:
    """Children of one instance, one after the other, and what they share."""

    def __init__(self, folder: Path, network: ScriptedNetwork) -> None:
        self.folder, self.network = folder, network
        self.children: list[ChildRig] = []

    def start(self, *, limits: dict[str, Any] | None = None, **start: Any) -> ChildRig:
        """Begin a child."""
        self.children.append(ChildRig(self.folder, self.network, limits=limits, **start))
        return self.children[-1]


@contextmanager
def rigs(folder: Path) -> Iterator[Rigs]:
    """Give a maker of children; all are gone afterwards."""
    network = ScriptedNetwork()
    made = Rigs(folder, network)
    try:
        yield made
    finally:
        for child in made.children:
            child.leave()
        network.close()
