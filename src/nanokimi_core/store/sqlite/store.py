"""The store's face: each call is one operation for the writer."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from logging import Logger
from pathlib import Path
from types import TracebackType

import anyio
import anyio.abc

from nanokimi_core.store.encoding import encode_message
from nanokimi_core.store.sqlite import chats, claims, inbox, letters, notes, outbox
from nanokimi_core.store.sqlite.transaction import Transaction
from nanokimi_core.store.sqlite.writer import Operation, Writer
from nanokimi_core.store.values import (
    Arrival,
    ChatRecord,
    Claim,
    DeadLetter,
    Ending,
    Outcome,
    Owed,
    OwedRow,
    StoreError,
    Work,
)


class SqliteStore:
    """A ``Store`` in one SQLite file.

    Args:
        path: The file; made when it is first entered. Only its owner can read it.
        clock: Seconds since 1970.
        lease: Seconds for which a claim holds unless it is renewed.
        alone: This process holds the data folder, so claims of other holders are void when it is entered. Otherwise
            only expired ones are taken over.
        holder: Stands in this store's claims; a new random one for each time that it is entered unless given.
        log: For trouble that no call can report.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        lease: float = 60.0,
        alone: bool = True,
        holder: str | None = None,
        log: Logger | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._lease = lease
        self._alone = alone
        self._given_holder = holder
        self._holder = ""
        self._log = log or logging.getLogger("nanokimi.store")
        self._entered: Writer | None = None
        self._tasks: anyio.abc.TaskGroup | None = None

    # ------------------------------------------------------------------ its life
    async def __aenter__(self) -> SqliteStore:
        if self._entered is not None:
            raise StoreError(f"the store {self._path} is entered already")
        self._holder = self._given_holder or secrets.token_hex(8)
        writer = Writer(self._path, self._transaction, clock=self._clock, log=self._log)
        await writer.open()
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._entered, self._tasks = writer, tasks
        try:
            with anyio.CancelScope(shield=True):  # a writer that never began could never be stopped
                await tasks.start(writer.run)
            await writer.call(lambda tx: claims.take_over(tx, everything=self._alone))
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer, tasks = self._writer, self._tasks
        await writer.stop()
        self._entered = self._tasks = None
        if tasks is not None:
            await tasks.__aexit__(None, None, None)  # its only task is over; an error of the body isn't its business

    @property
    def busy(self) -> bool:
        """Whether it is reading or writing at the moment."""
        return self._entered is not None and self._entered.busy

    def _transaction(self, connection: sqlite3.Connection) -> Transaction:
        return Transaction(connection, holder=self._holder, lease=self._lease, alone=self._alone)

    @property
    def _writer(self) -> Writer:
        if self._entered is None:
            raise StoreError(f"the store {self._path} is closed")
        return self._entered

    # ------------------------------------------------------------------ inbox
    async def accept(
        self, arrival: Arrival, claim: Claim | None = None
    ) -> tuple[Outcome, Work | None, Sequence[OwedRow]]:
        """Keep a message; see ``Store.accept``."""
        body = encode_message(arrival.message)
        return await self._writer.call(
            lambda tx: inbox.accept(tx, arrival, body, claim), None if claim is None else lambda done: _back(done[1])
        )

    async def known(self, transport: str, chat: str, message: str) -> bool:
        """Whether a message was accepted before."""
        return await self._writer.call(lambda tx: inbox.known(tx, transport, chat, message))

    async def claim(self, claim: Claim) -> Work | None:
        """Take the next work of a lane."""
        return await self._writer.call(lambda tx: claims.claim(tx, claim), _back)

    async def finish(
        self, work: Work, ending: Ending, owed: Sequence[Owed] = (), claim: Claim | None = None
    ) -> tuple[Sequence[OwedRow], Work | None]:
        """End a work; see ``Store.finish``."""
        return await self._writer.call(
            lambda tx: claims.finish(tx, work, ending, owed, claim),
            None if claim is None else lambda done: _back(done[1]),
        )

    async def retry(self, work: Work, *, counted: bool, owed: Sequence[Owed] = ()) -> Sequence[OwedRow]:
        """Put a work back; what a person stopped meanwhile ends as cancelled instead."""
        return await self._writer.call(lambda tx: claims.retry(tx, work, counted, owed))

    async def bury(self, work: Work, cause: str, owed: Sequence[Owed] = ()) -> Sequence[OwedRow]:
        """Make the rows of a work dead letters."""
        return await self._writer.call(lambda tx: claims.bury(tx, work, cause, owed))

    async def cancel_claimed(self, transport: str, chat: str) -> None:
        """Note that what is claimed in a lane was stopped by a person."""
        await self._writer.call(lambda tx: claims.cancel_claimed(tx, transport, chat))

    async def cancel_waiting(self, transport: str, chat: str) -> int:
        """End what waits unclaimed in a lane, and give its count."""
        return await self._writer.call(lambda tx: claims.cancel_waiting(tx, transport, chat))

    async def renew(self) -> None:
        """Lengthen this holder's leases."""
        await self._writer.call(claims.renew)

    async def lanes(self) -> Mapping[tuple[str, str], int]:
        """Count what waits unclaimed, by lane."""
        return await self._writer.call(inbox.lanes)

    async def suspects(self, attempts: int) -> Sequence[tuple[str, str]]:
        """Name the lanes in which a message waits that was attempted so often."""
        return await self._writer.call(lambda tx: inbox.suspects(tx, attempts))

    async def turns(self, transport: str, chat: str, day: str) -> int:
        """Count the turns that a chat has had in a day."""
        return await self._writer.call(lambda tx: inbox.turns(tx, transport, chat, day))

    # ------------------------------------------------------------------ outbox
    async def owe(self, owed: Sequence[Owed]) -> Sequence[OwedRow]:
        """Put messages into the outbox."""
        return await self._writer.call(lambda tx: outbox.put(tx, owed))

    async def owing(self, transport: str) -> Sequence[str]:
        """Name the chats to which something is owed."""
        return await self._writer.call(lambda tx: outbox.owing(tx, transport))

    async def owed(self, transport: str, chat: str, after: int, limit: int) -> Sequence[OwedRow]:
        """Read what is owed to a chat."""
        return await self._writer.call(lambda tx: outbox.owed(tx, transport, chat, after, limit))

    async def attempt(self, row: OwedRow, *, counted: bool = True) -> OwedRow:
        """Count another attempt; ``Gone`` where it is owed no more."""
        return await self._writer.call(lambda tx: outbox.attempt(tx, row, counted))

    def sent(self, row: OwedRow, network_id: str | None) -> None:
        """Take a row out of the outbox."""
        self._writer.posted.sent(row, network_id)
        self._writer.nudge()

    async def give_up(self, row: OwedRow, cause: str, owed: Sequence[Owed] = ()) -> Sequence[OwedRow]:
        """Make a row a dead letter."""
        return await self._writer.call(lambda tx: outbox.give_up(tx, row, cause, owed))

    async def withdraw(self, keys: Sequence[str]) -> None:
        """Take what is owed yet out of the outbox."""
        await self._writer.call(lambda tx: outbox.withdraw(tx, keys))

    async def ours(self, transport: str, chat: str, message: str) -> bool:
        """Whether we sent this."""
        return await self._writer.call(lambda tx: outbox.ours(tx, transport, chat, message))

    def receipt(self, transport: str, key: str, network_id: str) -> None:
        """Note the network's id of something sent."""
        self._writer.posted.receipt(transport, key, network_id)
        self._writer.nudge()

    # ------------------------------------------------------------------ dead letters
    async def dead(self, *, limit: int = 100, chat: str | None = None) -> Sequence[DeadLetter]:
        """List dead letters, the latest first."""
        return await self._writer.call(lambda tx: letters.dead(tx, limit, chat))

    async def dead_letter(self, letter: str) -> DeadLetter | None:
        """Give one by its id."""
        return await self._writer.call(lambda tx: letters.dead_letter(tx, letter))

    async def revive(self, letter: str) -> DeadLetter | None:
        """Put a dead letter back where it was."""
        return await self._writer.call(lambda tx: letters.revive(tx, letter))

    async def drop(self, letter: str) -> DeadLetter | None:
        """End a dead letter for good."""
        return await self._writer.call(lambda tx: letters.drop(tx, letter))

    # ------------------------------------------------------------------ chats
    async def see(self, chat: str, name: str, kind: str, people: Sequence[str]) -> ChatRecord:
        """Note that there is this chat."""
        return await self._writer.call(lambda tx: chats.see(tx, chat, name, kind, people))

    async def chat(self, chat: str | int) -> ChatRecord | None:
        """Give a chat by its id or its number."""
        return await self._writer.call(lambda tx: chats.chat(tx, chat))

    async def chats(self, *, limit: int = 1000) -> Sequence[ChatRecord]:
        """List chats, the latest first."""
        return await self._writer.call(lambda tx: chats.chats(tx, limit))

    async def grant(self, chat: str, granted: bool | None) -> None:
        """Let a chat in, shut it out, or neither."""
        await self._writer.call(lambda tx: chats.grant(tx, chat, granted))

    async def grants(self) -> Mapping[str, bool]:
        """Give all that was granted or denied."""
        return await self._writer.call(chats.grants)

    async def forget(self, chat: str) -> int:
        """Erase a chat's rows."""
        return await self._writer.call(lambda tx: chats.forget(tx, chat))

    # ------------------------------------------------------------------ the rest
    def count(self, counter: str, by: int = 1) -> None:
        """Add to a counter."""
        self._writer.posted.count(counter, by)
        self._writer.nudge()

    async def counters(self) -> Mapping[str, int]:
        """Give all counters."""
        return await self._writer.call(notes.counters)

    async def get(self, name: str) -> str | None:
        """Read a note."""
        return await self._writer.call(lambda tx: notes.get(tx, name))

    async def set(self, name: str, value: str | None) -> None:
        """Write a note."""
        await self._writer.call(lambda tx: notes.put(tx, name, value))

    async def tell(self, key: str, text: str) -> bool:
        """Whether something is news."""
        return await self._writer.call(lambda tx: notes.tell(tx, key, text))

    async def first_in(self, key: str, seconds: float) -> bool:
        """Whether a key is asked for the first time within so many seconds."""
        return await self._writer.call(lambda tx: notes.first_in(tx, key, seconds))

    async def prune(self, before: float) -> int:
        """Remove up to 1000 rows that were done before a moment."""
        return await self._writer.call(lambda tx: notes.prune(tx, before))

    async def vacuum(self) -> None:
        """Give a bounded number of free pages back to the disk."""
        await self._writer.call(notes.vacuum)


def _back(work: Work | None) -> Operation[Sequence[OwedRow]] | None:
    """Say how a work goes back that nobody got to hear of."""
    if work is None:
        return None
    return lambda tx: claims.retry(tx, work, False, ())
