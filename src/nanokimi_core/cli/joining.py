"""``nanokimi chat`` where a process runs already: this terminal becomes its console."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import anyio

from nanokimi_core.builtin.console import Console, ConsoleConfig
from nanokimi_core.cli.output import note
from nanokimi_core.cli.reaching import running
from nanokimi_core.control import Wire
from nanokimi_core.control.client import join
from nanokimi_core.folder import DataFolder
from nanokimi_core.runtime import flat_errors


@dataclass(frozen=True)
class Ended:
    """How a chat has ended.

    Attributes:
        signal: The number of the signal that ended it, if one did.
        failed: Something that was asked got no answer, or the answer was that it failed.
        dropped: What got no answer isn't kept.
    """

    signal: int | None = None
    failed: bool = False
    dropped: bool = False


async def join_running(folder: DataFolder, once: str | None, interactive: bool) -> Ended | None:
    """Join the process that holds a data folder; ``None`` where none does.

    Raises:
        FolderInUse: It takes no commands.
        NanoKimiError: It lets nobody join.
    """
    wire = await running(folder)
    if wire is None:
        return None
    async with wire:
        if interactive:
            note("The assistant runs already; this terminal joins it.")
        return await _talk(wire, once, interactive)


async def _talk(wire: Wire, once: str | None, interactive: bool) -> Ended:
    consoles: list[Console] = []

    def make(assistant: str) -> Console:
        consoles.append(Console(ConsoleConfig(once=once), assistant))
        return consoles[0]

    stopped: list[int] = []
    ended = None
    async with flat_errors(), anyio.create_task_group() as tasks:
        await tasks.start(_leave_on_signals, stopped, tasks.cancel_scope)
        ended = await join(wire, make, fresh=not interactive)
        tasks.cancel_scope.cancel()
    if ended is None:
        return Ended(stopped[0])
    if not ended.left:
        note("The assistant has stopped.")
    return Ended(None, bool(ended.failed or not ended.left or consoles[0].lost), dropped=ended.left)


async def _leave_on_signals(
    stopped: list[int], scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            stopped.append(number)
            scope.cancel()
