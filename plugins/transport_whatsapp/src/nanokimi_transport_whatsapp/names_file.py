"""The file in which names are kept: opened, looked through, and set aside where it is damaged. All of it blocks."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from nanokimi_core import private_folder

_PRIMARY = 0xFF
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY_SECONDS = 10.0
_KEPT_ASIDE = 3
_ENDINGS = ("", "-journal", "-wal", "-shm")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS names (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, canonical TEXT NOT NULL, heard INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS names_of ON names (canonical);
CREATE TABLE IF NOT EXISTS chats (chat TEXT PRIMARY KEY, heard INTEGER NOT NULL) WITHOUT ROWID;
"""


def open_names(path: Path) -> sqlite3.Connection:
    """Open the database, begun where there is none, and look through it.

    Raises:
        sqlite3.Error: It can't be used; ``is_damage`` tells whether it is damaged.
        OSError: Its folder can't be used.
    """
    private_folder(path.parent)
    database = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        path.chmod(0o600)
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise _damage(found)
        database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is damaged, or no database; not that the disk takes nothing."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _DAMAGED


def set_aside(path: Path) -> str:
    """Move a damaged file away, which nobody has open, and give its new name. The last three are kept.

    Raises:
        OSError: It can't be moved.
    """
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    for ending in _ENDINGS:
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    for old in sorted(path.parent.glob(f"{path.name}.damaged-*[0-9]"))[:-_KEPT_ASIDE]:
        for ending in _ENDINGS:
            old.with_name(old.name + ending).unlink(missing_ok=True)
    return aside.name


def _damage(what: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
