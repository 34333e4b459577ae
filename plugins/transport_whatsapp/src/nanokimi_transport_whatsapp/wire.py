"""How values travel between the transport and its child: a line of JSON each, in UTF-8."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from nanokimi_transport_whatsapp.values import FromChild, ToChild, Value

LONGEST_LINE = 4 * 2**20
"""Bytes; a longer line is no value of ours."""

_FROM_CHILD: TypeAdapter[FromChild] = TypeAdapter(FromChild)
_TO_CHILD: TypeAdapter[ToChild] = TypeAdapter(ToChild)


class NotOurs(ValueError):
    """A line that isn't a value of ours."""


def line(value: Value) -> bytes:
    """Write a value as a line."""
    return value.model_dump_json(exclude_defaults=False).encode("utf-8", "surrogatepass") + b"\n"


def from_child(data: bytes) -> FromChild:
    """Read a line of the child's.

    Raises:
        NotOurs: It is none.
    """
    try:
        return _FROM_CHILD.validate_json(data)
    except ValidationError as error:
        raise NotOurs(f"a line of {len(data)} bytes isn't a value: {error.error_count()} faults") from None


def to_child(data: bytes) -> ToChild:
    """Read a line of the transport's.

    Raises:
        NotOurs: It is none.
    """
    try:
        return _TO_CHILD.validate_json(data)
    except ValidationError as error:
        raise NotOurs(f"a line of {len(data)} bytes isn't a value: {error.error_count()} faults") from None
