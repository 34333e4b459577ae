"""The backend: sandboxes with Kimi agents in Docker containers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from nanokimi_backend_kimi_docker import inspection, memory
from nanokimi_backend_kimi_docker.agents import AGENTS
from nanokimi_backend_kimi_docker.commands import KimiCommands
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.container import Labels
from nanokimi_backend_kimi_docker.conversations import Conversations
from nanokimi_backend_kimi_docker.engine import Engine
from nanokimi_backend_kimi_docker.failures import writing
from nanokimi_backend_kimi_docker.image import build
from nanokimi_backend_kimi_docker.presence import Presence
from nanokimi_backend_kimi_docker.sandbox import Sandbox, Workshop
from nanokimi_backend_kimi_docker.session import ChatSession
from nanokimi_core import (
    AgentConfig,
    AgentError,
    Chat,
    Context,
    ImageStatus,
    Progress,
    Session,
    Text,
    Timing,
)

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0


class KimiDocker:
    """Agents in containers. Entered by the core; its tasks end when it is left.

    Args:
        config: The toml's table.
        context: What the core gives.
    """

    def __init__(self, config: KimiDockerConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._engine = Engine()
        self._presence = Presence(context.folder)
        self._workshop = Workshop(
            engine=self._engine,
            agent=AGENTS[config.agent],
            config=config,
            image=build.image_name(config),
            context=context,
            labels=Labels(context.installation, self._presence.token, context.name),
            own=self._presence.folder,
            living=self._presence.living,
        )
        self._commands = KimiCommands(self._workshop)
        self._conversations = Conversations(context.folder / "conversations")
        self._sandboxes: dict[str, Sandbox] = {}
        self._sessions: dict[str, ChatSession] = {}
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> KimiDocker:
        with writing():
            await anyio.to_thread.run_sync(self._presence.__enter__)
        self._stack.callback(self._presence.__exit__, None, None, None)
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as closing:
                for sandbox in self._sandboxes.values():
                    closing.start_soon(sandbox.close)
                closing.start_soon(self._commands.close)
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        await self._stack.aclose()
        self._engine.close()

    # ----------------------------------------------------------------- conversations
    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        """Give a chat's session. The agent is up when it is entered; the last one to leave a sandbox ends it.

        Raises:
            AgentError: The agent can't be brought up.
            LoginNeeded: The chat's account has no valid credentials.
        """
        tasks = self._running()
        sandbox = self._sandboxes.setdefault(chat.sandbox, Sandbox(self._workshop))
        sandbox.users += 1
        session = ChatSession(chat, self._workshop, sandbox, self._conversations, tasks)
        try:
            await session.open()
            self._sessions[chat.id] = session
            yield session
        finally:
            with anyio.CancelScope(shield=True):
                await self._leave(chat, session, sandbox)

    async def forget(self, chat: Chat) -> None:
        """Let the chat's next turn start a fresh conversation; its files stay.

        Raises:
            AgentError: The data folder can't be written.
        """
        for agent in AGENTS:
            await anyio.to_thread.run_sync(self._conversations.drop, chat.id, agent)
        if (session := self._sessions.get(chat.id)) is not None:
            session.forget()

    async def run(self) -> None:
        """Remove the containers that a killed process has left behind."""
        wait = _FIRST_WAIT
        while True:
            try:
                await self._workshop.remove_orphans()
                break
            except AgentError as error:
                self._context.log.warning("containers of a killed process can't be looked for yet: %s", error)
            await anyio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
        await anyio.sleep_forever()

    async def room(self) -> int:
        """Count the sandboxes that fit into the machine's memory, the running ones included; at least 1."""
        running = sum(sandbox.up for sandbox in self._sandboxes.values())
        try:
            return await memory.room(self._engine, self._config.memory, running)
        except AgentError as error:
            self._context.log.warning("the machine's memory can't be looked at: %s", error)
            return max(1, running)

    # ----------------------------------------------------------------- the image
    async def image_status(self) -> ImageStatus:
        """Look for the image.

        Raises:
            AgentError: The engine can't be asked.
        """
        return await build.image_status(self._engine, self._config)

    def build_image(self, *, fresh: bool = False) -> AsyncIterator[Progress]:
        """Build the image, ``fresh`` without the engine's cache.

        Raises:
            AgentError: The build failed.
        """
        return build.build_image(self._config, fresh=fresh)

    # ----------------------------------------------------------------- the agent's own login
    def agent_commands(self) -> KimiCommands:
        """Give the agent's login and refresh, each run in a container of its own."""
        return self._commands

    # ----------------------------------------------------------------- looking inside
    async def agent_config(self, chat: Chat) -> AgentConfig:
        """Read the config that the agent sees, from inside a container like the chat's own.

        Raises:
            AgentError: None can be brought up.
            LoginNeeded: The chat's account has no valid credentials.
        """
        return await inspection.see_config(self._workshop, chat)

    def probe(self, chat: Chat, text: str) -> AsyncIterator[Timing | Text]:
        """Ask the agent something in a conversation of its own, and time each stage.

        Raises:
            AgentError: It can't be brought up, or the turn failed.
            LoginNeeded: The chat's account has no valid credentials.
        """
        return inspection.probe(self._workshop, self._running(), chat, text)

    async def logs(self, chat: Chat, *, lines: int) -> str:
        """Give the last lines of what the chat's agent and its container have logged."""
        known = await anyio.to_thread.run_sync(self._conversations.get, chat.id, self._config.agent)
        session = known.session if known else None
        return await anyio.to_thread.run_sync(lambda: inspection.read_logs(self._workshop, chat, session, lines=lines))

    def _running(self) -> TaskGroup:
        if self._tasks is None:
            raise RuntimeError("the backend has not been entered")
        return self._tasks

    async def _leave(self, chat: Chat, session: ChatSession, sandbox: Sandbox) -> None:
        if self._sessions.get(chat.id) is session:
            del self._sessions[chat.id]
        sandbox.users -= 1
        if sandbox.users:
            await session.leave()
            return
        await sandbox.close()
        if not sandbox.users and self._sandboxes.get(chat.sandbox) is sandbox:
            del self._sandboxes[chat.sandbox]
