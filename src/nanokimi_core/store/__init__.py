"""What is on disk: the inbox, the outbox, the chats. ``Store`` is the protocol, ``sqlite`` its first form."""

from nanokimi_core.store.health import Health
from nanokimi_core.store.protocol import Store
from nanokimi_core.store.values import (
    Arrival,
    ChatRecord,
    Claim,
    DeadLetter,
    Ending,
    Gone,
    LeaseLost,
    Outcome,
    Owed,
    OwedRow,
    Role,
    Row,
    StoreError,
    Work,
)

__all__ = [
    "Arrival",
    "ChatRecord",
    "Claim",
    "DeadLetter",
    "Ending",
    "Gone",
    "Health",
    "LeaseLost",
    "Outcome",
    "Owed",
    "OwedRow",
    "Role",
    "Row",
    "Store",
    "StoreError",
    "Work",
]
