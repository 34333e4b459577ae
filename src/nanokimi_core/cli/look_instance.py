"""What the child process of ``nanokimi doctor`` asks of one instance."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import anyio

from nanokimi_core.cli.opening import Setup, blamed, started
from nanokimi_core.config import load, locate, validate_table
from nanokimi_core.contracts.backend import HasRoom
from nanokimi_core.contracts.plugin import Check
from nanokimi_core.errors import AgentError, ConfigError, LoginNeeded, NanoKimiError
from nanokimi_core.instances import Instance
from nanokimi_core.plugins import Kind, PluginHost


def look_at_instance(kind: str, name: str, toml: str) -> dict[str, Any]:
    """Ask an instance its checks, and a backend how many agents have room.

    Raises:
        NanoKimiError: The plugin is missing or broken, or its table is wrong.
    """
    location = locate(Path(toml) if toml else None)
    instance = Setup(location, load(location), PluginHost()).instance(cast(Kind, kind), name)
    return anyio.run(_ask, instance)


def look_at_table(name: str, toml: str) -> dict[str, Any]:
    """Check the table of an instance that the toml doesn't use.

    Raises:
        NanoKimiError: The plugin is broken, or the table is wrong for all that it could be used as.
    """
    location = locate(Path(toml))
    settings = load(location)
    use = settings.use(name)
    wrong: ConfigError | None = None
    for provided in PluginHost().provided(use):
        if provided.spec.name == use:
            try:
                validate_table(provided.spec.config, settings.table(name), name, location)
            except ConfigError as error:
                wrong = error
            else:
                return {}
    if wrong is not None:
        raise wrong
    return {}


async def _ask(instance: Instance) -> dict[str, Any]:
    checks = await instance.check()
    room = None
    if instance.kind == "backend":
        try:
            room = await _room(instance)
        except (NanoKimiError, AgentError, LoginNeeded) as error:
            if all(check.outcome != "failed" for check in checks):  # else that is why, and it is said already
                checks.append(Check(f"{instance.name}: room", "failed", str(error), getattr(error, "remedy", "")))
    return {"checks": [asdict(check) for check in checks], "room": room}


async def _room(instance: Instance) -> int | None:
    async with started(instance) as backend:
        if not isinstance(backend, HasRoom):
            return None
        with blamed(instance.provided.plugin, "to say how many agents have room"):
            return await backend.room()
