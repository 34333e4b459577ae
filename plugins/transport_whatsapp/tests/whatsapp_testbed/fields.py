"""As much of protobuf as the server speaks itself, so that its process need not load the library.

The numbers of the fields stand in the library's ``neonize/proto``: waWa6 (handshake), waCert, waAdv.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Value: TypeAlias = int | bytes
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def packed(fields: Mapping[int, Value]) -> bytes:
    """Write a message: numbers as varints, the rest as bytes."""
    out = bytearray()
    for number, value in fields.items():
        if isinstance(value, int):
            out += _varint(number << 3 | _VARINT) + _varint(value)
        else:
            out += _varint(number << 3 | _LENGTH) + _varint(len(value)) + value
    return bytes(out)


def unpacked(data: bytes) -> dict[int, Value]:
    """Read a message; of a repeated field, the last."""
    found: dict[int, Value] = {}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            found[number], at = _read_varint(data, at)
        elif kind == _LENGTH:
            length, at = _read_varint(data, at)
            found[number], at = data[at : at + length], at + length
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"field {number} has the unknown type {kind}")
    return found


def octets(fields: Mapping[int, Value], number: int) -> bytes:
    """Take a field that holds bytes; empty when it isn't there."""
    value = fields.get(number, b"")
    if not isinstance(value, bytes):
        raise ValueError(f"field {number} holds no bytes")
    return value


def integer(fields: Mapping[int, Value], number: int) -> int:
    """Take a field that holds a number; 0 when it isn't there."""
    value = fields.get(number, 0)
    if not isinstance(value, int):
        raise ValueError(f"field {number} holds no number")
    return value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
