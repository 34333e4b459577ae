"""Raw events on disk, from when the library gives them until the transport has delivered them."""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from nanokimi_transport_whatsapp.child.database import Database
from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.places import Places

_PIECE = 32
_PIECE_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Event:
    """A spooled event.

    Attributes:
        number: Greater than those of earlier events.
        raw: As the engine gave it.
        read_deaths: How often the process died while the engine read it.
        fetching: How often the process died while its file was fetched.
    """

    number: int
    raw: bytes
    read_deaths: int
    fetching: int


class Spool:
    """The events that wait.

    Args:
        database: Where.
        places: Of the instance.
        limit: How many may wait.
        limits: How large all may be.
    """

    def __init__(self, database: Database, places: Places, limit: int, limits: Limits) -> None:
        self._database, self._limit, self._limits = database, limit, limits
        self._lock = threading.Lock()
        self._sizes: dict[int, int] = {}
        self._bytes = 0
        self._note = os.open(places.spool.with_name("spool.reading"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def begin(self) -> None:
        """Count what is there, and against which event the last process died."""
        noted = os.pread(self._note, 8, 0)
        died = struct.unpack("<q", noted)[0] if len(noted) == 8 else 0

        def count(connection: sqlite3.Connection) -> list[tuple[int, int]]:
            connection.execute("UPDATE events SET read_deaths = read_deaths + 1 WHERE number = ?", (died,))
            return connection.execute("SELECT number, length(raw) FROM events").fetchall()

        self._sizes = dict(self._database.patiently(count))
        self._bytes = sum(self._sizes.values())
        self.reading(0)

    def close(self) -> None:
        """Let go of the note; the database stays as it is."""
        os.close(self._note)

    @property
    def waiting(self) -> int:
        """Events that wait."""
        return len(self._sizes)

    @property
    def full(self) -> bool:
        """Whether it has reached its limit."""
        return len(self._sizes) >= self._limit or self._bytes >= self._limits.spool_bytes

    @property
    def half_full(self) -> bool:
        """Whether more than half of what may wait does."""
        return len(self._sizes) > self._limit // 2 or self._bytes > self._limits.spool_bytes // 2

    def holds(self, number: int) -> bool:
        """Whether an event waits."""
        return number in self._sizes

    def add(self, raw: bytes) -> None:
        """Keep an event; returns when it would outlive a power cut. Waits for the disk as long as it takes."""

        def insert(connection: sqlite3.Connection) -> int:
            return connection.execute("INSERT INTO events (raw) VALUES (?)", (raw,)).lastrowid or 0

        number = self._database.patiently(insert)
        with self._lock:
            self._sizes[number] = len(raw)
            self._bytes += len(raw)

    def after(self, number: int) -> list[Event]:
        """Give some events that came after this one, in their order."""

        def select(connection: sqlite3.Connection) -> list[Event]:
            found: list[Event] = []
            size = 0
            for row in connection.execute(
                "SELECT number, raw, read_deaths, fetching FROM events WHERE number > ? ORDER BY number LIMIT ?",
                (number, _PIECE),
            ):
                found.append(Event(*row))
                size += len(row[1])
                if size > _PIECE_BYTES:
                    break
            return found

        return self._database.patiently(select, lasting=False)

    def drop(self, numbers: Sequence[int]) -> None:
        """Forget events that were delivered. After a power cut some may be there again, and are delivered twice."""

        def delete(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM events WHERE number = ?", [(number,) for number in numbers])

        self._database.patiently(delete, lasting=False)
        self._forget(numbers)

    def reading(self, number: int) -> None:
        """Note which event is being read, so that one that kills the process is known; 0 is none."""
        with suppress(OSError):  # a full disk: then it isn't known
            os.pwrite(self._note, struct.pack("<q", number), 0)

    def fetching(self, number: int, by: int) -> None:
        """Note that the file of an event is about to be fetched (1), or that the library came back (-1)."""

        def update(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE events SET fetching = fetching + ? WHERE number = ?", (by, number))

        self._database.patiently(update, lasting=False)

    def put_aside(self, event: Event, reason: str) -> None:
        """Keep an event that can't be read where nothing waits for it; the newest of them are kept."""

        def move(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO unreadable (number, raw, reason, at) VALUES (?, ?, ?, ?)",
                (event.number, event.raw, reason, time.time()),
            )
            connection.execute("DELETE FROM events WHERE number = ?", (event.number,))
            connection.execute(
                "DELETE FROM unreadable WHERE number NOT IN"
                " (SELECT number FROM unreadable ORDER BY number DESC LIMIT ?)",
                (self._limits.unreadable,),
            )
            add_to_count(connection, "unreadable")

        self._database.patiently(move)
        self._forget([event.number])

    def begin_anew(self) -> None:
        """Count none: the database is a fresh one."""
        with self._lock:
            self._sizes.clear()
            self._bytes = 0

    def _forget(self, numbers: Sequence[int]) -> None:
        with self._lock:
            for number in numbers:
                self._bytes -= self._sizes.pop(number, 0)


def add_to_count(connection: sqlite3.Connection, name: str) -> None:
    """Count one more of something, for ``Figures``."""
    connection.execute(
        "INSERT INTO counts (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", (name,)
    )


def count_of(connection: sqlite3.Connection, name: str) -> int:
    """How many there were."""
    row = connection.execute("SELECT value FROM counts WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0
