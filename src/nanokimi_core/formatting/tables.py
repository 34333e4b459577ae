"""Tables as text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_WIDEST = 40  # columns; a longer cell stands out of its column rather than widening all rows
_MOST_PADDING = 8  # times the text


def joined(rows: Sequence[Sequence[str]]) -> list[str]:
    """Give a table's rows, the cells apart."""
    return [_bare(row) for row in rows]


def _bare(row: Sequence[str]) -> str:
    filled = next((number for number in range(len(row), 0, -1) if row[number - 1]), 0)
    return " | ".join(row[:filled])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Give a table's rows in columns of one width, a rule under the first, for a monospaced font.

    A table that would be mostly empty space isn't aligned.
    """
    widths = [min(_WIDEST, max(map(_width, column))) for column in zip(*rows, strict=True)]
    if len(rows) * sum(widths) > _MOST_PADDING * sum(len(cell) + 1 for row in rows for cell in row if cell) + 1_000:
        return joined(rows)
    padded = [" | ".join(map(_padded, row, widths)).rstrip() for row in rows]
    return [padded[0], "-+-".join("-" * width for width in widths), *padded[1:]]


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(cell: str) -> int:
    """Give the columns that a text takes in a monospaced font."""
    if cell.isascii():
        return len(cell)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in cell)
    return len(cell) + wide - sum(unicodedata.category(character) in ("Mn", "Me", "Cf") for character in cell)
