"""What is owed to chats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nanokimi_core.store.encoding import pack_attachments, packed, storable, unpack_attachments
from nanokimi_core.store.sqlite.transaction import Transaction
from nanokimi_core.store.values import Gone, Owed, OwedRow

_INSERT = (
    "INSERT INTO outbox(key, lane, state, attempts, since, text, more) VALUES(?, ?, 0, 1, ?, ?, ?)"
    " ON CONFLICT(key) DO NOTHING"
)
_SENT = (
    "UPDATE outbox SET state = 1, ended = ?, text = NULL, more = NULL, cause = NULL,"
    " network_id = COALESCE(network_id, ?) WHERE number = ? AND key = ? AND state IN (0, 2)"
)

_SECOND_ID = (  # a receipt may have come first, with another id
    "INSERT OR IGNORE INTO other_id SELECT number, ? FROM outbox"
    " WHERE number = ? AND key = ? AND network_id IS NOT NULL AND network_id <> ?"
)
_OURS = (
    "SELECT 1 FROM outbox WHERE key = ? AND lane = ?",
    "SELECT 1 FROM outbox WHERE network_id = ? AND lane = ? LIMIT 1",
    "SELECT 1 FROM other_id JOIN outbox ON number = outbox WHERE other_id.network_id = ? AND lane = ? LIMIT 1",
)


def put(tx: Transaction, owed: Sequence[Owed]) -> Sequence[OwedRow]:
    """Put messages into the outbox, their first attempt counted; known keys are left out."""
    rows = []
    for one in owed:
        text = storable(one.text)
        cursor = tx.execute(_INSERT, (storable(one.key), tx.lane(one.transport, one.chat), tx.now, text, _more(one)))
        if cursor.rowcount == 1 and cursor.lastrowid is not None:
            kept = one if text is one.text else replace(one, text=text)
            rows.append(OwedRow(cursor.lastrowid, kept, 1, tx.now))
    return rows


def owing(tx: Transaction, transport: str) -> Sequence[str]:
    """Name the chats to which something is owed, the longest owed first."""
    found = tx.all(
        "SELECT chat FROM outbox JOIN lane ON lane.id = outbox.lane WHERE state = 0 AND transport = ?"
        " GROUP BY outbox.lane ORDER BY MIN(number)",
        storable(transport),
    )
    return [chat for (chat,) in found]


def owed(tx: Transaction, transport: str, chat: str, after: int, limit: int) -> Sequence[OwedRow]:
    """Read what is owed to a chat, in order."""
    found = tx.all(
        "SELECT number, key, text, more, attempts, since FROM outbox"
        " WHERE state = 0 AND lane = ? AND number > ? ORDER BY number LIMIT ?",
        tx.find_lane(transport, chat),
        after,
        limit,
    )
    return [
        OwedRow(number, _owed(key, transport, chat, text, more), attempts, since)
        for number, key, text, more, attempts, since in found
    ]


def attempt(tx: Transaction, row: OwedRow, counted: bool) -> OwedRow:
    """Count another attempt, if it is to be counted.

    Raises:
        Gone: It is owed no more.
    """
    key = storable(row.owed.key)
    if not tx.change(
        "UPDATE outbox SET attempts = attempts + ? WHERE number = ? AND key = ? AND state = 0", counted, row.number, key
    ):
        raise Gone(f"message {row.owed.key} to {row.owed.transport}:{row.owed.chat} is owed no more")
    (attempts,) = tx.one("SELECT attempts FROM outbox WHERE number = ?", row.number)
    return replace(row, attempts=attempts)


def give_up(tx: Transaction, row: OwedRow, cause: str, instead: Sequence[Owed]) -> Sequence[OwedRow]:
    """Make a row a dead letter; where it is owed no more, nothing happens."""
    given_up = tx.change(
        "UPDATE outbox SET state = 2, ended = ?, cause = ? WHERE number = ? AND key = ? AND state = 0",
        tx.now,
        storable(cause),
        row.number,
        storable(row.owed.key),
    )
    return put(tx, instead) if given_up else ()


def withdraw(tx: Transaction, keys: Sequence[str]) -> None:
    """Take what is owed yet out of the outbox. The rows stay as if sent: one that was may yet be brought back to us."""
    for key in keys:
        tx.change(
            "UPDATE outbox SET state = 1, ended = ?, text = NULL, more = NULL WHERE key = ? AND state = 0",
            tx.now,
            storable(key),
        )


def sent(tx: Transaction, rows: Sequence[tuple[int, str, str | None]]) -> None:
    """Take rows (number, key, the network's id) out of the outbox."""
    named = [(name, number, key, name) for number, key, name in rows if name is not None and name != key]
    if named:
        tx.change_each(_SECOND_ID, named)
    done = tx.change_each(
        _SENT, [(tx.now, None if network_id == key else network_id, number, key) for number, key, network_id in rows]
    )
    if done:
        tx.count("sent", done)


def receipt(tx: Transaction, transport: str, key: str, network_id: str) -> None:
    """Note the network's id of something sent."""
    found = tx.one(
        "SELECT number, network_id FROM outbox JOIN lane ON lane.id = outbox.lane WHERE key = ? AND transport = ?",
        key,
        transport,
    )
    if found is None or network_id in (key, found[1]):
        return
    number, first = found
    if first is None:
        tx.change("UPDATE outbox SET network_id = ? WHERE number = ?", network_id, number)
    else:
        tx.change("INSERT OR IGNORE INTO other_id VALUES(?, ?)", number, network_id)


def ours(tx: Transaction, transport: str, chat: str, message: str) -> bool:
    """Whether a message's id is the key or a network's id of something sent to this chat."""
    lane = tx.find_lane(transport, chat)
    if lane is None:
        return False
    name = storable(message)
    return any(tx.one(question, name, lane) is not None for question in _OURS)


def _more(one: Owed) -> str | None:
    if one.thread is None and one.reply_to is None and not one.attachments and not one.notice:
        return None
    more: dict[str, Any] = {"thread": one.thread, "reply_to": one.reply_to, "notice": one.notice}
    if one.attachments:
        more["attachments"] = pack_attachments(one.attachments)
    return packed({name: value for name, value in more.items() if value is not None and value is not False})


def _owed(key: str, transport: str, chat: str, text: str, more: str | None) -> Owed:
    if more is None:
        return Owed(key, transport, chat, text)
    given = json.loads(more)
    attachments = unpack_attachments(given.pop("attachments", ()))
    return Owed(key, transport, chat, text, attachments=attachments, **given)
