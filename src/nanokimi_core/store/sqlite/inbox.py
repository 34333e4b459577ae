"""What comes in: keeping it once, and edits and revocations of what nobody has used yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nanokimi_core.messages import Inbound
from nanokimi_core.store.encoding import decode_message, encode_message, storable
from nanokimi_core.store.sqlite.claims import claim, count_turn, is_empty, take_over
from nanokimi_core.store.sqlite.outbox import put
from nanokimi_core.store.sqlite.schema import CLAIMED, CONTEXT, DONE, PENDING, ROLE_NUMBER
from nanokimi_core.store.sqlite.transaction import Transaction
from nanokimi_core.store.values import Arrival, Claim, Ending, Outcome, OwedRow, Role, Row, Work

Accepted = tuple[Outcome, Work | None, Sequence[OwedRow]]

_STATE = {Role.TURN: PENDING, Role.ORDER: PENDING, Role.CONTEXT: CONTEXT, Role.DONE: DONE}
_COUNTED = {Role.CONTEXT: "context", Role.DONE: Ending.COMMAND.value}
_INSERT = (
    "INSERT INTO inbox(lane, message, state, role, attempts, since, turn, holder, until, ended, body)"
    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(lane, message) DO NOTHING"
)
_END = "UPDATE inbox SET state = 3, ended = ?, body = NULL, turn = NULL WHERE number = ?"


def accept(tx: Transaction, arrival: Arrival, body: str, wanted: Claim | None) -> Accepted:
    """Keep a message, and take the next work of its lane.

    Args:
        tx: Open.
        arrival: The message.
        body: Its message, encoded.
        wanted: As in ``Store.accept``.
    """
    lane = tx.lane(arrival.transport, arrival.message.chat)
    tx.count("received")
    if arrival.message.event in ("edit", "revoke") and arrival.message.target is not None:
        return _correction(tx, lane, arrival, body, wanted)
    if wanted is not None and _can_start(tx, lane, arrival, wanted):
        return _start(tx, lane, arrival, body, wanted)
    return _keep(tx, lane, arrival, body, wanted)


def _keep(tx: Transaction, lane: int, arrival: Arrival, body: str, wanted: Claim | None) -> Accepted:
    if not _insert(tx, lane, arrival, body, _STATE[arrival.role]):
        return _duplicate(tx, wanted)
    if counter := _COUNTED.get(arrival.role):
        tx.count(counter)
    return Outcome.ACCEPTED, claim(tx, wanted) if wanted else None, put(tx, arrival.replies)


def _duplicate(tx: Transaction, wanted: Claim | None) -> Accepted:
    tx.count("duplicate")
    return Outcome.DUPLICATE, claim(tx, wanted) if wanted else None, ()


def _insert(tx: Transaction, lane: int, arrival: Arrival, body: str, state: int, turn: str | None = None) -> int | None:
    """Insert a row; gives its number, or ``None`` where it is known."""
    claimed = state == CLAIMED
    done = state == DONE
    cursor = tx.execute(
        _INSERT,
        (
            lane,
            storable(arrival.message.id),
            state,
            ROLE_NUMBER[arrival.role],
            1 if claimed else 0,
            tx.now,
            turn,
            tx.holder if claimed else None,
            tx.until if claimed else None,
            tx.now if done else None,
            None if done else body,
        ),
    )
    if cursor.rowcount != 1:
        return None
    tx.count("accepted")
    return cursor.lastrowid


# ---------------------------------------------------------------------- the short way
def _can_start(tx: Transaction, lane: int, arrival: Arrival, wanted: Claim) -> bool:
    """Whether an arrival is the whole work: nothing waits before it, is claimed, or goes along."""
    return (
        arrival.role in (Role.TURN, Role.ORDER)
        and wanted.chat == arrival.message.chat
        and wanted.transport == arrival.transport
        and is_empty(tx, lane)
    )


def _start(tx: Transaction, lane: int, arrival: Arrival, body: str, wanted: Claim) -> Accepted:
    number = _insert(tx, lane, arrival, body, CLAIMED, wanted.turn)
    if number is None:
        tx.count("duplicate")
        return Outcome.DUPLICATE, None, ()
    if arrival.role is Role.TURN:
        count_turn(tx, lane, wanted.day)
    rows = (Row(number, arrival.message, arrival.role, 1),)
    return (
        Outcome.ACCEPTED,
        Work(wanted.transport, wanted.chat, wanted.turn, rows),
        put(tx, arrival.replies),
    )


# ---------------------------------------------------------------------- edits and revocations
def _correction(tx: Transaction, lane: int, arrival: Arrival, body: str, wanted: Claim | None) -> Accepted:
    target = None if _known(tx, lane, arrival.message.id) else _open_target(tx, lane, arrival.message)
    if target is None:
        return _keep(tx, lane, arrival, body, wanted)
    number, state, message = target
    if arrival.message.event == "edit":
        edited = encode_message(replace(message, text=arrival.message.text))
        tx.change("UPDATE inbox SET body = ? WHERE number = ?", edited, number)
    else:
        tx.change(_END, tx.now, number)
        if state == PENDING:
            tx.count(Ending.CANCELLED.value)
    _insert(tx, lane, arrival, body, DONE)
    tx.count(Ending.EDIT.value)
    return Outcome.APPLIED, claim(tx, wanted) if wanted else None, put(tx, arrival.replies)


def _open_target(tx: Transaction, lane: int, message: Inbound) -> tuple[int, int, Inbound] | None:
    """Give number, state and message of what an edit or a revocation is about, if it may still be changed."""
    found = tx.one(
        "SELECT number, state, turn, body FROM inbox WHERE lane = ? AND message = ?",
        lane,
        storable(message.target or ""),
    )
    if found is None or found[1] not in (PENDING, CONTEXT):
        return None
    number, state, turn, body = found
    if state == CONTEXT and turn is not None and _in_use(tx, lane, turn):
        return None
    target = decode_message(body)
    if message.event == "edit" and _names(message).isdisjoint(_names(target)):
        return None
    return number, state, target


def _names(message: Inbound) -> frozenset[str]:
    return message.sender_aliases | {message.sender}


def _in_use(tx: Transaction, lane: int, turn: str) -> bool:
    """Whether a turn that some context is tied to was started and isn't over."""
    found = tx.one(
        "SELECT 1 FROM inbox WHERE state IN (0, 1) AND lane = ? AND state < 3 AND turn = ? LIMIT 1", lane, turn
    )
    return found is not None


# ---------------------------------------------------------------------- questions
def known(tx: Transaction, transport: str, chat: str, message: str) -> bool:
    """Whether a message was accepted before."""
    lane = tx.find_lane(transport, chat)
    return lane is not None and _known(tx, lane, message)


def _known(tx: Transaction, lane: int, message: str) -> bool:
    return tx.one("SELECT 1 FROM inbox WHERE lane = ? AND message = ?", lane, storable(message)) is not None


def lanes(tx: Transaction) -> Mapping[tuple[str, str], int]:
    """Count what waits, by lane, the oldest first."""
    if not tx.alone:
        take_over(tx)
    found = tx.all(
        "SELECT transport, chat, COUNT(*) FROM inbox JOIN lane ON lane.id = inbox.lane"
        " WHERE state = 0 AND state < 3 GROUP BY inbox.lane ORDER BY MIN(number)"
    )
    return {(transport, chat): count for transport, chat, count in found}


def suspects(tx: Transaction, attempts: int) -> Sequence[tuple[str, str]]:
    """Name the lanes in which something waits that was attempted so often."""
    return tx.all(
        "SELECT transport, chat FROM inbox JOIN lane ON lane.id = inbox.lane"
        " WHERE state = 0 AND state < 3 AND attempts >= ? GROUP BY inbox.lane ORDER BY MIN(number)",
        attempts,
    )


def turns(tx: Transaction, transport: str, chat: str, day: str) -> int:
    """Count the turns of a day."""
    found = tx.one("SELECT count FROM turns WHERE day = ? AND lane = ?", day, tx.find_lane(transport, chat))
    return int(found[0]) if found else 0
