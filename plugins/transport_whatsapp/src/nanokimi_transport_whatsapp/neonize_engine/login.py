"""Whether the library's database holds a login, seen from outside; nothing here imports the library."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_WAIT_SECONDS = 2.0


def has_login(session: Path) -> bool:
    """Whether a phone has accepted the account of this database, which no child may be using now.

    The library makes it before anybody scans a code, and writes a device into it when a phone has accepted
    (whatsmeow's ``sqlstore``). What can't be read counts as a login: it may be one.
    """
    if not session.exists():
        return False
    try:
        with closing(
            sqlite3.connect(f"{session.absolute().as_uri()}?mode=ro", uri=True, timeout=_WAIT_SECONDS)
        ) as read:
            if not read.execute("SELECT 1 FROM sqlite_master WHERE name = 'whatsmeow_device'").fetchone():
                return False
            return read.execute("SELECT 1 FROM whatsmeow_device").fetchone() is not None
    except sqlite3.Error:
        return True
