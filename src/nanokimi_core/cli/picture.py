"""A QR code in the terminal, so that a phone can open the page of a login."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from nanokimi_core.cli.output import OutputClosed

_BORDER = 2  # modules; half of what the standard asks for, and enough for phones
_BLOCKS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def show_picture(address: str) -> bool:
    """Draw an address on standard output, where that is a terminal with room for it; whether it was drawn.

    Raises:
        OutputClosed: Standard output takes no more.
    """
    if sys.stdout is None or not sys.stdout.isatty() or not _can_draw(sys.stdout.encoding):
        return False
    modules = modules_of(address)
    room = shutil.get_terminal_size()
    if not modules or len(modules[0]) > room.columns or (len(modules) + 1) // 2 >= room.lines:
        return False
    _print(modules)
    return True


def drawn(modules: Sequence[Sequence[bool]]) -> list[str]:
    """Write modules as lines, two rows of them in each."""
    rows = [*modules, [False] * len(modules[0])] if len(modules) % 2 else list(modules)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return ["".join(_BLOCKS[pair] for pair in zip(above, below, strict=True)) for above, below in pairs]


def modules_of(address: str) -> list[list[bool]]:
    """Give the rows of dark and light modules, with a light border; none where the address is too long for a QR."""
    import segno

    try:
        code = segno.make_qr(address, error="l")
    except segno.DataOverflowError:
        return []
    return [[bool(module) for module in row] for row in code.matrix_iter(border=_BORDER)]


def _print(modules: Sequence[Sequence[bool]]) -> None:
    """Print black on white where the terminal has colours; else its own colour, taken for light, draws the light."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=shutil.get_terminal_size().columns, highlight=False)
    coloured = console.color_system is not None and not console.no_color
    shown = modules if coloured else [[not module for module in row] for row in modules]
    try:
        for line in drawn(shown):
            console.print(Text(line, style="black on white" if coloured else ""), no_wrap=True)
    except (OSError, ValueError) as error:
        raise OutputClosed(getattr(error, "strerror", None) or "it is closed") from error


def _can_draw(encoding: str | None) -> bool:
    try:
        "".join(_BLOCKS.values()).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
