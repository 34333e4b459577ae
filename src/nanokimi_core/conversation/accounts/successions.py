"""Telling the owner when an account of a chain takes over for another one, and when that one serves again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from logging import Logger

from nanokimi_core.conversation.accounts.chain import Account
from nanokimi_core.conversation.accounts.standings import Standing, Standings
from nanokimi_core.conversation.catalogue import joined, phrase
from nanokimi_core.conversation.owner import Owner
from nanokimi_core.store import Store, StoreError

_NOTE = "accounts that were told to be down"


class Successions:
    """Tells each change once, also across a restart.

    Args:
        standings: Which accounts are down.
        owner: Who hears of it.
        by_code: Names the first of accounts that is lost and logs in by a code; empty where none is.
        store: Remembers of which accounts the owner was told.
        log: For a store that can't be written.
    """

    def __init__(
        self, standings: Standings, owner: Owner, store: Store, *, by_code: Callable[[Sequence[str]], str], log: Logger
    ) -> None:
        self._standings = standings
        self._owner = owner
        self._store = store
        self._by_code = by_code
        self._log = log
        self._told: set[str] = set()

    async def load(self) -> None:
        """Read of which accounts the owner was told.

        Raises:
            StoreError: It can't be read.
        """
        self._told = _names(await self._store.get(_NOTE))

    async def answered(self, account: Account) -> None:
        """Tell what an answer shows: who serves, and who doesn't any more."""
        serving = account.serving
        if not serving or not (self._told or self._standings.names_down()):
            return
        if serving in self._told:
            await self._note(serving, told=False)
            await self._owner.tell(f"account {serving}", phrase(self._owner.language, "owner_account_back", id=serving))
        for name in account.skipped():
            standing = self._standings.down(name)
            if standing is not None and name not in self._told:
                await self._note(name, told=True)
                await self._tell_of_loss(name, standing, serving)

    async def _tell_of_loss(self, name: str, standing: Standing, serving: str) -> None:
        said = phrase(
            self._owner.language,
            "owner_account_fell",
            id=name,
            other=serving,
            cause=f"{standing.kind.value}: {standing.why}",
            remedy=standing.remedy,
        )
        if self._owner.chat is not None and self._by_code([name]):
            said = joined([said, phrase(self._owner.language, "owner_account_login", id=name)])
        await self._owner.tell(f"account {name}", said)

    async def _note(self, name: str, *, told: bool) -> None:
        (self._told.add if told else self._told.discard)(name)
        names: Sequence[str] = sorted(self._told)
        try:
            await self._store.set(_NOTE, json.dumps(names) if names else None)
        except StoreError as error:
            self._log.error("%s", error)


def _names(note: str | None) -> set[str]:
    try:
        value = json.loads(note) if note else []
    except ValueError:
        return set()
    return {name for name in value if isinstance(name, str)} if isinstance(value, list) else set()
