"""A sandbox: one container with one agent in it, for the chats that share it; brought up when it is needed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from nanokimi_backend_kimi_docker import agent_config
from nanokimi_backend_kimi_docker import container as containers
from nanokimi_backend_kimi_docker.agent_log import AgentLog
from nanokimi_backend_kimi_docker.agents import AcpAgent
from nanokimi_backend_kimi_docker.agents.base import HOME, WORKSPACE
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.container import Labels, Plan
from nanokimi_backend_kimi_docker.engine import Engine
from nanokimi_backend_kimi_docker.failures import hook_command, writing
from nanokimi_backend_kimi_docker.mounts import Folders, User, agent_user, device_id
from nanokimi_backend_kimi_docker.process import AgentProcess, Stage, new_mark
from nanokimi_core import Chat, Context, Grant, Need, private_folder, safe_name

_FINISH_SECONDS = 20.0


@dataclass(frozen=True)
class Workshop:
    """What every sandbox of a backend is made with.

    Attributes:
        engine: Docker.
        agent: The program in the containers.
        config: The toml's table.
        image: Where containers run from.
        context: What the core gave to the backend.
        labels: Say whose the containers are.
        own: This process's folder; gone when the backend is left.
        living: Gives the labels of the processes that live.
    """

    engine: Engine
    agent: AcpAgent
    config: KimiDockerConfig
    image: str
    context: Context
    labels: Labels
    own: Path
    living: Callable[[], set[str]]

    def folders(self, chat: Chat) -> Folders:
        """Say where a chat's sandbox has its folders."""
        return Folders.of(chat, self.agent, instance=self.context.name, generated=self.own)

    def log_path(self, chat: Chat) -> Path:
        """Say where the standard error of a chat's container is kept."""
        return private_folder(self.context.folder / "logs") / f"{safe_name(chat.sandbox)}.log"

    async def user(self) -> User:
        """Choose who the agents run as.

        Raises:
            AgentError: The engine can't be asked.
        """
        return agent_user(rootless=(await self.engine.machine()).rootless)

    async def grant(self, chat: Chat) -> Grant:
        """Ask the chat's account what the agent may use.

        Raises:
            AgentError: The engine can't be asked who the agent will run as.
            LoginNeeded: The account has no valid credentials.
        """
        user = await self.user()
        return await chat.auth.grant(Need(self.agent.name, self.agent.home, user.outside))

    def identity(self, chat: Chat, grant: Grant) -> str:
        """Digest all that a container is started with; when it changes, the container must."""
        config = agent_config.generate(self.agent, grant, self.config, hook="-").text.get_secret_value()
        parts = (grant.fingerprint, config, repr(grant.mounts), repr(grant.environment), chat.instructions)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    async def remove_orphans(self, chat: Chat | None = None) -> None:
        """Remove what a killed process has left behind: all its containers, or those of a chat's sandbox.

        Raises:
            AgentError: The engine can't.
        """
        labels = self.labels if chat is None else self.labels.of_sandbox(safe_name(chat.sandbox))
        for container in await containers.orphans(self.engine, labels, self.living):
            await containers.let_finish(self.engine, container, _FINISH_SECONDS)
            await containers.remove(self.engine, container)
            self.context.log.info("removed the container %s of a killed process", container[:12])

    async def bring_up(self, chat: Chat, grant: Grant, folders: Folders, stage: Stage = lambda _: None) -> AgentProcess:
        """Start a container for a chat's sandbox, and the agent in it.

        Raises:
            AgentError: It can't be started.
        """
        mark = new_mark()
        generated = agent_config.generate(self.agent, grant, self.config, hook=hook_command(mark))
        machine, user = await self.engine.machine(), await self.user()

        def prepare() -> tuple[Plan, AgentLog]:
            binds = folders.prepare(
                self.agent,
                grant,
                generated.text.get_secret_value(),
                chat.instructions,
                user=user,
                device=device_id(self.context.folder),
            )
            plan = Plan(
                image=self.image,
                command=self.agent.command,
                user=user.inside,
                home=HOME,
                working_dir=WORKSPACE,
                binds=binds,
                environment={**self.agent.environment(), **dict(grant.environment)},
                labels=self.labels.of_sandbox(safe_name(chat.sandbox)),
                limits=self.config,
                cpus=machine.cpus,
            )
            secrets = [grant.api_key.get_secret_value()] if grant.api_key is not None else []
            return plan, AgentLog(self.log_path(chat), secrets=secrets)

        with writing():
            plan, log = await anyio.to_thread.run_sync(prepare)
        process = AgentProcess(
            self.engine,
            self.agent,
            plan,
            identity=self.identity(chat, grant),
            options=self.agent.options(generated.default_model, self.config),
            mark=mark,
            log=log,
            trace=self.context.log,
            discard=folders.discard,
        )
        await process.start(stage)
        self.context.log.info("%s %s is up for %s", self.agent.name, process.version, chat.sandbox)
        return process


class Sandbox:
    """The agent of one sandbox: started at first need, and again when it has ended or must change.

    Attributes:
        users: How many sessions are entered.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._process: AgentProcess | None = None
        self._changing = anyio.Lock()
        self._left_behind: list[str] = []
        self._busy = 0
        self._idle = anyio.Event()
        self.users = 0

    @property
    def up(self) -> bool:
        """Whether its agent runs."""
        return self._process is not None and self._process.alive

    @asynccontextmanager
    async def fresh(self, chat: Chat) -> AsyncIterator[tuple[AgentProcess, Grant]]:
        """Hold an agent that runs under a new grant of the chat's account; it isn't replaced while it is held.

        Raises:
            AgentError: It can't be brought up.
            LoginNeeded: The chat's account has no valid credentials.
        """
        async with self._changing:
            grant = await self._workshop.grant(chat)
            process = await self._agent(chat, grant)
            self._busy += 1
        try:
            yield process, grant
        finally:
            self.release()

    def hold(self, process: AgentProcess) -> bool:
        """Hold an agent that was given before, if it is still the sandbox's and alive; ``release`` must follow."""
        if process is not self._process or not process.alive or self._changing.locked():
            return False
        self._busy += 1
        return True

    def release(self) -> None:
        """Let the agent be replaced again."""
        self._busy -= 1
        if not self._busy:
            self._idle.set()
            self._idle = anyio.Event()

    async def close(self) -> None:
        """End the agent."""
        async with self._changing:
            await self._end()

    async def _agent(self, chat: Chat, grant: Grant) -> AgentProcess:
        if self._process is not None:
            if self._process.alive and self._process.identity == self._workshop.identity(chat, grant):
                return self._process
            while self._busy and self._process.alive:
                await self._idle.wait()
            await self._end()
        await self._sweep()
        await self._workshop.remove_orphans(chat)  # two agents must never write into one home
        self._process = await self._workshop.bring_up(chat, grant, self._workshop.folders(chat))
        return self._process

    async def _sweep(self) -> None:
        """Remove the containers that could not be removed while the engine was away."""
        while self._left_behind:
            await containers.remove(self._workshop.engine, self._left_behind[-1])
            self._left_behind.pop()

    async def _end(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            with anyio.CancelScope(shield=True):
                await process.close()
            self._left_behind += [process.container] if process.left_behind else []
