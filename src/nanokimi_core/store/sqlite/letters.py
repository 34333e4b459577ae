"""Dead letters: messages and answers that were given up."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from nanokimi_core.store.encoding import decode_message, unpack_attachments
from nanokimi_core.store.sqlite.chats import lane_of
from nanokimi_core.store.sqlite.transaction import Transaction
from nanokimi_core.store.values import DeadLetter, Ending

_ID = re.compile(r"([ma])([1-9][0-9]{0,17})", re.ASCII)
_MESSAGES = (
    "SELECT number, transport, chat, body, cause, attempts, ended FROM inbox JOIN lane ON lane.id = inbox.lane"
    " WHERE state = 4"
)
_ANSWERS = (
    "SELECT number, transport, chat, text, more, cause, attempts, ended FROM outbox"
    " JOIN lane ON lane.id = outbox.lane WHERE state = 2"
)


def dead(tx: Transaction, limit: int, chat: str | None) -> Sequence[DeadLetter]:
    """List dead letters, the latest first."""
    where, values = ("", ()) if chat is None else (" AND lane = ?", (lane_of(tx, chat),))
    order = " ORDER BY ended DESC, number DESC LIMIT ?"
    found = [_message(row) for row in tx.all(_MESSAGES + where + order, *values, limit)]
    found += [_answer(row) for row in tx.all(_ANSWERS + where + order, *values, limit)]
    found.sort(key=lambda letter: letter.at, reverse=True)
    return found[:limit]


def dead_letter(tx: Transaction, letter: str) -> DeadLetter | None:
    """Give one by its id."""
    match = _ID.fullmatch(letter)
    if match is None:
        return None
    number = int(match[2])
    if match[1] == "m":
        row = tx.one(f"{_MESSAGES} AND number = ?", number)
        return _message(row) if row else None
    row = tx.one(f"{_ANSWERS} AND number = ?", number)
    return _answer(row) if row else None


def revive(tx: Transaction, letter: str) -> DeadLetter | None:
    """Put a dead letter back at its place."""
    found = dead_letter(tx, letter)
    if found is not None:
        table = "inbox" if found.kind == "message" else "outbox"
        tx.change(
            f"UPDATE {table} SET state = 0, attempts = 0, ended = NULL, cause = NULL WHERE number = ?",  # noqa: S608
            int(found.id[1:]),
        )
    return found


def drop(tx: Transaction, letter: str) -> DeadLetter | None:
    """End a dead letter; its text goes, its id stays known."""
    found = dead_letter(tx, letter)
    if found is None:
        return None
    if found.kind == "message":
        tx.change(
            "UPDATE inbox SET state = 3, ended = ?, cause = NULL, body = NULL WHERE number = ?",
            tx.now,
            int(found.id[1:]),
        )
        tx.count(Ending.CANCELLED.value)
    else:
        tx.change(
            "UPDATE outbox SET state = 3, ended = ?, cause = NULL, text = NULL, more = NULL WHERE number = ?",
            tx.now,
            int(found.id[1:]),
        )
    return found


def _message(row: Any) -> DeadLetter:
    number, transport, chat, body, cause, attempts, ended = row
    message = decode_message(body)
    return DeadLetter(
        f"m{number}",
        "message",
        f"{transport}:{chat}",
        message.text,
        cause or "",
        attempts,
        ended,
        message.sender_name or message.sender,
        message.attachments,
    )


def _answer(row: Any) -> DeadLetter:
    number, transport, chat, text, more, cause, attempts, ended = row
    attachments = unpack_attachments(json.loads(more).get("attachments", ())) if more else ()
    return DeadLetter(
        f"a{number}", "answer", f"{transport}:{chat}", text, cause or "", attempts, ended, attachments=attachments
    )
