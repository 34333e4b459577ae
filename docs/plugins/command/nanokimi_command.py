"""A backend for any command that reads a question and writes an answer."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from pydantic import BaseModel, ConfigDict

from nanokimi_core import (
    AgentError,
    AgentEvent,
    Backend,
    Chat,
    Context,
    Failure,
    Session,
    Spec,
    Text,
    Turn,
    hookimpl,
    private_folder,
    prompt_text,
)

BUSY = 75  # EX_TEMPFAIL


class CommandConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    command: list[str]


class Conversation:
    """A chat's session: the command runs once for each turn, in a folder where it can keep what it knows."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.command, self.folder = command, folder
        self.process: Process | None = None
        self.stopped = False

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        question = self.question(turn)
        self.stopped = False
        try:
            with (self.folder / "errors.txt").open("wb") as errors:
                self.process = process = await anyio.open_process(self.command, cwd=self.folder, stderr=errors)
        except OSError as error:
            why = f"{self.command[0]} can't be started: {error.strerror}"
            raise AgentError(Failure.ENGINE, why, remedy="look at command in nanokimi.toml") from None
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(anyio.BrokenResourceError):  # it didn't want to read
                await process.stdin.send(question.encode())
            await process.stdin.aclose()
            async for piece in TextReceiveStream(process.stdout):
                yield Text(piece)
            await process.wait()
        finally:
            self.process = None
            with anyio.CancelScope(shield=True):
                with suppress(ProcessLookupError):
                    process.kill()
                await process.aclose()
        if process.returncode and not self.stopped:
            raise self.failed(process.returncode)

    async def cancel(self) -> None:
        if self.process is not None:
            self.stopped = True
            with suppress(ProcessLookupError):
                self.process.kill()

    def question(self, turn: Turn) -> str:
        """Give the question; a turn that is tried again may have asked it already, and then only wants the answer."""
        asked = self.folder / "turn"
        if asked.exists() and asked.read_text() == turn.id:
            return "No answer to the last question has arrived. Please answer it now."
        asked.write_text(turn.id)
        return prompt_text(turn)

    def failed(self, code: int) -> AgentError:
        if code == BUSY:
            return AgentError(Failure.RATE_LIMIT, f"{self.command[0]} is busy", retry_after=timedelta(seconds=1))
        remedy = f"see {self.folder / 'errors.txt'}"
        return AgentError(Failure.CRASHED, f"{self.command[0]} ended with {code}", remedy=remedy)


class Command:
    def __init__(self, config: CommandConfig, context: Context) -> None:
        self.command, self.name = config.command, context.name

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        folder = private_folder(self.folder(chat))
        (folder / "INSTRUCTIONS.md").write_text(chat.instructions)
        yield Conversation(self.command, folder)

    async def forget(self, chat: Chat) -> None:
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(self.folder(chat), ignore_errors=True))

    def folder(self, chat: Chat) -> Path:
        return chat.folder / "agent" / self.name


@hookimpl
def nanokimi_backends() -> list[Spec[Backend]]:
    return [Spec("command", Command, config=CommandConfig)]
