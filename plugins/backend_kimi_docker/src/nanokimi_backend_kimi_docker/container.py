"""A hardened container: made, started, looked at after its end, removed. Found again by its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import anyio

from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.engine import APIError, Engine, ImageNotFound, NotFound
from nanokimi_core import AgentError, Failure

LABEL = "org.nanokimi."
_LOOK_EVERY = 0.2
_TMP = "rw,exec,nosuid,nodev,size=512m,mode=1777"
_HOME = "rw,exec,nosuid,nodev,size=128m,mode=0755"


@dataclass(frozen=True)
class Bind:
    """A folder or file of the host, seen in the container."""

    source: Path
    target: PurePosixPath
    read_only: bool

    def as_mount(self) -> dict[str, Any]:
        """Write it in the engine's form. A source that is missing is an error, not a new folder of root's."""
        return {"Type": "bind", "Source": str(self.source), "Target": str(self.target), "ReadOnly": self.read_only}


@dataclass(frozen=True)
class Labels:
    """Who a container belongs to.

    Attributes:
        installation: The data folder's id.
        process: Of the running NanoKimi; random.
        instance: The backend's name in the toml.
        sandbox: In a safe form.
        work: What it must not be stopped in the middle of; empty where there is nothing.
    """

    installation: str
    process: str
    instance: str
    sandbox: str = ""
    work: str = ""

    def of_sandbox(self, sandbox: str) -> Labels:
        """Add whose container it is."""
        return replace(self, sandbox=sandbox)

    def of_work(self, work: str) -> Labels:
        """Add what it must not be stopped in the middle of."""
        return replace(self, work=work)

    def as_dict(self) -> dict[str, str]:
        """Give the labels."""
        names = ("installation", "process", "instance", "sandbox", "work")
        return {LABEL + name: value for name in names if (value := getattr(self, name))}


@dataclass(frozen=True)
class Plan:
    """A container to be made.

    Attributes:
        image: With its tag.
        command: The agent.
        user: uid and gid in the container.
        home: A small folder in memory; the agent's own home is a bind in it.
        binds: All that it sees of the host.
        environment: Never a secret.
        labels: Who it belongs to.
        working_dir: Where the command starts.
        limits: The toml's table.
        cpus: How many the machine has.
    """

    image: str
    command: tuple[str, ...]
    user: tuple[int, int]
    home: PurePosixPath
    working_dir: PurePosixPath
    binds: tuple[Bind, ...]
    environment: Mapping[str, str]
    labels: Labels
    limits: KimiDockerConfig
    cpus: int


@dataclass(frozen=True)
class Exit:
    """How a container stands after its streams have ended."""

    code: int | None
    out_of_memory: bool = False
    running: bool = False
    gone: bool = False
    error: str = ""


async def create(engine: Engine, plan: Plan) -> str:
    """Make a container and give its id.

    Raises:
        AgentError: The image is missing, or the engine refuses.
    """
    try:
        return await engine.call(lambda client: _create(client, plan), "create the agent's container")
    except ImageNotFound as error:
        raise missing_image(plan.image, plan.limits) from error


def missing_image(image: str, config: KimiDockerConfig) -> AgentError:
    """Say that the image is missing, and where it comes from."""
    remedy = "build it with: nanokimi image build"
    if config.image is not None:
        remedy = f"fetch or build it yourself, or leave out image in the toml; look with: docker image inspect {image}"
    return AgentError(Failure.ENGINE, f'the image "{image}" is not on this machine', remedy=remedy)


async def start(engine: Engine, container: str) -> None:
    """Start a container.

    Raises:
        AgentError: It can't be started: a network that doesn't exist, an agent that is not in the image, …
    """
    await _known(engine, lambda client: client.start(container), "start the agent's container")


async def look(engine: Engine, container: str) -> Exit:
    """Say how a container stands.

    Raises:
        AgentError: The engine can't be asked.
    """
    try:
        state = (await engine.call(lambda client: client.inspect_container(container), "look at a container"))["State"]
    except NotFound:
        return Exit(None, gone=True)
    return Exit(state["ExitCode"], bool(state["OOMKilled"]), bool(state["Running"]), error=state["Error"])


async def remove(engine: Engine, container: str) -> None:
    """Kill a container if it runs, and remove it; it may be gone already.

    Raises:
        AgentError: The engine can't.
    """
    try:
        await engine.call(lambda client: _remove(client, container), "remove a container")
    except NotFound:
        return


async def orphans(engine: Engine, mine: Labels, living: Callable[[], set[str]]) -> list[str]:
    """Give the containers of this installation's instance, or of one sandbox of it, whose process is dead.

    Args:
        engine: Docker.
        mine: Say which installation and instance, and which sandbox if they name one.
        living: Gives the tokens of the processes that live; asked once the containers are known.

    Raises:
        AgentError: The engine can't be asked.
    """
    names = ("installation", "instance", "sandbox") if mine.sandbox else ("installation", "instance")
    filters = {"label": [f"{LABEL}{name}={getattr(mine, name)}" for name in names]}
    found = await engine.call(lambda client: client.containers(all=True, filters=filters), "list containers")
    alive = await anyio.to_thread.run_sync(living)
    return [one["Id"] for one in found if one["Labels"].get(LABEL + "process") not in alive]


async def let_finish(engine: Engine, container: str, within: float) -> None:
    """Wait until a container that does what must not be stopped in the middle has ended; others aren't waited for.

    Raises:
        AgentError: The engine can't be asked.
    """
    with anyio.move_on_after(within):
        at_work = await _is_at_work(engine, container)
        while at_work:
            await anyio.sleep(_LOOK_EVERY)
            at_work = await _is_at_work(engine, container)


async def _is_at_work(engine: Engine, container: str) -> bool:
    try:
        about = await engine.call(lambda client: client.inspect_container(container), "look at a container")
    except NotFound:
        return False
    return bool(about["State"]["Running"] and (about["Config"]["Labels"] or {}).get(LABEL + "work"))


def _remove(client: Any, container: str) -> None:
    try:
        client.remove_container(container, force=True, v=True)
    except APIError as error:
        if "already in progress" not in str(error):
            raise


def _create(client: Any, plan: Plan) -> str:
    limits = plan.limits
    owner = f",uid={plan.user[0]},gid={plan.user[1]}"
    host_config = client.create_host_config(
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        read_only=True,
        init=True,
        # An engine with userns-remap would make the container's user somebody who owns none of the mounted folders.
        userns_mode="host",
        pids_limit=limits.pids,
        mem_limit=limits.memory,
        memswap_limit=limits.memory,
        nano_cpus=int(min(limits.cpus, plan.cpus) * 1e9),
        tmpfs={"/tmp": _TMP, str(plan.home): _HOME + owner},  # noqa: S108  # in the container
        network_mode=limits.network,
        mounts=[bind.as_mount() for bind in plan.binds],
        log_config={"Type": "none"},
    )
    made = client.create_container(
        plan.image,
        list(plan.command),
        user=f"{plan.user[0]}:{plan.user[1]}",
        hostname=None if limits.network == "host" else "nanokimi",
        working_dir=str(plan.working_dir),
        stdin_open=True,
        environment=dict(plan.environment),
        labels=plan.labels.as_dict(),
        host_config=host_config,
    )
    return str(made["Id"])


async def _known(engine: Engine, work: Any, doing: str) -> None:
    try:
        await engine.call(work, doing)
    except NotFound as error:
        raise AgentError(
            Failure.ENGINE, f"Docker could not {doing}: {error}", remedy="look at: nanokimi doctor"
        ) from error
