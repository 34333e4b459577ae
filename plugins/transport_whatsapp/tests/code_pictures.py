"""Reads the pictures that ``--png`` writes."""

from __future__ import annotations

import zlib
from pathlib import Path


def png_modules(file: Path) -> list[list[bool]]:
    """Read a grey picture of one bit for each pixel, whose modules are 8 pixels wide; dark is 0."""
    data, at, packed, width, height = file.read_bytes(), 8, b"", 0, 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
            assert body[8:] == bytes([1, 0, 0, 0, 0])
        packed += body if kind == b"IDAT" else b""
        at += size + 12
    raw, stride = zlib.decompress(packed), (width + 7) // 8 + 1
    rows = [bytes(stride - 1)]
    for y in range(height):
        how, row = raw[y * stride], raw[y * stride + 1 : (y + 1) * stride]
        assert how in (0, 2), "a filter that this reader doesn't know"  # as it stands, or what changes from above
        rows.append(bytes((new + old) % 256 for new, old in zip(row, rows[-1], strict=True)) if how else row)
    return [[not row[x // 8] >> (7 - x % 8) & 1 for x in range(4, width, 8)] for row in rows[5::8]]
