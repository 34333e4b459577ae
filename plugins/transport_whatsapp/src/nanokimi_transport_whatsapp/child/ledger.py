"""What became of sends, by the core's keys: the only thing that says whether an answer has gone out."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Literal

from nanokimi_transport_whatsapp.child.database import Database
from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.child.spool import add_to_count, count_of

State = Literal["sending", "sent", "unknown", "held"]


@dataclass(frozen=True)
class Entry:
    """What is known of a key: only ``sent`` says that it has gone out, the others that it may have."""

    state: State
    network_id: str
    sender: str


class Ledger:
    """The newest sends.

    Args:
        database: Where.
        limits: How many.
    """

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database, self._limits = database, limits

    def find(self, key: str) -> Entry | None:
        """Give what is known of a key; ``None``: it has certainly not gone out.

        Raises:
            NoRoom: The disk isn't there.
        """

        def find(connection: sqlite3.Connection) -> Entry | None:
            row = connection.execute("SELECT state, network_id, sender FROM sends WHERE key = ?", (key,)).fetchone()
            return Entry(*row) if row else None

        return self._database.once(find, lasting=False)

    def begin(self, key: str, *, again: bool) -> None:
        """Note that a key is about to be sent; one that may have gone out before is counted.

        Raises:
            NoRoom: The disk takes nothing, so that nothing may be sent.
        """

        def insert(connection: sqlite3.Connection) -> None:
            self._set(connection, key, "sending")
            if again:
                add_to_count(connection, "resent")
            connection.execute(
                "DELETE FROM sends WHERE rowid <= (SELECT max(rowid) FROM sends) - ?", (self._limits.sends,)
            )

        self._database.once(insert)

    def sent(self, key: str, network_id: str, sender: str) -> None:
        """Note that a key has gone out; waits a little for the disk.

        Raises:
            NoRoom: It can't be noted.
        """
        self._database.patiently(
            lambda connection: self._set(connection, key, "sent", network_id, sender), seconds=self._limits.disk_answer
        )

    def mark(self, key: str, state: Literal["unknown", "held"]) -> None:
        """Note that a key may have gone out, unless it is known by now that it has.

        Raises:
            NoRoom: It can't be noted; then it counts as such too.
        """

        def update(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE sends SET state = ? WHERE key = ? AND state <> 'sent'", (state, key))

        self._database.patiently(update, seconds=self._limits.disk_answer)

    def forget(self, key: str) -> None:
        """Note that a key has certainly not gone out.

        Raises:
            NoRoom: It can't be noted.
        """

        def delete(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM sends WHERE key = ?", (key,))

        self._database.patiently(delete, seconds=self._limits.disk_answer)

    def counts(self) -> tuple[int, int, int]:
        """How many are held, were sent again, and how many events could not be read."""

        def count(connection: sqlite3.Connection) -> tuple[int, int, int]:
            (held,) = connection.execute("SELECT count(*) FROM sends WHERE state = 'held'").fetchone()
            return int(held), count_of(connection, "resent"), count_of(connection, "unreadable")

        return self._database.patiently(count, lasting=False)

    def _set(
        self, connection: sqlite3.Connection, key: str, state: State, network_id: str = "", sender: str = ""
    ) -> None:
        connection.execute(
            "INSERT INTO sends (key, state, network_id, sender, at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET state = excluded.state, network_id = excluded.network_id,"
            " sender = excluded.sender, at = excluded.at",
            (key, state, network_id, sender, time.time()),
        )
