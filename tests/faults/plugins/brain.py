"""A backend for the fault tests: answers with the ids of the messages it was asked, and notes each turn's start."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath

import anyio
from pydantic import BaseModel, ConfigDict

from nanokimi_core import (
    AgentError,
    AgentEvent,
    Backend,
    Chat,
    Context,
    Failure,
    Need,
    Session,
    Spec,
    Text,
    Turn,
    hookimpl,
)

LOOK = 0.005
NEED = Need("brain", PurePosixPath("/home/node/.brain"), (os.geteuid(), os.getegid()))


class BrainConfig(BaseModel):
    """Attributes.

    notes: A file for a line about each turn: ``moment process chat id id …``.
    away: While there is this file, no agent can be brought up.
    patience: Seconds after which the engine is to be asked again while it is away.
    hold: While there is this file, no turn ends.
    entering, thinking: At most so many seconds.
    fatal: A message with this text in it kills the process.
    paid: Each session asks the chat's account for a grant.
    """

    model_config = ConfigDict(extra="forbid")

    notes: Path | None = None
    away: Path | None = None
    patience: float = 0.3
    hold: Path | None = None
    entering: float = 0
    thinking: float = 0
    fatal: str = ""
    paid: bool = False


class BrainSession:
    """A conversation with it."""

    def __init__(self, config: BrainConfig, chat: Chat) -> None:
        self.config = config
        self.chat = chat

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        ids = [message.id for message in turn.messages]
        self._note(ids)
        if self.config.fatal and any(self.config.fatal in message.text for message in turn.messages):
            os.kill(os.getpid(), signal.SIGKILL)
        await some(self.config.thinking)
        while self.config.hold and self.config.hold.exists():
            await anyio.sleep(LOOK)
        yield Text(" ".join(ids))

    async def cancel(self) -> None:
        """Do nothing."""

    def _note(self, ids: list[str]) -> None:
        if self.config.notes is None:
            return
        line = f"{time.monotonic()} {os.getpid()} {self.chat.id} {' '.join(ids)}\n"
        file = os.open(self.config.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


class Brain:
    """The backend."""

    def __init__(self, config: BrainConfig, context: Context) -> None:
        self.config = config

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        if self.config.away and self.config.away.exists():
            wait = timedelta(seconds=self.config.patience)
            raise AgentError(Failure.ENGINE, "the engine is away", remedy="start it", retry_after=wait)
        await some(self.config.entering)
        if self.config.paid:
            await chat.auth.grant(NEED)
        yield BrainSession(self.config, chat)

    async def forget(self, chat: Chat) -> None:
        """Do nothing: it remembers nothing."""


async def some(seconds: float) -> None:
    """Take at most so long."""
    if seconds:
        await anyio.sleep(random.uniform(0, seconds))  # noqa: S311  # no secret


@hookimpl
def nanokimi_backends() -> list[Spec[Backend]]:
    return [Spec("brain", Brain, config=BrainConfig)]
