"""What an account borrows of a backend: the agent's own login and refresh."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from nanokimi_core.contracts.auth import AgentCommands, Mount, ShowCode
from nanokimi_core.contracts.backend import OffersAgentCommands
from nanokimi_core.errors import ConfigError
from nanokimi_core.instances import Instance
from nanokimi_core.shapes import offers
from nanokimi_core.supervision import guarded, guarded_call

_STARTING = 120.0  # seconds
_DOING = "to run the agent's own login"


class BorrowedAgent:
    """The commands of the first backend that offers them, looked for when they are used.

    Args:
        instances: The plugins; live.
    """

    def __init__(self, instances: Mapping[str, Instance]) -> None:
        self._instances = instances

    async def log_in(self, folder: Path, environment: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[ShowCode]:
        """Let the agent log in; ends when it has.

        Raises:
            AgentError: It came to nothing; says why.
            ConfigError: No backend that runs can do it.
            PluginError: The backend has a fault.
        """
        commands, plugin = self._lender()
        codes: Any = guarded_call(lambda: commands.log_in(folder, environment), plugin=plugin, doing=_DOING)
        async with aclosing(codes):
            while True:
                try:
                    code = await guarded(codes.__anext__, plugin=plugin, doing=_DOING, returns=ShowCode)
                except StopAsyncIteration:
                    return
                yield code

    async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
        """Let the agent refresh the login that lies in these mounts, if it thinks that is due.

        Raises:
            AgentError: It could not be started.
            ConfigError: No backend that runs can do it.
            PluginError: The backend has a fault.
        """
        commands, plugin = self._lender()
        await guarded(lambda: commands.refresh(mounts, environment), plugin=plugin, doing=_DOING, within=_STARTING)

    def _lender(self) -> tuple[AgentCommands, Any]:
        for instance in self._instances.values():
            if instance.kind == "backend" and offers(instance.value, OffersAgentCommands):
                plugin = instance.provided.plugin
                return guarded_call(instance.value.agent_commands, plugin=plugin, doing=_DOING), plugin
        raise ConfigError(
            "no backend that runs can start the agent's own login",
            remedy='let the toml name one that can, as backend = "kimi_docker" does',
        )
