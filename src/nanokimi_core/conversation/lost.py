"""An answer that could not be delivered: a dead letter, of which the chat and the owner hear."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nanokimi_core.config import Settings
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.conversation.owner import Owner
from nanokimi_core.delivery import Delivery
from nanokimi_core.store import Owed, OwedRow, Store

_HOUR = 3600.0


class Lost:
    """Ends what delivery gives up.

    Args:
        settings: Live; of languages.
        store: Where it becomes a dead letter.
        owner: Who hears of it.
        delivery: Gives the delivery, for the sentence that the chat gets.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        store: Store,
        owner: Callable[[], Owner],
        delivery: Callable[[], Delivery],
    ) -> None:
        self._settings = settings
        self._store = store
        self._owner = owner
        self._delivery = delivery

    async def __call__(self, row: OwedRow, cause: str) -> None:
        """Make a row a dead letter.

        Raises:
            StoreError: It can't be written now; nothing has happened.
        """
        chat = f"{row.owed.transport}:{row.owed.chat}"
        rows = await self._store.give_up(row, cause, await self._sentence(row, chat))
        self._delivery().take(rows)
        owner = self._owner()
        if chat == owner.chat:  # telling of it there would be lost as well, and so on without end
            owner.note(phrase(owner.language, "owner_undelivered", chat=chat, id=f"a{row.number}", cause=cause))
            return
        said = phrase(owner.language, "owner_undelivered", chat=chat, id=f"a{row.number}", cause=cause)
        await owner.tell(f"undelivered {chat}", said)

    async def _sentence(self, row: OwedRow, chat: str) -> Sequence[Owed]:
        """Say it in the chat, where that can be said: not of such a sentence itself, and once an hour."""
        if row.owed.notice or not await self._store.first_in(f"told {chat} undelivered", _HOUR):
            return ()
        said = phrase(self._settings().rules((chat,)).language, "undelivered")
        owed = row.owed
        return self._delivery().prepare(
            owed.transport, owed.chat, said, key=f"{owed.key}-lost", thread=owed.thread, notice=True
        )
