"""A backend for the fault tests: answers with what it was told, in one line, and notes each turn's start.

Unlike ``brain``, it needs no ids that mean something: networks without ids make up their own.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from faults.plugins.brain import some
from nanokimi_core import AgentEvent, Backend, Chat, Context, Session, Spec, Text, Turn, hookimpl


class ParrotConfig(BaseModel):
    """Attributes.

    notes: A file for a line about each message of each turn: its id, its chat and its text as JSON.
    thinking: At most so many seconds.
    """

    model_config = ConfigDict(extra="forbid")

    notes: Path
    thinking: float = 0


class ParrotSession:
    """A conversation with it."""

    def __init__(self, config: ParrotConfig) -> None:
        self.config = config

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        lines = [json.dumps([message.id, message.chat, message.text]) + "\n" for message in turn.messages]
        file = os.open(self.config.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, "".join(lines).encode())
        finally:
            os.close(file)
        await some(self.config.thinking)
        yield Text(" ".join(message.text for message in turn.messages))

    async def cancel(self) -> None:
        """Do nothing."""


class Parrot:
    """The backend."""

    def __init__(self, config: ParrotConfig, context: Context) -> None:
        self.config = config

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        yield ParrotSession(self.config)

    async def forget(self, chat: Chat) -> None:
        """Do nothing: it remembers nothing."""


@hookimpl
def nanokimi_backends() -> list[Spec[Backend]]:
    return [Spec("parrot", Parrot, config=ParrotConfig)]
