"""What a restart must know of logins by code: which codes the owner has been sent, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from logging import Logger

from nanokimi_core.store import Store, StoreError

_NOTE = "logins"


@dataclass(frozen=True)
class Note:
    """The last login by code of an account, until the account works.

    Attributes:
        waiting: Its code may be in the owner's chat. In a process that shows none, an earlier process has died of it.
        lost: It was for a login that is lost; else the owner wanted a new one.
        codes: How many were shown since the loss.
        keys: Of the messages that hold the code.
    """

    waiting: bool
    lost: bool
    codes: int = 0
    keys: tuple[str, ...] = ()


class LoginNotes:
    """The notes on all accounts, in memory and in the store.

    Args:
        store: Where they are kept.
        log: Says what can't be kept: a code may then be sent once more after a restart.
    """

    def __init__(self, store: Store, log: Logger) -> None:
        self._store = store
        self._log = log
        self._notes: dict[str, Note] = {}

    async def load(self, accounts: Collection[str]) -> None:
        """Read the notes on these accounts; others are of no use any more.

        Raises:
            StoreError: They can't be read.
        """
        read = _read(await self._store.get(_NOTE))
        self._notes = {name: note for name, note in read.items() if name in accounts}

    def get(self, name: str) -> Note | None:
        """Give the note on an account."""
        return self._notes.get(name)

    @property
    def lost(self) -> tuple[str, ...]:
        """Name the accounts that were lost, and don't work yet as far as is known."""
        return tuple(name for name, note in self._notes.items() if note.lost)

    @property
    def keys(self) -> tuple[str, ...]:
        """Name all messages with codes that may not be sent yet."""
        return tuple(key for note in self._notes.values() if note.waiting for key in note.keys)

    async def set(self, name: str, note: Note | None) -> None:
        """Write a note; ``None`` removes it."""
        if note is None:
            self._notes.pop(name, None)
        else:
            self._notes[name] = note
        whole = json.dumps({name: asdict(note) for name, note in self._notes.items()})
        try:
            await self._store.set(_NOTE, whole if self._notes else None)
        except StoreError as error:
            self._log.error("the login for %s can't be noted: %s", name, error)


def _read(text: str | None) -> dict[str, Note]:
    """Read what ``set`` wrote; of anything else, what can be understood."""
    try:
        read = json.loads(text or "{}")
        return {
            str(name): Note(
                bool(each["waiting"]), bool(each["lost"]), int(each["codes"]), tuple(map(str, each["keys"]))
            )
            for name, each in read.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
