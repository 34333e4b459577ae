"""The three questions of everyone who debugs an agent in a container: its config, one prompt, its log."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from nanokimi_backend_kimi_docker import agent_config, beneath
from nanokimi_backend_kimi_docker.failures import writing
from nanokimi_backend_kimi_docker.mounts import Folders
from nanokimi_backend_kimi_docker.opening import open_conversation
from nanokimi_backend_kimi_docker.process import AgentProcess
from nanokimi_backend_kimi_docker.prompt import prompt_blocks
from nanokimi_backend_kimi_docker.redact import plain, redact
from nanokimi_backend_kimi_docker.sandbox import Workshop
from nanokimi_backend_kimi_docker.turn import Place, RunningTurn
from nanokimi_core import AgentConfig, Chat, Inbound, Text, Timing, Turn, private_folder

_LOG_BYTES = 256 * 1024


class Clock:
    """Seconds since the beginning of a probe, for each of its stages."""

    def __init__(self) -> None:
        self._began = anyio.current_time()
        self.timings: list[Timing] = []

    def __call__(self, stage: str) -> None:
        """Note that a stage is over."""
        self.timings.append(Timing(stage, anyio.current_time() - self._began))

    def take(self) -> list[Timing]:
        """Give the stages that are new."""
        new, self.timings = self.timings, []
        return new


@asynccontextmanager
async def _trial(workshop: Workshop, chat: Chat, clock: Clock) -> AsyncIterator[Place]:
    """Bring up an agent like the chat's own, with empty folders that are thrown away."""
    with writing():
        root = private_folder(workshop.own / "trials" / secrets.token_hex(8))
    folders = Folders(workspace=root / "workspace", home=root / "home", private=root / "private")
    process: AgentProcess | None = None
    try:
        grant = await workshop.grant(chat)
        process = await workshop.bring_up(chat, grant, folders, clock)
        session, _ = await open_conversation(process, None)
        clock("session")
        yield Place(process, grant, session, folders)
    finally:
        with anyio.CancelScope(shield=True):
            if process is not None:
                await process.close()
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(root, ignore_errors=True))


async def see_config(workshop: Workshop, chat: Chat) -> AgentConfig:
    """Read the agent's config from inside a container.

    Raises:
        AgentError: None can be brought up, or the config can't be read.
        LoginNeeded: The chat's account has no valid credentials.
    """
    path = str(workshop.agent.config_path)
    async with _trial(workshop, chat, Clock()) as place:
        text = await place.process.execute("cat", path)
        name = f"{workshop.agent.name} {place.process.version}"
    return agent_config.read(text.decode("utf-8", "replace"), name, path)


async def probe(workshop: Workshop, tasks: TaskGroup, chat: Chat, text: str) -> AsyncIterator[Timing | Text]:
    """Ask an agent something in a container of its own, and time each stage.

    Raises:
        AgentError: It can't be brought up, or the turn failed.
        LoginNeeded: The chat's account has no valid credentials.
    """
    clock = Clock()
    async with _trial(workshop, chat, clock) as place:
        for timing in clock.take():
            yield timing
        turn = Turn("probe", (Inbound("probe", "probe", "owner", text),))
        blocks = await prompt_blocks(turn, place.folders.workspace, images=False)
        running = RunningTurn(place, blocks)
        tasks.start_soon(running.run)
        try:
            said = False
            async for event in running.events:
                if isinstance(event, Text):
                    if not said:
                        clock("first token")
                        said = True
                        yield clock.take()[0]
                    yield event
        finally:
            running.events.close()
            with anyio.CancelScope(shield=True):
                await running.cancel_unless_ended()
        if running.error is not None:
            raise running.error
        clock("done")
        yield clock.take()[0]


def read_logs(workshop: Workshop, chat: Chat, session: str | None, *, lines: int) -> str:
    """Give the end of what a chat's agent and its container have logged."""
    home = workshop.folders(chat).home
    parts = [("the container's standard error", _tail_of(workshop.log_path(chat)))]
    for path in workshop.agent.log_files(session):
        with suppress(OSError):
            parts.append((f"the agent's {path}", beneath.read_one(home, path, most=_LOG_BYTES, from_end=True)))
    shown = [f"== {title}\n{_last(data, lines)}" for title, data in parts if data.strip()]
    return redact("\n\n".join(shown))


def _tail_of(path: Path) -> bytes:
    try:
        return path.read_bytes()[-_LOG_BYTES:]
    except FileNotFoundError:
        return b""


def _last(data: bytes, lines: int) -> str:
    return "\n".join(plain(line) for line in data.decode("utf-8", "replace").splitlines()[-lines:])
