"""Counters, notes, and keeping the file small."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from nanokimi_core.store.encoding import storable
from nanokimi_core.store.sqlite.schema import CONTEXT, DONE, DROPPED, SENT
from nanokimi_core.store.sqlite.transaction import Transaction

_PRUNED = 1000
_PAGES = 1000
_KEPT = (
    "received",
    "duplicate",
    "refused_chat",
    "refused_sender",
    "refused_cap",
    "refused_own",
    "accepted",
    "context",
    "answered",
    "command",
    "cancelled",
    "edit",
    "sent",
)
_COUNTED = {
    "chats": "SELECT COUNT(*) FROM chat",
    "pending": "SELECT COUNT(*) FROM inbox WHERE state IN (0, 1) AND state < 3",
    "dead": "SELECT COUNT(*) FROM inbox WHERE state = 4",
    "owed": "SELECT COUNT(*) FROM outbox WHERE state = 0",
    "undelivered": "SELECT COUNT(*) FROM outbox WHERE state = 2",
}


def counters(tx: Transaction) -> Mapping[str, int]:
    """Give all counters; what is open and what is dead is counted from the rows."""
    tx.write_counts()
    given = dict.fromkeys(_KEPT, 0)
    given.update(tx.all("SELECT name, count FROM counter"))
    given.update((name, tx.one(question)[0]) for name, question in _COUNTED.items())
    return given


def get(tx: Transaction, name: str) -> str | None:
    """Read a note."""
    found = tx.one("SELECT value FROM note WHERE name = ?", storable(name))
    return found[0] if found else None


def put(tx: Transaction, name: str, value: str | None) -> None:
    """Write a note, or remove it."""
    if value is None:
        tx.change("DELETE FROM note WHERE name = ?", storable(name))
    else:
        tx.change("INSERT OR REPLACE INTO note VALUES(?, ?)", storable(name), storable(value))


def tell(tx: Transaction, key: str, text: str) -> bool:
    """Whether something is news; only a digest of what was said is kept."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    found = tx.one("SELECT digest FROM told WHERE key = ?", storable(key))
    if found is not None and found[0] == digest:
        return False
    tx.change("INSERT OR REPLACE INTO told VALUES(?, ?)", storable(key), digest)
    return True


def first_in(tx: Transaction, key: str, seconds: float) -> bool:
    """Whether a key got no yes within so many seconds; a yes is noted."""
    found = tx.one("SELECT at FROM asked WHERE key = ?", storable(key))
    if found is not None and 0 <= tx.now - found[0] < seconds:
        return False
    tx.change("INSERT OR REPLACE INTO asked VALUES(?, ?)", storable(key), tx.now)
    return True


# ---------------------------------------------------------------------- size
def prune(tx: Transaction, before: float) -> int:
    """Remove old rows: done ones, context that nobody used, days and keys that nobody asks for any more."""
    messages = _old(tx, "SELECT number, since, state, COALESCE(ended, since) FROM inbox ORDER BY number", before, _DONE)
    removed = tx.change_each("DELETE FROM inbox WHERE number = ?", [(number,) for number in messages])
    answers = _old(
        tx,
        "SELECT number, since, state, COALESCE(ended, since) FROM outbox ORDER BY number",
        before,
        _SENT,
        _PRUNED - len(messages),
    )
    tx.change_each("DELETE FROM other_id WHERE outbox = ?", [(number,) for number in answers])
    removed += tx.change_each("DELETE FROM outbox WHERE number = ?", [(number,) for number in answers])
    _prune_notes(tx, before)
    return len(messages) + len(answers)


_DONE = frozenset({DONE, CONTEXT})
_SENT = frozenset({SENT, DROPPED})


def _old(tx: Transaction, statement: str, before: float, states: frozenset[int], limit: int = _PRUNED) -> list[int]:
    """Find rows that ended before a moment. Stops at the first row that came later: the rest did, too."""
    found: list[int] = []
    rows = tx.execute(statement)
    for number, since, state, ended in rows:
        if since >= before or len(found) >= limit:
            break
        if state in states and ended < before:
            found.append(number)
    rows.close()
    return found


def _prune_notes(tx: Transaction, before: float) -> None:
    day = (datetime.fromtimestamp(before, UTC) - timedelta(days=2)).date().isoformat()  # days are the owner's
    tx.change(
        "DELETE FROM turns WHERE (day, lane) IN (SELECT day, lane FROM turns WHERE day < ? LIMIT ?)", day, _PRUNED
    )
    tx.change("DELETE FROM asked WHERE key IN (SELECT key FROM asked WHERE at < ? LIMIT ?)", before, _PRUNED)


def vacuum(tx: Transaction) -> None:
    """Give some free pages back."""
    (free,) = tx.one("PRAGMA freelist_count")
    for _ in range(min(free, _PAGES)):
        tx.execute("PRAGMA incremental_vacuum(1)")  # Python's sqlite3 stops after the first page, whatever the number
