"""An account, started for a command, with the agent's own commands for those that need them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from nanokimi_core.borrowing import BorrowedAgent
from nanokimi_core.cli.opening import Setup, closed_after
from nanokimi_core.contracts.auth import Mount, ShowCode
from nanokimi_core.contracts.backend import OffersAgentCommands
from nanokimi_core.errors import ConfigError
from nanokimi_core.instances import Instance
from nanokimi_core.runtime import flat_errors
from nanokimi_core.shapes import offers


class LentAgent:
    """The agent's commands, from the toml's backends, which are started when an account first wants them.

    Args:
        setup: Names the backends.
        tasks: In which they live.
    """

    def __init__(self, setup: Setup, tasks: TaskGroup) -> None:
        self._setup, self._tasks = setup, tasks
        self._backends: dict[str, Instance] = {}
        self._borrowed = BorrowedAgent(self._backends)
        self._starting = anyio.Lock()

    async def log_in(self, folder: Path, environment: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[ShowCode]:
        """Let the agent log in; ends when it has.

        Raises:
            AgentError: It came to nothing; says why.
            ConfigError: The toml names no backend that can do it.
            PluginError: A backend can't be started, or has a fault.
        """
        await self._start()
        async with closed_after(self._borrowed.log_in(folder, environment)) as codes:
            async for code in codes:
                yield code

    async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
        """Let the agent refresh the login that lies in these mounts, if it thinks that is due.

        Raises:
            AgentError: It could not be started.
            ConfigError: The toml names no backend that can do it.
            PluginError: A backend can't be started, or has a fault.
        """
        await self._start()
        await self._borrowed.refresh(mounts, environment)

    async def _start(self) -> None:
        """Start the backends one by one, up to the first that offers the commands.

        Raises:
            ConfigError: None does.
        """
        names = self._setup.settings.backends()
        async with self._starting:
            for name in names:
                if (instance := self._backends.get(name)) is None:
                    instance = self._setup.instance("backend", name)
                    await self._tasks.start(instance.live, None)
                    self._backends[name] = instance
                if offers(instance.value, OffersAgentCommands):
                    return
        raise ConfigError(
            f"that needs the agent's own program, which the toml's backend has not ({', '.join(names)})",
            remedy='let the toml name one that has, as backend = "kimi_docker" does',
        )


@asynccontextmanager
async def account(setup: Setup, instance: Instance) -> AsyncIterator[Any]:
    """Start an account, without its background work, and give the plugin's object.

    Raises:
        PluginError: The object can't be made.
    """
    async with flat_errors(), anyio.create_task_group() as tasks:
        instance.agent = LentAgent(setup, tasks)
        await tasks.start(instance.live, None)
        try:
            yield instance.value
        finally:
            tasks.cancel_scope.cancel()
