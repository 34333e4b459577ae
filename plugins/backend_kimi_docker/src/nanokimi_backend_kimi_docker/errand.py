"""A hardened container that runs one command of the agent's program and ends: what it says, and how it ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from logging import LoggerAdapter
from types import TracebackType
from typing import Any, TypeVar

import anyio
from anyio.abc import UNIXSocketStream

from nanokimi_backend_kimi_docker import container as containers
from nanokimi_backend_kimi_docker.attach import LONGEST_LOG_LINE, STDERR, STDOUT, Demultiplexer, Lines, attach
from nanokimi_backend_kimi_docker.codes import words
from nanokimi_backend_kimi_docker.container import Exit, Plan
from nanokimi_backend_kimi_docker.engine import Engine
from nanokimi_backend_kimi_docker.redact import plain, redact
from nanokimi_core import AgentError, Failure

T = TypeVar("T")

_CHUNK = 64 * 1024
_MOST_LINES = 10_000
_LAST_WORDS = 4
_LONGEST_WORDS = 400
_OURS = "nanokimi:"
_END_SECONDS = 5.0
_LOOK_EVERY = 0.05


class Errand:
    """A command in a container, from start to removal.

    Args:
        engine: Docker.
        plan: The container.
        log: For a container that can't be removed.

    Attributes:
        closed: Set when its container is gone.
    """

    def __init__(self, engine: Engine, plan: Plan, log: LoggerAdapter[Any]) -> None:
        self._engine = engine
        self._plan = plan
        self._log = log
        self._container = ""
        self._stream: UNIXSocketStream | None = None
        self._frames = Demultiplexer()
        self._lines = {number: Lines(LONGEST_LOG_LINE, refuse=False) for number in (STDOUT, STDERR)}
        self._heard: deque[str] = deque()
        self._last: deque[str] = deque(maxlen=_LAST_WORDS)
        self._taken = 0
        self.closed = anyio.Event()

    async def __aenter__(self) -> Errand:
        """Start the container.

        Raises:
            AgentError: It can't be started. Nothing is left of it then.
        """
        try:
            with anyio.CancelScope(shield=True):  # a container that nobody knows would stay
                self._container = await containers.create(self._engine, self._plan)
            self._stream = await attach(self._engine, self._container)
            await containers.start(self._engine, self._container)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Remove the container at once, whatever it does."""
        with anyio.CancelScope(shield=True):
            if self._stream is not None:
                await self._stream.aclose()  # an engine whose stream nobody reads could not remove the container
            if self._container:
                try:
                    await containers.remove(self._engine, self._container)
                except AgentError as error:
                    self._log.warning("container %s is left behind for now: %s", self._container[:12], error)
            self.closed.set()

    @property
    def last_words(self) -> str:
        """The last lines that it wrote, without what looks like a secret."""
        return redact(" | ".join(self._last))[-_LONGEST_WORDS:]

    def forget_words(self) -> None:
        """Begin the last words anew."""
        self._last.clear()

    async def line(self) -> str | None:
        """Give the next line that it writes to either stream; ``None`` when both have ended.

        Raises:
            AgentError: It floods its output, or its stream is broken.
        """
        while not self._heard:
            if self._stream is None:
                return None
            try:
                self._take(await self._stream.receive(_CHUNK))
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return None
            except ValueError as error:
                raise AgentError(Failure.CRASHED, str(error), remedy="look at: nanokimi doctor") from error
        return self._heard.popleft()

    async def left(self) -> Exit:
        """Say how it ended, once its streams have.

        Raises:
            AgentError: The engine can't be asked.
        """
        left = await containers.look(self._engine, self._container)
        with anyio.move_on_after(_END_SECONDS):
            while left.running:
                await anyio.sleep(_LOOK_EVERY)
                left = await containers.look(self._engine, self._container)
        return left

    def _take(self, data: bytes) -> None:
        for number, payload in self._frames.feed(data):
            for raw in self._lines.get(number, self._lines[STDERR]).feed(payload):
                self._taken += 1
                if self._taken > _MOST_LINES:
                    raise ValueError(f"the agent's command wrote more than {_MOST_LINES} lines")
                line = plain(raw.decode("utf-8", "replace")).strip()
                if line and not line.startswith(_OURS):
                    self._last.append(words(line))
                    self._heard.append(line)


async def carry_through(work: Callable[[], Awaitable[T]], *, within: float, after_cancel: float) -> T:
    """Let work come to its end though it is cancelled, as a refresh that is killed in the middle loses the login.

    Args:
        work: What is done.
        within: Seconds that it may take.
        after_cancel: Seconds more, after a cancel or after that time.

    Raises:
        AgentError: It failed, or takes too long.
    """
    over, shield = anyio.Event(), anyio.CancelScope(shield=True)
    done: list[T] = []
    failed = AgentError(
        Failure.CRASHED, f"the agent's command did not end within {within:g} s", remedy="look at: nanokimi doctor"
    )

    async def run() -> None:
        nonlocal failed
        try:
            with shield:
                done.append(await work())
        except AgentError as error:
            failed = error
        finally:
            over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        try:
            with anyio.move_on_after(within):
                await over.wait()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(after_cancel):
                await over.wait()
            shield.cancel()
    if not done:
        raise failed
    return done[0]
