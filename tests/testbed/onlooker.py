"""Somebody on the same machine: what the engine and the process list show of containers while they run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from nanokimi_backend_kimi_docker.engine import APIError

_EVERY = 0.4
_MOST_INSIDE = 3
_PATIENCE = 30.0


def run_in(engine: Any, container: str, script: str) -> str:
    """Run a script in a container; gives what it wrote."""
    made = engine.exec_create(container, ["sh", "-c", script], stdout=True, stderr=True)
    return str(engine.exec_start(made["Id"]).decode("utf-8", "replace"))


def everything_visible(engine: Any, container: str) -> str:
    """Give what ``docker inspect``, ``ps`` and ``top`` show of it, and its processes' environments."""
    processes = run_in(engine, container, "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
    about = json.dumps(engine.inspect_container(container))
    listed = json.dumps(engine.containers(all=True)) + json.dumps(engine.top(container))
    return processes + about + listed + command_lines()


def command_lines() -> str:
    """Give the command line of every process of this machine, as ``ps`` shows them to everybody."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return "\n".join(lines)


class Onlooker:
    """Looks again and again at every container that it is told of, in a thread of its own, while it is entered.

    Args:
        engine: A ``docker.APIClient`` of its own, or one that nobody else uses meanwhile.
        containers: Gives the ids to look at.

    Attributes:
        seen: What it saw of each container, once it is left.
    """

    def __init__(self, engine: Any, containers: Callable[[], list[str]]) -> None:
        self._engine = engine
        self._containers = containers
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="onlooker", daemon=True)
        self.seen: dict[str, list[str]] = {}

    def __enter__(self) -> Onlooker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(_PATIENCE)

    def _look(self) -> None:
        while not self._over.wait(_EVERY):
            for container in self._containers():
                with suppress(APIError):  # it may be starting, or going
                    self.seen.setdefault(container, []).append(json.dumps(self._engine.inspect_container(container)))
                    if len(self.seen[container]) <= 2 * _MOST_INSIDE:  # a look inside is a process that takes its time
                        self.seen[container].append(everything_visible(self._engine, container))
                    self.seen[container].append(json.dumps(self._engine.top(container)))
