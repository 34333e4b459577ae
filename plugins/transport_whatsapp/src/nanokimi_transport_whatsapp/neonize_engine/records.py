"""The form in which an event of the library is kept on disk: its number, and its bytes as the library gave them."""

from __future__ import annotations

MESSAGE = 17
"""``neonize.events.EVENT_TO_INT`` numbers the events; these are spooled."""

CALL_OFFER = 36
UNDECRYPTABLE = 44

SPOOLED = frozenset({MESSAGE, CALL_OFFER, UNDECRYPTABLE})

_FORM, _KEPT_FORM = 1, 2


def pack(code: int, data: bytes, *, kept: bool = False) -> bytes:
    """Join an event's number and its protobuf's bytes into a record: form, number, bytes.

    Args:
        code: The number.
        data: The bytes.
        kept: Whether it came before the server had given all that it had kept; the form tells.
    """
    return bytes((_KEPT_FORM if kept else _FORM, code)) + data


def unpack(record: bytes) -> tuple[int, bytes]:
    """Part a record into the event's number and its protobuf's bytes.

    Raises:
        ValueError: ``pack`` didn't make it.
    """
    if len(record) < 2 or record[0] not in (_FORM, _KEPT_FORM) or record[1] not in SPOOLED:
        raise ValueError("this is no record of a WhatsApp event")
    return record[1], record[2:]


def was_kept(record: bytes) -> bool:
    """Whether the server had kept an event while nobody was connected, or may have."""
    return record[:1] == bytes((_KEPT_FORM,))
