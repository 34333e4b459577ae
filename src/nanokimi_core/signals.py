"""What the process does at a signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from logging import getLogger
from typing import Protocol

import anyio
from anyio.abc import TaskStatus

log = getLogger("nanokimi")


class Stops(Protocol):
    """What can be stopped, and read its toml again."""

    def stop(self) -> None:
        """Stop: intake ends, running turns finish within ``stop_timeout``."""
        ...

    async def reload_and_tell(self) -> None:
        """Read the toml again, and say in the log what came of it."""
        ...


async def heed_signals(
    assistant: Stops,
    heard: Callable[[signal.Signals], None] | None = None,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Stop at the first SIGTERM or SIGINT, end the process at once at the second; read the toml again at SIGHUP.

    A SIGHUP because the terminal was closed that the process was started in stops it.

    Args:
        assistant: To be stopped.
        heard: Told of the first signal to stop.
        task_status: Started when signals are listened for.
    """
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        first: signal.Signals | None = None
        in_terminal = _has_terminal()
        async with anyio.create_task_group() as tasks:
            async for number in signals:
                if number == signal.SIGHUP and in_terminal == _has_terminal():
                    tasks.start_soon(_reload, assistant.reload_and_tell)
                    continue
                if first is not None:
                    signal.signal(number, signal.SIG_DFL)
                    signal.raise_signal(number)
                first = signal.Signals(number)
                log.info("%s: stopping", first.name)
                if heard is not None:
                    heard(first)
                assistant.stop()


def leave_at_once() -> None:
    """From now until ``heed_signals`` begins, SIGTERM ends the process with 0, since nothing has begun yet.

    SIGHUP means nothing so early: the toml has just been read.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _has_terminal() -> bool:
    """Whether standard error is a terminal that is still open."""
    try:
        return os.isatty(2)
    except OSError:
        return False


async def _reload(reload: Callable[[], Awaitable[None]]) -> None:
    await reload()
