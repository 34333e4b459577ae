"""What is known of chats, and erasing them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nanokimi_core.messages import ChatKind
from nanokimi_core.store.encoding import packed, storable
from nanokimi_core.store.sqlite.transaction import Transaction
from nanokimi_core.store.values import ChatRecord, Ending

_PEOPLE = 20
_CHAT = "SELECT number, id, name, kind, people, seen, granted FROM chat LEFT JOIN granted ON granted.chat = chat.id"


def lane_of(tx: Transaction, chat: str) -> int | None:
    """Give the lane of ``transport:chat``."""
    transport, _, name = chat.partition(":")
    return tx.find_lane(transport, name)


def see(tx: Transaction, chat: str, name: str, kind: str, people: Sequence[str]) -> ChatRecord:
    """Note that there is a chat."""
    chat = storable(chat)
    found = tx.one("SELECT people FROM chat WHERE id = ?", chat)
    known = json.loads(found[0]) if found else []
    names = packed(list(dict.fromkeys([*known, *people]))[:_PEOPLE])
    if found is None:
        tx.change(
            "INSERT INTO chat(id, name, kind, people, seen) VALUES(?, ?, ?, ?, ?)",
            chat,
            storable(name),
            kind,
            names,
            tx.now,
        )
    else:
        tx.change(
            "UPDATE chat SET name = COALESCE(?, name), kind = ?, people = ?, seen = ? WHERE id = ?",
            storable(name) or None,
            kind,
            names,
            tx.now,
            chat,
        )
    return _record(tx, tx.one(f"{_CHAT} WHERE id = ?", chat))


def chat(tx: Transaction, name: str | int) -> ChatRecord | None:
    """Give a chat by its id or its number."""
    column = "number" if isinstance(name, int) else "id"
    row = tx.one(f"{_CHAT} WHERE {column} = ?", name if isinstance(name, int) else storable(name))
    return _record(tx, row) if row else None


def chats(tx: Transaction, limit: int) -> Sequence[ChatRecord]:
    """List chats, the latest first."""
    return [_record(tx, row) for row in tx.all(f"{_CHAT} ORDER BY seen DESC, number DESC LIMIT ?", limit)]


def grant(tx: Transaction, chat: str, granted: bool | None) -> None:
    """Note what the owner decided about a chat."""
    if granted is None:
        tx.change("DELETE FROM granted WHERE chat = ?", storable(chat))
    else:
        tx.change("INSERT OR REPLACE INTO granted VALUES(?, ?)", storable(chat), int(granted))


def grants(tx: Transaction) -> Mapping[str, bool]:
    """Give all that was decided."""
    return {chat: bool(granted) for chat, granted in tx.all("SELECT chat, granted FROM granted")}


def forget(tx: Transaction, chat: str) -> int:
    """Erase a chat, and give the count of its messages both ways."""
    lane = lane_of(tx, chat)
    tx.change("DELETE FROM chat WHERE id = ?", storable(chat))
    for statement in _SAID:
        tx.change(statement, storable(chat))
    if lane is None:
        return 0
    (open_rows,) = tx.one("SELECT COUNT(*) FROM inbox WHERE state IN (0, 1) AND lane = ? AND state < 3", lane)
    (dead,) = tx.one("SELECT COUNT(*) FROM inbox WHERE state = 4 AND lane = ?", lane)
    if open_rows + dead:
        tx.count(Ending.CANCELLED.value, open_rows + dead)
    tx.change("DELETE FROM other_id WHERE outbox IN (SELECT number FROM outbox WHERE lane = ?)", lane)
    erased = tx.change("DELETE FROM inbox WHERE lane = ?", lane) + tx.change("DELETE FROM outbox WHERE lane = ?", lane)
    tx.change("DELETE FROM turns WHERE lane = ?", lane)
    tx.forget_lane(lane)
    return erased


_SAID = tuple(
    f"DELETE FROM {table} WHERE instr(' ' || key || ' ', ' ' || ? || ' ')"  # noqa: S608  # keys name chats as words
    for table in ("told", "asked")
)


def _record(tx: Transaction, row: Any) -> ChatRecord:
    number, name_of, name, kind, people, seen, granted = row
    lane = lane_of(tx, name_of)
    (waiting,) = tx.one("SELECT COUNT(*) FROM inbox WHERE state = 0 AND lane = ? AND state < 3", lane)
    known: ChatKind = kind
    return ChatRecord(
        number,
        name_of,
        name,
        known,
        None if granted is None else bool(granted),
        tuple(json.loads(people)),
        waiting,
        seen,
    )
