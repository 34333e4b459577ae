"""How many containers fit into the machine's memory."""

from __future__ import annotations

import re
from pathlib import Path

from nanokimi_backend_kimi_docker.engine import Engine

_MEMINFO = Path("/proc/meminfo")
_KIBIBYTE = 1024
_RESERVE = 256 * 2**20  # for the rest of the machine
_UNSEEN = 0.75  # of the engine's memory, where what is free can't be seen


async def room(engine: Engine, memory_per_container: int, running: int) -> int:
    """Count the containers that fit, the running ones included; at least 1.

    The running ones count as what they take now; each further one must find its whole limit free.

    Args:
        engine: Whose containers they are.
        memory_per_container: The limit of each, in bytes.
        running: How many there are.

    Raises:
        AgentError: The engine can't be asked.
    """
    return max(1, await fits(engine, memory_per_container, running))


async def fits(engine: Engine, memory_per_container: int, running: int = 0) -> int:
    """Count like ``room``, down to none.

    Raises:
        AgentError: The engine can't be asked.
    """
    told = await engine.call(lambda client: client.info(), "say how much memory there is")
    return count(int(told["MemTotal"]), memory_per_container, running)


def count(total: int, memory_per_container: int, running: int, meminfo: str | None = None) -> int:
    """Count for an engine that has ``total`` bytes.

    Args:
        total: What the engine says that it has.
        memory_per_container: In bytes.
        running: How many there are.
        meminfo: The text of this machine's ``/proc/meminfo``; ``None`` reads it.
    """
    free = _free(total, _read_meminfo() if meminfo is None else meminfo)
    if free is None:
        return int(total * _UNSEEN) // memory_per_container
    return max(0, running + (free - _RESERVE) // memory_per_container)


def _read_meminfo() -> str:
    try:
        return _MEMINFO.read_text()
    except OSError:
        return ""


def _free(total: int, meminfo: str) -> int | None:
    """What is free on this machine; ``None`` where the engine has a machine of its own, like Docker Desktop's."""
    sizes = {name: int(size) * _KIBIBYTE for name, size in re.findall(r"^(\w+): +(\d+) kB$", meminfo, re.MULTILINE)}
    here = sizes.get("MemTotal", 0)
    if abs(here - total) > total * 0.02:
        return None
    return sizes.get("MemAvailable")
