"""What an owner can do to an assistant, from the terminal and from the owner's chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nanokimi_core.status import LoginAsked, Status
from nanokimi_core.store.values import ChatRecord, DeadLetter


class Operations(Protocol):
    """The owner's hands. Every call can raise ``NanoKimiError`` with one sentence."""

    async def status(self) -> Status:
        """Say how everything stands."""
        ...

    async def reload(self) -> Sequence[str]:
        """Read the toml again and use what can be used without a restart; gives a sentence for each thing that can't.

        Raises:
            ConfigError: It is wrong; everything stays as it was.
        """
        ...

    async def log_in(self, name: str | None = None, chat: str = "") -> LoginAsked:
        """Begin a login by a code that is shown in chat, or give the code that waits.

        Args:
            name: The account; the one that needs it most unless given.
            chat: Where to show the code, ``transport:chat``; in the owner's chat unless given.

        Raises:
            CommandError: There is no such account, or no chat.
        """
        ...

    async def chats(self) -> Sequence[ChatRecord]:
        """List the chats that are known, the latest first."""
        ...

    async def find(self, chat: str) -> ChatRecord | None:
        """Find a chat by its number or its id, ``transport:chat``."""
        ...

    async def grant(self, chat: ChatRecord, granted: bool) -> bool:
        """Let a chat in, or shut it out; ``False`` where the toml lets it in already, and so decides."""
        ...

    async def forget(self, chat: ChatRecord) -> int:
        """Erase a chat's messages, its files and its agent's memory; gives the number of messages."""
        ...

    async def dead(self, *, limit: int = 100, chat: str | None = None) -> Sequence[DeadLetter]:
        """List dead letters, the latest first."""
        ...

    async def dead_letter(self, letter: str) -> DeadLetter | None:
        """Give one by its id."""
        ...

    async def revive(self, letter: str) -> DeadLetter | None:
        """Try a dead letter again; ``None`` where there is none of this id."""
        ...

    async def drop(self, letter: str) -> DeadLetter | None:
        """End a dead letter for good; ``None`` where there is none of this id."""
        ...
