"""Opening the file, and what SQLite's errors mean to a person."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from nanokimi_core.errors import ConfigError
from nanokimi_core.files import private_folder
from nanokimi_core.store.sqlite.schema import migrate, refuse_newer
from nanokimi_core.store.values import StoreError

_MAGIC = b"SQLite format 3\x00"
_BUSY_SECONDS = 2.0
_STATEMENTS = 256
_CACHE_KIB = 512
_WAL_PAGES = 2000
_WAL_BYTES = 16 * 2**20
_PRIMARY = 0xFF

_WRONG = {
    sqlite3.SQLITE_FULL: ("the disk is full", "make room on it"),
    sqlite3.SQLITE_READONLY: ("it is read-only", "make the data folder writable"),
    sqlite3.SQLITE_BUSY: ("another process holds it", "end that process"),
    sqlite3.SQLITE_LOCKED: ("another process holds it", "end that process"),
    sqlite3.SQLITE_IOERR: ("the disk gives errors", "look whether it is full, read-only or broken"),
    sqlite3.SQLITE_CANTOPEN: ("it can't be opened", "look whether the data folder is there and may be written"),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", "restore it from a backup, or move it away to begin anew"),
    sqlite3.SQLITE_NOTADB: ("it is no database", "restore it from a backup, or move it away to begin anew"),
}
_REOPEN = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
    }
)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


def needs_reopening(error: BaseException) -> bool:
    """Whether a connection that gave this error may be of no more use, although the file may be."""
    return isinstance(error, sqlite3.Error) and _code(error) in _REOPEN


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Say what an error of SQLite means."""
    what, remedy = _WRONG.get(_code(error), (f"SQLite says: {error}", "look into the log"))
    return StoreError(f"the store {path} can't be used: {what}", remedy=remedy)


def open_database(path: Path) -> sqlite3.Connection:
    """Open a file, making it if need be, for its owner only, and bring it up to date.

    Raises:
        ConfigError: It is damaged, or was written by a newer version; it is left as it is.
        StoreError: It can't be used at the moment.
    """
    try:
        private_folder(path.parent)
        _make_private(path)
        _look(path)
    except OSError as error:
        raise StoreError(
            f"the store {path} can't be used: {error.strerror}", remedy="make the data folder writable"
        ) from error
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise _damaged(path) from error
        raise store_error(path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS
    )
    try:
        refuse_newer(connection, path)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table, or never
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        connection.execute("PRAGMA secure_delete = FAST")
        connection.execute("PRAGMA temp_store = MEMORY")
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for one in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(FileNotFoundError):
            if stat.S_IMODE(one.stat().st_mode) & 0o077:
                one.chmod(0o600)


def _look(path: Path) -> None:
    """Look at the head of a file before SQLite may touch it, which takes an empty or cut head for a new file."""
    with path.open("rb") as file:
        head = file.read(100)
    if head and (len(head) < 100 or not head.startswith(_MAGIC)):
        raise _damaged(path)
    wal = path.with_name(f"{path.name}-wal")
    if not head and wal.exists() and wal.stat().st_size:
        raise _damaged(path)


def _damaged(path: Path) -> ConfigError:
    return ConfigError(f"{path} is damaged", remedy="restore it from a backup, or move it away to begin anew")
