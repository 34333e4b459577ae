"""Claims: taking the next work of a lane, ending it, putting it back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, takewhile
from typing import Any, NamedTuple

from nanokimi_core.messages import Inbound
from nanokimi_core.store.encoding import decode_message, storable
from nanokimi_core.store.sqlite.outbox import put
from nanokimi_core.store.sqlite.schema import ROLES
from nanokimi_core.store.sqlite.transaction import Transaction
from nanokimi_core.store.values import Claim, Ending, LeaseLost, Owed, OwedRow, Role, Row, Work

_END = (
    "UPDATE inbox SET state = 3, ended = ?, body = NULL, turn = NULL, holder = NULL, until = NULL, stopped = NULL"
    " WHERE "
)
_BURY = (
    "UPDATE inbox SET state = 4, ended = ?, cause = ?, turn = NULL, holder = NULL, until = NULL, stopped = NULL WHERE "
)
_BACK = (
    "UPDATE inbox SET state = 0, attempts = attempts - ?, turn = ?, holder = NULL, until = NULL, stopped = NULL WHERE "
)
_NUMBER = "number = ?"
_LANE = "state = 0 AND lane = ? AND state < 3"
_USED_UP = "state = 2 AND lane = ? AND state < 3 AND number < ?"
_CONTEXT = "SELECT number, body FROM inbox WHERE "
_OURS = "number = ? AND state = 1 AND holder = ? AND turn = ?"


class _Waiting(NamedTuple):
    number: int
    role: Role
    attempts: int
    turn: str | None
    body: str


# ---------------------------------------------------------------------- taking
def claim(tx: Transaction, wanted: Claim) -> Work | None:
    """Take the next work of a lane, unless some of it is claimed or nothing waits."""
    lane = tx.find_lane(wanted.transport, wanted.chat)
    if lane is None or _held(tx, lane):
        return None
    rows = _next_rows(tx, lane, wanted.batch)
    if not rows:
        return None
    first = rows[0]
    again = len(rows) == 1 and first.turn is not None
    turn = first.turn if again and first.turn is not None else wanted.turn
    tx.change_each(
        "UPDATE inbox SET state = 1, attempts = attempts + 1, turn = ?, holder = ?, until = ? WHERE number = ?",
        [(turn, tx.holder, tx.until, row.number) for row in rows],
    )
    context: tuple[Inbound, ...] = ()
    if first.role is Role.TURN:
        if not again:
            count_turn(tx, lane, wanted.day)
        context = _context(tx, lane, rows[-1].number, turn, wanted.context)
    return Work(
        wanted.transport,
        wanted.chat,
        turn,
        tuple(Row(row.number, decode_message(row.body), row.role, row.attempts + 1) for row in rows),
        context,
        waiting(tx, lane),
    )


def waiting(tx: Transaction, lane: int) -> int:
    """Count what waits unclaimed in a lane."""
    return int(tx.one("SELECT COUNT(*) FROM inbox WHERE state = 0 AND lane = ? AND state < 3", lane)[0])


def is_empty(tx: Transaction, lane: int | None) -> bool:
    """Whether nothing of a lane waits, is claimed, or is unused context."""
    return tx.one("SELECT 1 FROM inbox WHERE state IN (0, 1, 2) AND lane = ? AND state < 3 LIMIT 1", lane) is None


def count_turn(tx: Transaction, lane: int, day: str) -> None:
    """Count a new turn."""
    tx.change("INSERT INTO turns VALUES(?, ?, 1) ON CONFLICT(day, lane) DO UPDATE SET count = count + 1", day, lane)


def _uncount_turn(tx: Transaction, lane: int | None) -> None:
    tx.change(
        "UPDATE turns SET count = count - 1 WHERE lane = ? AND day = (SELECT MAX(day) FROM turns WHERE lane = ?)",
        lane,
        lane,
    )


def _held(tx: Transaction, lane: int) -> bool:
    held = tx.one("SELECT holder, until FROM inbox WHERE state = 1 AND lane = ? AND state < 3 LIMIT 1", lane)
    if held is None:
        return False
    if tx.alone or held[0] == tx.holder or held[1] >= tx.now:
        return True
    take_over(tx)
    return False


def _next_rows(tx: Transaction, lane: int, batch: int) -> list[_Waiting]:
    found = [
        _Waiting(number, ROLES[role], attempts, turn, body)
        for number, role, attempts, turn, body in tx.all(
            "SELECT number, role, attempts, turn, body FROM inbox"
            " WHERE state = 0 AND lane = ? AND state < 3 ORDER BY number LIMIT ?",
            lane,
            max(1, batch),
        )
    ]
    if not found or found[0].attempts or found[0].role is not Role.TURN:
        return found[:1]
    return list(takewhile(lambda row: row.role is Role.TURN and not row.attempts, found))


def _context(tx: Transaction, lane: int, below: int, turn: str, limit: int) -> tuple[Inbound, ...]:
    """Give what was said before, the same when the turn is tried again."""
    tied = tx.all(_CONTEXT + _USED_UP + " AND turn = ? ORDER BY number", lane, below, turn)
    if tied:
        return tuple(decode_message(body) for _, body in tied)
    found = tx.all(_CONTEXT + _USED_UP + " ORDER BY number DESC LIMIT ?", lane, below, limit)
    tx.change_each("UPDATE inbox SET turn = ? WHERE number = ?", [(turn, number) for number, _ in found])
    return tuple(decode_message(body) for _, body in reversed(found))


# ---------------------------------------------------------------------- ending
def finish(
    tx: Transaction, work: Work, ending: Ending, owed: Sequence[Owed], wanted: Claim | None
) -> tuple[Sequence[OwedRow], Work | None]:
    """End a work, put its answer into the outbox, and take the next."""
    rows: Sequence[OwedRow] = ()
    lane = tx.find_lane(work.transport, work.chat)
    if _settle(tx, work, _END + _OURS, tx.now):
        tx.count(ending.value, len(work.rows))
        rows = put(tx, owed)
        if is_empty(tx, lane):  # the usual case: no context to use up, and no more work
            if wanted is None or (wanted.transport, wanted.chat) == (work.transport, work.chat):
                return rows, None
        else:
            _use_up(tx, lane, work)
    return rows, claim(tx, wanted) if wanted is not None else None


def bury(tx: Transaction, work: Work, cause: str, owed: Sequence[Owed]) -> Sequence[OwedRow]:
    """Make dead letters of the rows of a work."""
    if not _settle(tx, work, _BURY + _OURS, tx.now, storable(cause)):
        return ()
    _use_up(tx, tx.find_lane(work.transport, work.chat), work)
    return put(tx, owed)


def retry(tx: Transaction, work: Work, counted: bool, owed: Sequence[Owed]) -> Sequence[OwedRow]:
    """Put a work back; what was stopped by a person ends instead."""
    stopped = [
        number
        for (number,) in tx.all(
            "SELECT number FROM inbox WHERE state = 1 AND lane = ? AND turn = ? AND holder = ? AND stopped = 1"
            " AND state < 3",
            tx.find_lane(work.transport, work.chat),
            work.turn,
            tx.holder,
        )
    ]
    if stopped:
        return finish(tx, work, Ending.CANCELLED, owed, None)[0]
    kept = work.turn if len(work.rows) == 1 else None
    if not _settle(tx, work, _BACK + _OURS, 0 if counted else 1, kept):
        return ()
    if kept is None and not counted:  # the batch comes again as another turn
        _uncount_turn(tx, tx.find_lane(work.transport, work.chat))
    return put(tx, owed)


def _settle(tx: Transaction, work: Work, change: str, *values: Any) -> bool:
    """Change the claimed rows of a work, all or none.

    Returns:
        Whether they were still there; erased ones are nobody's business.

    Raises:
        LeaseLost: Somebody else has them.
    """
    holder, turn = tx.holder, work.turn
    rows = work.rows
    if len(rows) == 1:
        done = tx.change(change, *values, rows[0].number, holder, turn)
    else:
        done = tx.change_each(change, [(*values, row.number, holder, turn) for row in rows])
    if done == len(rows):
        return True
    if done or any(tx.one("SELECT 1 FROM inbox WHERE number = ?", row.number) for row in rows):
        raise LeaseLost(
            f"turn {turn} of {work.transport}:{work.chat} is not this process's any more: its lease was lost",
            remedy="let one process at a time use the store",
        )
    return False


def _use_up(tx: Transaction, lane: int | None, work: Work) -> None:
    if work.rows[0].role is Role.TURN:
        tx.change(_END + _USED_UP, tx.now, lane, work.rows[-1].number)


# ---------------------------------------------------------------------- leases
def take_over(tx: Transaction, *, everything: bool = False) -> int:
    """Put claims of others back into their lanes: expired ones, or all; those stopped by a person end.

    Returns:
        The count of rows.
    """
    found = tx.all(
        "SELECT lane, turn, number, stopped FROM inbox WHERE state = 1 AND state < 3 AND holder <> ?"
        " AND (? OR until < ?) ORDER BY lane, turn, number",
        tx.holder,
        everything,
        tx.now,
    )
    for (lane, turn), group in groupby(found, key=lambda row: (row[0], row[1])):
        rows = list(group)
        kept = turn if len(rows) == 1 else None
        stopped = [number for _, _, number, stop in rows if stop]
        back = [(0, kept, number) for _, _, number, stop in rows if not stop]
        tx.change_each(_BACK + _NUMBER, back)
        if stopped:
            tx.change_each(_END + _NUMBER, [(tx.now, number) for number in stopped])
            tx.change(
                _END + _USED_UP,
                tx.now,
                lane,
                max(stopped),
            )
            tx.count(Ending.CANCELLED.value, len(stopped))
    return len(found)


def renew(tx: Transaction) -> None:
    """Lengthen all leases of this holder, and take over what others let expire."""
    tx.change("UPDATE inbox SET until = ? WHERE state = 1 AND state < 3 AND holder = ?", tx.until, tx.holder)
    if not tx.alone:
        take_over(tx)


def cancel_claimed(tx: Transaction, transport: str, chat: str) -> None:
    """Mark what is claimed in a lane as stopped."""
    lane = tx.find_lane(transport, chat)
    tx.change("UPDATE inbox SET stopped = 1 WHERE state = 1 AND lane = ? AND state < 3", lane)


def cancel_waiting(tx: Transaction, transport: str, chat: str) -> int:
    """End what waits in a lane."""
    lane = tx.find_lane(transport, chat)
    ended = tx.change(_END + _LANE, tx.now, lane)
    if ended:
        tx.count(Ending.CANCELLED.value, ended)
    return ended
