"""What the owner has granted in chat: which chats are let in, and which are shut out."""

from __future__ import annotations

from collections.abc import Iterable

from nanokimi_core.store import Store


class Grants:
    """Answers from memory for every message; what is set is on disk first.

    Args:
        store: Where grants are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._granted: dict[str, bool] = {}

    async def load(self) -> None:
        """Read what was granted before.

        Raises:
            StoreError: It can't be read.
        """
        self._granted = dict(await self._store.grants())

    def of(self, chats: Iterable[str]) -> bool | None:
        """Say whether a chat is let in (``True``) or shut out, from its id and its aliases; ``None``: neither.

        Shut out under any name is shut out.
        """
        said = [self._granted[chat] for chat in chats if chat in self._granted]
        return all(said) if said else None

    async def set(self, chat: str, granted: bool | None) -> None:
        """Let a chat in (``transport:chat``), shut it out, or neither.

        Raises:
            StoreError: It can't be written; nothing has changed then.
        """
        await self._store.grant(chat, granted)
        if granted is None:
            self._granted.pop(chat, None)
        else:
            self._granted[chat] = granted
