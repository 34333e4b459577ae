"""``echo``: a backend that says what it hears. For trying things out, and for tests of transports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nanokimi_core.contracts.backend import AgentEvent, Backend, Chat, Session, Text, Turn
from nanokimi_core.contracts.plugin import Context, NoConfig
from nanokimi_core.hookspecs import Spec, hookimpl


class EchoSession:
    """Has nothing to remember."""

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Give the messages back, word by word."""
        for message in turn.messages:
            for word in message.text.splitlines(keepends=True) or [""]:
                yield Text(word)
            for file in message.attachments:
                yield Text(f"\n[{file.name}: {file.media_type}, {file.size} bytes]")

    async def cancel(self) -> None:
        """Do nothing: an echo is over at once."""


class Echo:
    """A backend without an agent.

    Args:
        config: Nothing.
        context: The core's.
    """

    def __init__(self, config: NoConfig, context: Context) -> None:
        self.name = context.name

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        """Give a session; any number at once."""
        yield EchoSession()

    async def forget(self, chat: Chat) -> None:
        """Do nothing: there is nothing to forget."""


@hookimpl
def nanokimi_backends() -> list[Spec[Backend]]:
    """Register ``echo``."""
    return [Spec("echo", Echo)]
