"""Lines for ``nanokimi doctor``: the engine, its limits, the image, and a container that tries the data folder."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
from collections.abc import Sequence
from typing import Any

import anyio

from nanokimi_backend_kimi_docker import memory, trial
from nanokimi_backend_kimi_docker.config import KimiDockerConfig, format_size
from nanokimi_backend_kimi_docker.container import missing_image
from nanokimi_backend_kimi_docker.engine import Engine, NotFound, address
from nanokimi_backend_kimi_docker.image.build import image_status
from nanokimi_core import AgentError, Check, Context

_SECONDS = 20.0
_OLDEST = (1, 41)  # Engine 20.10
_BUILT_IN_NETWORKS = {"bridge", "default"}


async def check(config: KimiDockerConfig, context: Context) -> Sequence[Check]:
    """Look at all that the agents' containers need. What depends on something broken isn't looked at."""
    name = context.name
    if (reached := await anyio.to_thread.run_sync(_reach, f"{name}: engine")) is not None:
        return [reached]
    engine = Engine(timeout=_SECONDS)
    try:
        told = await engine.call(lambda client: (client.version(), client.info()), "say what it is")
        network = await _network(f"{name}: network", engine, config)
        return [
            version(f"{name}: engine", *told),
            limits(f"{name}: limits", told[1]),
            network,
            await _memory(f"{name}: memory", engine, config),
            *await _image_and_trial(engine, config, context, network),
        ]
    except AgentError as error:
        return [Check(f"{name}: engine", "failed", str(error), error.remedy)]
    finally:
        engine.close()


def _reach(name: str) -> Check | None:
    """Knock at the engine's socket; ``None`` where somebody opens."""
    try:
        place = address().removeprefix("unix://")
    except AgentError as error:
        return Check(name, "failed", str(error), error.remedy)
    try:
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(_SECONDS)
            knocking.connect(place)
    except PermissionError:
        return Check(
            name,
            "failed",
            f"this user may not use the engine at {place}",
            f"run: sudo usermod -aG docker {_me()} (then log out and in again)",
        )
    except OSError as error:
        return Check(name, "failed", *_absent(place, error))
    return None


def _me() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "$USER"


def _absent(place: str, error: OSError) -> tuple[str, str]:
    if shutil.which("docker") is None and shutil.which("dockerd") is None:
        return (
            "Docker is not installed",
            "install Docker Engine: https://docs.docker.com/engine/install/ (on Debian: sudo apt install docker.io)",
        )
    return (
        f"no engine answers at {place}: {error.strerror or error}",
        "run: sudo systemctl start docker (a rootless one: systemctl --user start docker)",
    )


def version(name: str, version: dict[str, Any], info: dict[str, Any]) -> Check:
    """Look whether the engine is recent enough, from what it says of itself."""
    spoken = tuple(int(part) for part in str(version["ApiVersion"]).split("."))
    kind = "rootless engine" if _has(info, "rootless") else "engine"
    cause = f"{kind} {version['Version']} at {address()}"
    if spoken < _OLDEST:
        return Check(name, "warning", f"{cause} is older than 20.10, which nobody has tried", "upgrade Docker Engine")
    return Check(name, "ok", cause)


def limits(name: str, info: dict[str, Any]) -> Check:
    """Look whether the engine can hold a container to its memory, processors and processes."""
    # Without this a rootless engine on old control groups accepts limits and drops them.
    none = info.get("CgroupDriver") == "none"
    keys = {"MemoryLimit": "memory", "CpuCfsQuota": "processors", "PidsLimit": "processes"}
    missing = [word for key, word in keys.items() if none or not info.get(key, True)]
    if not missing:
        return Check(name, "ok", f"{', '.join(keys.values())} can be limited")
    cause = f"this engine can't limit {', '.join(missing)}: one agent can take all that the machine has"
    if _has(info, "rootless"):
        remedy = "delegate the control groups to your user: https://docs.docker.com/engine/security/rootless/tips/"
    else:
        remedy = "add cgroup_enable=memory swapaccount=1 to the kernel's command line, then restart the machine"
    return Check(name, "warning", cause, remedy)


async def _network(name: str, engine: Engine, config: KimiDockerConfig) -> Check:
    network = config.network
    if network in _BUILT_IN_NETWORKS:
        return Check(name, "ok", network)
    if network == "host":
        cause = "host: agents reach all that listens on this machine's own addresses"
        return Check(name, "warning", cause, 'unless you need that, set network = "bridge" in [plugins.kimi_docker]')
    if network == "none":
        return Check(name, "warning", "none: agents reach no model either", 'set network = "bridge"')
    try:
        await engine.call(lambda client: client.inspect_network(network), "look for the network")
    except NotFound:
        return Check(name, "failed", f'there is no network "{network}"', f"run: docker network create {network}")
    return Check(name, "ok", network)


async def _memory(name: str, engine: Engine, config: KimiDockerConfig) -> Check:
    size = format_size(config.memory)
    fitting = await memory.fits(engine, config.memory)
    if fitting:
        return Check(name, "ok", f"{fitting} more containers of {size} fit")
    return Check(
        name,
        "warning",
        f"not even one container of {size} fits into what is free",
        'free some, or set memory = "512m" in [plugins.kimi_docker], which an agent alone can work with',
    )


async def _image_and_trial(engine: Engine, config: KimiDockerConfig, context: Context, network: Check) -> list[Check]:
    status = await image_status(engine, config)
    name = f"{context.name}: image"
    if not status.present:
        error = missing_image(status.name, config)
        return [Check(name, "failed", str(error), error.remedy)]
    found = Check(name, "ok", f"{status.name}, {status.detail}")
    if network.outcome == "failed":
        return [found]
    return [found, await trial.check(engine, config, context, status.name)]


def _has(info: dict[str, Any], option: str) -> bool:
    return any(f"name={option}" in one for one in info.get("SecurityOptions") or ())
