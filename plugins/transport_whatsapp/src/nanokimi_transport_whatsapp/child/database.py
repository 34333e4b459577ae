"""The child's database file: one connection, bounded waits for a disk that is full, a fresh file for a damaged one."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.child.schema import migrate

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]

_log = logging.getLogger(__name__)

_PRIMARY = 0xFF
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_ROOM = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk gives errors, or is full",
    sqlite3.SQLITE_CANTOPEN: "the spool can't be opened",
    sqlite3.SQLITE_READONLY: "the disk is read-only",
    sqlite3.SQLITE_BUSY: "another process holds the spool",
    sqlite3.SQLITE_LOCKED: "another process holds the spool",
}
_REOPEN = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
_BUSY_SECONDS = 2.0
_WAL_BYTES = 16 * 2**20
_KEPT_ASIDE = 3


class NoRoom(Exception):
    """The disk takes nothing at the moment; one sentence."""


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


class Database:
    """A file of SQLite's, used by one thread at a time.

    Args:
        path: In a folder that exists.
        limits: How long to wait for the disk.
        trouble: Told what is wrong with the disk when a wait for it begins, and nothing (an empty text) at its end.
        damaged: Told, in a sentence, that a damaged file was set aside.
    """

    def __init__(
        self, path: Path, limits: Limits, *, trouble: Callable[[str], None], damaged: Callable[[str], None]
    ) -> None:
        self._path, self._limits = path, limits
        self._trouble, self._damaged = trouble, damaged
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._lasting = True
        self._in_trouble = False
        self._after_damage = False

    def once(self, work: Work[Result], *, lasting: bool = True) -> Result:
        """Do something in one transaction.

        Args:
            work: What to do; done again in a fresh file when this one turns out to be damaged.
            lasting: Whether it must outlive a power cut: the disk is waited for. A killed process loses nothing either
                way; what isn't lasting is only done again, or forgotten, after a power cut.

        Raises:
            NoRoom: The disk takes nothing.
        """
        with self._lock:
            try:
                return self._transaction(work, lasting)
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGED:
                    raise self._refused(error) from error
                self._set_aside(str(error))
            try:
                return self._transaction(work, lasting)
            except sqlite3.DatabaseError as error:
                raise self._refused(error) from error

    def patiently(self, work: Work[Result], *, lasting: bool = True, seconds: float = float("inf")) -> Result:
        """Do something in one transaction, and wait for the disk as long as it takes, or this long.

        Raises:
            NoRoom: It took longer.
        """
        pause, longest = self._limits.disk_pauses
        until = time.monotonic() + seconds
        while True:
            try:
                result = self.once(work, lasting=lasting)
            except NoRoom as error:
                if time.monotonic() >= until:
                    raise
                self._say_trouble(str(error))
                time.sleep(pause)
                pause = min(pause * 2, longest)
            else:
                self._say_trouble("")
                return result

    def _say_trouble(self, what: str) -> None:
        if bool(what) != self._in_trouble:
            self._in_trouble = bool(what)
            self._trouble(what)

    def _transaction(self, work: Work[Result], lasting: bool) -> Result:
        connection = self._connection or self._open()
        if lasting != self._lasting:
            connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            self._lasting = lasting
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return result

    def _refused(self, error: sqlite3.DatabaseError) -> Exception:
        code = _code(error)
        if code in _REOPEN:
            self.close()
        return NoRoom(_NO_ROOM[code]) if code in _NO_ROOM else error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # WAL alone is flushed only at checkpoints: what WhatsApp believes delivered would not outlive a power cut
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = FAST")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise _damage(found)
            migrate(connection)
            if self._after_damage:
                connection.execute("INSERT INTO sqlite_sequence VALUES ('events', ?)", (int(time.time() * 1000),))
        except BaseException:
            connection.close()
            raise
        self._connection, self._lasting, self._after_damage = connection, True, False
        return connection

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _set_aside(self, why: str) -> None:
        """Move a damaged file away, and begin another, whose numbers no earlier one can have given."""
        self.close()
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self._path.with_name(f"{self._path.name}.damaged-{stamp}")
        for ending in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + ending).rename(aside.with_name(aside.name + ending))
        for old in sorted(self._path.parent.glob(f"{self._path.name}.damaged-*[0-9]"))[:-_KEPT_ASIDE]:
            for ending in ("", "-wal", "-shm"):
                old.with_name(old.name + ending).unlink(missing_ok=True)
        self._after_damage = True
        said = f"the spool was damaged ({why}) and was set aside as {aside.name}; what waited in it was not handed over"
        _log.warning("%s", said)
        self._damaged(said)


def _damage(what: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
