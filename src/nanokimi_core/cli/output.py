"""What commands print: tables and colours for a terminal, plain text for a pipe, JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from nanokimi_core.logs import redact

Row = Sequence[str]

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red"}


class OutputClosed(Exception):
    """Standard output takes no more: nobody reads it, as in ``nanokimi plugins | head -1``, or it is closed or full."""


def say(text: str = "") -> None:
    """Print a line, or several, on standard output.

    Raises:
        OutputClosed: It is closed or full.
    """
    if sys.stdout is None:
        raise OutputClosed("it is closed")
    _write(sys.stdout, plain(redact(text)) + "\n")


def note(text: str) -> None:
    """Print a line on standard error."""
    try:
        _write(sys.stderr, plain(redact(text)) + "\n")
    except OutputClosed:
        return


def say_json(value: Any) -> None:
    """Print a value as JSON.

    Raises:
        OutputClosed: Standard output is closed.
    """
    say(json.dumps(value, indent=2, ensure_ascii=False))


def say_table(columns: Row, rows: Sequence[Row], *, colours: Mapping[str, str] = _COLOURS) -> None:
    """Print a table: boxed and as wide as the terminal, or in aligned columns for a pipe.

    Args:
        columns: The headings.
        rows: The cells.
        colours: Of cells that are exactly this text, in a terminal.

    Raises:
        OutputClosed: Standard output is closed.
    """
    cells = [[plain(redact(cell)) for cell in row] for row in rows]
    if sys.stdout is not None and sys.stdout.isatty():
        _rich_table(columns, cells, colours)
        return
    wide = [max(len(row[at]) for row in [columns, *cells]) for at in range(len(columns))]
    for row in [columns, *cells]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip())


def plain(text: str) -> str:
    """Take out what a terminal would take as an order: control characters other than new lines and tabs."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def on_terminal() -> bool:
    """Whether a person can answer a question: both standard input and standard error are a terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _rich_table(columns: Row, rows: Sequence[Row], colours: Mapping[str, str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=colours.get(cell, "")) for cell in row))
    Console(width=shutil.get_terminal_size().columns).print(table)


def flush(stream: TextIO | None) -> None:
    """Write out what a stream still holds.

    Raises:
        OutputClosed: It takes no more.
    """
    _write(stream, "")


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError) as error:
        raise OutputClosed(getattr(error, "strerror", None) or "it is closed") from error
