"""From a command to the assistant: the running process over its socket, or the data folder itself where none runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import typer

from nanokimi_core.cli.opening import find_setup
from nanokimi_core.cli.options import chosen_config
from nanokimi_core.config import locate
from nanokimi_core.control import SOCKET, Wire
from nanokimi_core.control.client import Remote, connect
from nanokimi_core.errors import FolderInUse
from nanokimi_core.folder import DataFolder
from nanokimi_core.operations import Operations

T = TypeVar("T")

_PATIENCE = 5.0
_LOOK = 0.1


def with_operations(ctx: typer.Context, config: Path | None, work: Callable[[Operations], Awaitable[T]]) -> T:
    """Do something with the running process's operations, or with those on the data folder where none runs.

    Raises:
        FolderInUse: A process holds the folder and takes no commands.
        NanoKimiError: It can't be done.
    """

    async def do() -> T:
        async with _operations(ctx, config) as operations:
            return await work(operations)

    return anyio.run(do)


def with_process(ctx: typer.Context, config: Path | None, work: Callable[[Operations], Awaitable[T]]) -> T | None:
    """Do something with the running process's operations; ``None`` where no process runs.

    Raises:
        FolderInUse: A process holds the folder and takes no commands.
        NanoKimiError: It can't be done.
    """

    async def do() -> T | None:
        wire = await running(DataFolder(locate(chosen_config(ctx, config)).data))
        if wire is None:
            return None
        async with wire:
            return await work(Remote(wire))

    return anyio.run(do)


@asynccontextmanager
async def _operations(ctx: typer.Context, config: Path | None) -> AsyncIterator[Operations]:
    folder = DataFolder(locate(chosen_config(ctx, config)).data)
    wire = await running(folder)
    if wire is not None:
        async with wire:
            yield Remote(wire)
        return
    assistant = find_setup(ctx, config).assistant(transports=())
    with folder.hold():
        async with assistant.offline():
            yield assistant.operations


async def running(folder: DataFolder) -> Wire | None:
    """Connect to the process that holds a data folder; ``None`` where none does.

    One that is being started, or that is another command, is waited for, for a moment.

    Raises:
        FolderInUse: A process holds the folder and takes no commands.
        NanoKimiError: It refuses.
    """
    silent = False
    deadline = anyio.current_time() + _PATIENCE
    while (holder := folder.holder()) is not None:
        try:
            return await connect(folder.path / SOCKET)
        except TimeoutError:
            silent = True
        except OSError:
            await anyio.sleep(_LOOK)
        if anyio.current_time() >= deadline:
            raise _unreachable(folder, holder, silent)
    return None


def _unreachable(folder: DataFolder, holder: int, silent: bool) -> FolderInUse:
    if silent:
        said = f"process {holder}, which holds the data folder {folder.path}, does not answer"
        return FolderInUse(said, remedy=f"look into its log; if it hangs, end it with: kill -9 {holder}")
    said = f"process {holder}, which holds the data folder {folder.path}, takes no commands"
    return FolderInUse(said, remedy="it is being started or stopped, or is another command: try again in a moment")
