"""What an operation works with while its transaction is open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from nanokimi_core.store.encoding import storable

_LANES = 20_000

Values = Sequence[Any]


class Transaction:
    """A connection with what one store knows: who holds its claims, how long, and what time it is.

    Nothing in here outlives a rollback: counters are collected and written before the commit, and the numbers of
    lanes are forgotten by ``undone``.

    Args:
        connection: In autocommit mode; ``begin`` and the rest are said to it.
        holder: Stands in every claim.
        lease: Seconds for which a claim holds.
        alone: No other process uses the file.
    """

    def __init__(self, connection: sqlite3.Connection, *, holder: str, lease: float, alone: bool) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.holder = holder
        self.alone = alone
        self.now = 0.0
        self._lease = lease
        self._lanes: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}
        self._version = -1

    # ------------------------------------------------------------------ its life
    def begin(self, now: float) -> None:
        """Open a transaction that writes."""
        self.now = now
        self.execute("BEGIN IMMEDIATE")
        if not self.alone:
            (version,) = self.execute("PRAGMA data_version").fetchone()
            if version != self._version:  # another process wrote: it may have erased a lane
                self._version = version
                self._lanes.clear()

    def commit(self) -> None:
        """End the transaction: what is on disk then stays."""
        self.write_counts()
        self.execute("COMMIT")

    def write_counts(self) -> None:
        """Write what was counted so far, for somebody who reads counters in the same transaction."""
        if self._counts:
            self.connection.executemany(
                "INSERT INTO counter VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET count = count + excluded.count",
                tuple(self._counts.items()),
            )
            self._counts.clear()

    def roll_back(self) -> None:
        """Undo everything since ``begin``."""
        self._counts.clear()
        self._lanes.clear()
        if self.connection.in_transaction:
            self.execute("ROLLBACK")

    # ------------------------------------------------------------------ for operations
    @property
    def until(self) -> float:
        """When a lease ends that begins now."""
        return self.now + self._lease

    def one(self, statement: str, *values: Any) -> Any:
        """Give the first row, or ``None``."""
        return self.execute(statement, values).fetchone()

    def all(self, statement: str, *values: Any) -> list[Any]:
        """Give all rows."""
        return self.execute(statement, values).fetchall()

    def change(self, statement: str, *values: Any) -> int:
        """Write, and give the count of rows that it concerned."""
        return self.execute(statement, values).rowcount

    def change_each(self, statement: str, many: Iterable[Values]) -> int:
        """Write once for each tuple of values, and give the count of rows that it concerned in all."""
        return self.connection.executemany(statement, many).rowcount

    def count(self, counter: str, by: int = 1) -> None:
        """Add to a counter, if this transaction is committed."""
        self._counts[counter] = self._counts.get(counter, 0) + by

    def find_lane(self, transport: str, chat: str) -> int | None:
        """Give the number of a chat's lane, if anything was ever kept for it."""
        lane = self._lanes.get((transport, chat))
        if lane is None:
            found = self.one(
                "SELECT id FROM lane WHERE transport = ? AND chat = ?", storable(transport), storable(chat)
            )
            if found is None:
                return None
            lane = int(found[0])
            if len(self._lanes) >= _LANES:
                self._lanes.clear()
            self._lanes[transport, chat] = lane
        return lane

    def lane(self, transport: str, chat: str) -> int:
        """Give the number of a chat's lane, making it if need be."""
        lane = self.find_lane(transport, chat)
        if lane is None:
            self.change("INSERT INTO lane(transport, chat) VALUES(?, ?)", storable(transport), storable(chat))
            lane = self.find_lane(transport, chat)
            assert lane is not None  # noqa: S101  # it was just made
        return lane

    def forget_lane(self, lane: int) -> None:
        """Remove the name of a lane of which nothing is left."""
        self.change("DELETE FROM lane WHERE id = ?", lane)
        self._lanes.clear()
