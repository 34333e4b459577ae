"""QR codes for a phone to scan: drawn in a terminal, or as a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nanokimi_core import write_private

Modules = Sequence[Sequence[bool]]

_BORDER = 2  # modules; half of what the standard asks for, and enough for phones
_BELOW = 2  # lines: one of text, and the one that the cursor stands in
_PNG_BORDER = 4
_PNG_SCALE = 8  # pixels
_HALVES = " ▀▄█"
_FIRST_SEXTANT = 0x1FB00
_OWN_SIGNS = {0: " ", 0b010101: "▌", 0b101010: "▐", 0b111111: "█"}  # these sextants are older signs


@dataclass(frozen=True)
class Room:
    """What there is to draw on.

    Attributes:
        columns: Signs in a line.
        lines: Lines that can be seen at once.
        encoding: Of the output.
        colours: Whether it knows colours.
    """

    columns: int
    lines: int
    encoding: str = "utf-8"
    colours: bool = True


def drawn(text: str, room: Room) -> list[str]:
    """Draw a text's code as lines that can be printed, with room for a line below; none where it doesn't fit.

    Two rows of modules stand in a line; where the window is too low for that, three, in signs that most terminals
    draw by themselves. Dark on light is forced where there are colours, so the theme plays no part; elsewhere the
    terminal's own colour, taken for light, draws the light.
    """
    modules = modules_of(text)
    shown = modules if room.colours else [[not module for module in row] for row in modules]
    for lines in (_halves(shown), _sextants(shown)):
        if _fits(lines, room):
            return [f"\x1b[30;47m{line}\x1b[0m" for line in lines] if room.colours else lines
    return []


def needed(text: str) -> tuple[int, int]:
    """Give the columns and lines of a window in which a text's code can be drawn without uncommon signs."""
    size = len(modules_of(text))
    return size, (size + 1) // 2 + _BELOW


def modules_of(text: str) -> list[list[bool]]:
    """Give the rows of dark and light modules, with a light border."""
    import segno

    return [[bool(module) for module in row] for row in segno.make_qr(text, error="l").matrix_iter(border=_BORDER)]


def write_png(text: str, file: Path) -> None:
    """Write a text's code as a picture that only its owner can read.

    Raises:
        OSError: It can't be written.
    """
    import segno

    data = io.BytesIO()
    segno.make_qr(text, error="l").save(data, kind="png", scale=_PNG_SCALE, border=_PNG_BORDER)
    write_private(file, data.getvalue())


def _halves(modules: Modules) -> list[str]:
    return ["".join(_HALVES[cell] for cell in line) for line in _cells(modules, columns=1, rows=2)]


def _sextants(modules: Modules) -> list[str]:
    return ["".join(_sextant(cell) for cell in line) for line in _cells(modules, columns=2, rows=3)]


def _sextant(cell: int) -> str:
    return _OWN_SIGNS.get(cell) or chr(_FIRST_SEXTANT + cell - 1 - (cell > 0b010101) - (cell > 0b101010))


def _cells(modules: Modules, *, columns: int, rows: int) -> list[list[int]]:
    """Put modules together: the first of a cell is its lowest bit, then on to the right, then down."""
    height, width = len(modules), len(modules[0])

    def bit(y: int, x: int) -> bool:
        return modules[min(y, height - 1)][min(x, width - 1)]  # beyond the end it is border, as the last ones are

    return [
        [
            sum(bit(y + at // columns, x + at % columns) << at for at in range(columns * rows))
            for x in range(0, width, columns)
        ]
        for y in range(0, height, rows)
    ]


def _fits(lines: Sequence[str], room: Room) -> bool:
    try:
        "".join(lines).encode(room.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return len(lines[0]) <= room.columns and len(lines) + _BELOW <= room.lines
