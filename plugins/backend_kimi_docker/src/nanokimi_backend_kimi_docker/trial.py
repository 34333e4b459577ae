"""A container made like an agent's, which only tries whether it can use the folders that it is given."""

from __future__ import annotations

import os
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

import anyio

from nanokimi_backend_kimi_docker import beneath
from nanokimi_backend_kimi_docker import container as containers
from nanokimi_backend_kimi_docker.agents import AGENTS
from nanokimi_backend_kimi_docker.agents.base import HOME, WORKSPACE, AcpAgent
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.container import Bind, Labels, Plan
from nanokimi_backend_kimi_docker.engine import Engine, address
from nanokimi_backend_kimi_docker.mounts import User, agent_user
from nanokimi_backend_kimi_docker.presence import Presence
from nanokimi_core import AgentError, Check, Context, private_folder, write_private

_SECONDS = 15
_FOLDERS = {
    11: "can't read a private file of the data folder",
    12: "can't write in a workspace",
    13: "can't write in the agent's home",
}
_NO_AGENT = 14


async def check(engine: Engine, config: KimiDockerConfig, context: Context, image: str) -> Check:
    """Run such a container, and say what it could not do.

    Raises:
        AgentError: The engine can't be asked who the container's user is.
    """
    name = f"{context.name}: container"
    machine = await engine.machine()
    user = agent_user(rootless=machine.rootless)
    who = f"a container as {user.inside[0]}:{user.inside[1]}"
    try:
        with Presence(context.folder) as presence:
            binds = await anyio.to_thread.run_sync(_prepare, presence.folder / "trial", AGENTS[config.agent], user)
            labels = Labels(context.installation, presence.token, context.name)
            code = await _run(engine, _plan(config, image, user, binds, labels, machine.cpus))
    except OSError as error:
        return Check(name, "failed", f"the data folder can't be written: {error}", "look at its owner and free space")
    except AgentError as error:
        return Check(name, "failed", str(error), await _engines_remedy(engine, context.folder, user, error))
    if code == 0:
        return Check(name, "ok", f"{who} starts, and can use the data folder")
    if code not in _FOLDERS:
        lack = f"has no {config.agent}" if code == _NO_AGENT else f"can't run a shell (exit code {code})"
        return Check(name, "failed", f"{who} {lack}", _other_image(config))
    return Check(name, "failed", f"{who} {_FOLDERS[code]}", await _rights(engine, context.folder, user))


async def _engines_remedy(engine: Engine, folder: Path, user: User, error: AgentError) -> str:
    if "permission denied" in str(error):
        return await _rights(engine, folder, user)
    if "nanokimi doctor" in error.remedy:
        return "restart the engine (sudo systemctl restart docker), or read its log (journalctl -u docker)"
    return error.remedy


async def _rights(engine: Engine, folder: Path, user: User) -> str:
    return remedy(await engine.call(lambda client: client.info(), "say how it is set up"), folder, user)


def remedy(info: dict[str, Any], folder: Path, user: User) -> str:
    """Say what lets a container use the data folder.

    Args:
        info: What the engine says of itself.
        folder: In the data folder.
        user: Who the container runs as.
    """
    quoted = shlex.quote(str(folder))
    options = " ".join(info.get("SecurityOptions") or ())
    if "name=rootless" in options and (owner := _owner(address())) not in (None, os.getuid()):
        return f"run NanoKimi as uid {owner}, whose engine this is, or set DOCKER_HOST to an engine of your own"
    if "name=userns" in options:
        return 'take "userns-remap" out of /etc/docker/daemon.json: it keeps containers from the files of every user'
    if "name=selinux" in options:
        return f"run: sudo chcon -R -t container_file_t {quoted}"
    if "Docker Desktop" in str(info.get("OperatingSystem")):
        return f"share {quoted} with containers: Docker Desktop, Settings, Resources, File sharing"
    if str(info.get("DockerRootDir", "")).startswith("/var/snap/"):
        return "a Docker from snap sees only home folders: set NANOKIMI_HOME to a folder beneath yours"
    return f"run: sudo chown -R {user.outside[0]}:{user.outside[1]} {quoted}"


def _other_image(config: KimiDockerConfig) -> str:
    if config.image is None:
        return "build the image again: nanokimi image build --fresh"
    return "make the image that image names from NanoKimi's own, or leave out image in [plugins.kimi_docker]"


def _owner(engine: str) -> int | None:
    try:
        return Path(engine.removeprefix("unix://")).stat().st_uid
    except OSError:
        return None


def _prepare(folder: Path, agent: AcpAgent, user: User) -> tuple[Bind, ...]:
    private_folder(folder)
    workspace, home, config = (folder / name for name in ("workspace", "home", "config.toml"))
    for own in (workspace, home):
        own.mkdir(mode=0o700)
    write_private(config, b"", owner=user.owner)
    beneath.ensure_file(home, PurePosixPath(agent.config_path.name), owner=user.owner)
    if user.owner is not None:
        for own in (workspace, home):
            beneath.give(own, user.owner)
    return (
        Bind(workspace, WORKSPACE, read_only=False),
        Bind(home, agent.home, read_only=False),
        Bind(config, agent.config_path, read_only=True),
    )


def _plan(config: KimiDockerConfig, image: str, user: User, binds: tuple[Bind, ...], labels: Labels, cpus: int) -> Plan:
    agent = AGENTS[config.agent]
    script = (
        f"cat {agent.config_path} >/dev/null || exit 11\n"
        f"touch {WORKSPACE}/trial || exit 12\n"
        f"touch {agent.home}/trial || exit 13\n"
        f"test -x {agent.command[0]} || exit {_NO_AGENT}\n"
    )
    return Plan(
        image=image,
        command=("sh", "-c", script),
        user=user.inside,
        home=HOME,
        working_dir=WORKSPACE,
        binds=binds,
        environment=agent.environment(),
        labels=labels,
        limits=config,
        cpus=cpus,
    )


async def _run(engine: Engine, plan: Plan) -> int:
    made = await containers.create(engine, plan)
    try:
        await containers.start(engine, made)
        waited = await engine.call(lambda client: client.wait(made, timeout=_SECONDS), "wait for a container")
        return int(waited["StatusCode"])
    finally:
        with anyio.CancelScope(shield=True):
            await containers.remove(engine, made)
