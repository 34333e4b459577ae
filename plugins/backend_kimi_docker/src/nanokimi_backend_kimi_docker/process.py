"""A container with one agent in it that speaks ACP: from its start to its end."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from logging import LoggerAdapter
from typing import Any, TypeVar

import acp
import anyio
from acp import schema
from acp.core import ClientSideConnection
from pydantic import ValidationError

from nanokimi_backend_kimi_docker import container as containers
from nanokimi_backend_kimi_docker import failures
from nanokimi_backend_kimi_docker.acp_client import Client, connect
from nanokimi_backend_kimi_docker.agent_log import AgentLog
from nanokimi_backend_kimi_docker.agents import AcpAgent
from nanokimi_backend_kimi_docker.attach import AgentStream, attach
from nanokimi_backend_kimi_docker.container import Plan
from nanokimi_backend_kimi_docker.engine import Engine
from nanokimi_backend_kimi_docker.records import Records
from nanokimi_backend_kimi_docker.redact import plain
from nanokimi_core import AgentError, Failure, __version__

T = TypeVar("T")

PATIENCE = 90.0
_END_SECONDS = 2.0
_LOOK_SECONDS = 3.0
_LOOK_EVERY = 0.05
_CLIENT = schema.Implementation(name="nanokimi", version=__version__)

Stage = Callable[[str], None]


def new_mark() -> str:
    """Give what begins a hook's record in one container; no agent says it by chance."""
    return f"nanokimi-hook-{secrets.token_hex(8)}"


class AgentProcess:
    """An agent that is up.

    Attributes:
        container: The engine's id of its container.
        client: Hears it.
        records: What its hooks say.
        identity: Of what it was started with; another grant or other instructions need another process.
        options: What its sessions must be set to, by ACP's names of the options.
        can: What it said that it can do.
        version: What it said it is.
        left_behind: Whether its container could not be removed when it was closed.
    """

    def __init__(
        self,
        engine: Engine,
        agent: AcpAgent,
        plan: Plan,
        *,
        identity: str,
        options: Mapping[str, str],
        mark: str,
        log: AgentLog,
        trace: LoggerAdapter[Any],
        discard: Callable[[], None],
    ) -> None:
        self.agent = agent
        self.identity = identity
        self.options = options
        self.client = Client()
        self.records = Records(mark)
        self.container = ""
        self.left_behind = False
        self.can = schema.AgentCapabilities()
        self.version = ""
        self._engine = engine
        self._plan = plan
        self._log = log
        self._trace = trace
        self._discard = discard
        self._stream: AgentStream | None = None
        self._connection: ClientSideConnection | None = None
        self._closed = False

    async def start(self, stage: Stage = lambda _: None) -> None:
        """Make and start the container, and shake hands with the agent in it.

        Raises:
            AgentError: It can't be brought up. Nothing is left of it then.
        """
        try:
            with anyio.CancelScope(shield=True):  # a container that nobody knows would stay
                self.container = await containers.create(self._engine, self._plan)
            stage("create")
            self._stream = AgentStream(
                await attach(self._engine, self.container), on_stderr=self._on_stderr, log=self._trace
            )
            self._connection = connect(self.client, self._stream)
            await containers.start(self._engine, self.container)
            stage("start")
            await self._initialize()
            stage("initialize")
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return not self._closed and self._stream is not None and not self._stream.ended.is_set()

    @property
    def takes_images(self) -> bool:
        """Whether images can be part of a prompt."""
        return bool(self.can.prompt_capabilities and self.can.prompt_capabilities.image)

    @property
    def connection(self) -> ClientSideConnection:
        """ACP's agent.

        Raises:
            ConnectionError: It has ended.
        """
        if self._connection is None or self._closed:
            raise ConnectionError("the agent has ended")
        return self._connection

    async def ask(self, request: Callable[[ClientSideConnection], Awaitable[T]], doing: str) -> T:
        """Ask the agent for something that must not take long.

        Raises:
            AgentError: It has ended, or doesn't answer.
            RequestError: It refuses.
        """
        try:
            with anyio.fail_after(PATIENCE):
                return await request(self.connection)
        except TimeoutError as error:
            raise AgentError(
                Failure.CRASHED,
                f"{self.agent.name} did not {doing} within {PATIENCE:g} s",
                remedy="look at: nanokimi debug logs",
            ) from error
        except ConnectionError as error:
            raise await self.failure() from error
        except ValidationError as error:
            raise failures.no_protocol(error) from error

    async def failure(self) -> AgentError:
        """Say why the agent has ended."""
        if self._stream is not None and self._stream.fault:
            return AgentError(Failure.CRASHED, self._stream.fault, remedy="look at: nanokimi debug logs")
        try:
            left = await containers.look(self._engine, self.container)
            with anyio.move_on_after(_LOOK_SECONDS):
                while left.running:
                    await anyio.sleep(_LOOK_EVERY)
                    left = await containers.look(self._engine, self.container)
        except AgentError as error:
            return error
        plan = self._plan
        return failures.from_exit(
            left, program=plan.command[0], limit=plan.limits.memory, last_words=self._log.last_words
        )

    async def execute(self, *command: str) -> bytes:
        """Run a command in the container and give its standard output.

        Raises:
            AgentError: The engine can't.
        """

        def work(client: Any) -> bytes:
            made = client.exec_create(self.container, list(command), stdout=True, stderr=False)
            return bytes(client.exec_start(made["Id"]))

        return await self._engine.call(work, "run a command in the agent's container")

    async def kill(self) -> None:
        """End it at once, whatever it does."""
        if self._stream is not None:
            await self._stream.close()  # an engine whose stream nobody reads could not remove the container
        with suppress(AgentError):
            await containers.remove(self._engine, self.container)

    async def close(self) -> None:
        """End it, giving it a moment to do so by itself, and remove its container."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._stream is not None:
                await self._end(self._stream)
            await self._remove()
            if self._connection is not None:
                await self._connection.close()
            elif self._stream is not None:
                await self._stream.close()
        finally:
            self._log.close()
            try:
                await anyio.to_thread.run_sync(self._discard)
            except OSError as error:
                self._trace.warning("a generated config is left until this process ends: %s", error)

    async def _end(self, stream: AgentStream) -> None:
        if not stream.ended.is_set():
            await stream.end_input()
            with anyio.move_on_after(_END_SECONDS):
                await stream.ended.wait()
        if stream.fault or not stream.ended.is_set():
            await stream.close()  # see kill

    async def _remove(self) -> None:
        if not self.container:
            return
        try:
            await containers.remove(self._engine, self.container)
        except AgentError as error:
            self._trace.warning("container %s is left behind for now: %s", self.container[:12], error)
            self.left_behind = True

    async def _initialize(self) -> None:
        answer = await self.ask(
            lambda agent: agent.initialize(
                acp.PROTOCOL_VERSION, client_capabilities=schema.ClientCapabilities(), client_info=_CLIENT
            ),
            "start",
        )
        self.version = plain(answer.agent_info.version) if answer.agent_info is not None else ""
        self.can = answer.agent_capabilities or schema.AgentCapabilities()
        self.agent.check_version(self.version)

    def _on_stderr(self, line: str) -> None:
        if not self.records.take(line):
            self._log.write(line)
