"""What is written with the next commit without anybody waiting for it."""

from __future__ import annotations

from collections import deque

from nanokimi_core.store.encoding import storable
from nanokimi_core.store.sqlite import outbox
from nanokimi_core.store.sqlite.transaction import Transaction
from nanokimi_core.store.values import OwedRow

_RECEIPTS = 10_000


class Posted:
    """Things to be written, kept until they are.

    What was sent is bounded by what was owed, and counters by their names; of receipts the latest ones are kept.
    """

    def __init__(self) -> None:
        self._sent: dict[int, tuple[int, str, str | None]] = {}
        self._receipts: deque[tuple[str, str, str]] = deque(maxlen=_RECEIPTS)
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._sent or self._receipts or self._counts)

    def __str__(self) -> str:
        return f"{len(self._sent)} sent messages, {len(self._receipts)} receipts and {len(self._counts)} counters"

    def sent(self, row: OwedRow, network_id: str | None) -> None:
        """Note that a row was sent."""
        name = None if network_id is None else storable(str(network_id))
        self._sent[row.number] = (row.number, storable(row.owed.key), name)

    def receipt(self, transport: str, key: str, network_id: str) -> None:
        """Note a network's id."""
        self._receipts.append((storable(transport), storable(str(key)), storable(str(network_id))))

    def count(self, counter: str, by: int) -> None:
        """Add to a counter."""
        self._counts[counter] = self._counts.get(counter, 0) + by

    def add(self, later: Posted) -> None:
        """Take over what was posted later."""
        self._sent |= later._sent
        self._receipts.extend(later._receipts)
        for counter, by in later._counts.items():
            self.count(counter, by)

    def write(self, tx: Transaction) -> None:
        """Write it all; changes nothing in here, since the transaction may yet be rolled back."""
        if self._sent:
            outbox.sent(tx, list(self._sent.values()))
        for transport, key, network_id in self._receipts:
            outbox.receipt(tx, transport, key, network_id)
        for counter, by in self._counts.items():
            tx.count(counter, by)
