"""What the commands print."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer

from nanokimi_core import CommandError
from nanokimi_transport_whatsapp.terminal.picture import Room, drawn, needed, write_png
from nanokimi_transport_whatsapp.words import plain

WHERE = "WhatsApp → Settings (Android: ⋮) → Linked devices → Link a device"


def note(text: str) -> None:
    """Print a line on standard error."""
    with suppress(OSError):
        typer.echo(text, err=True)


class CodeScreen:
    """Shows codes to a person at a terminal, in a picture, and without a terminal as text.

    Args:
        png: A file for a picture of each code, removed at the end.
    """

    def __init__(self, png: Path | None) -> None:
        self._png = png
        self._codes = 0
        self._below = 0  # lines of the last drawing, while nothing was printed after it

    def __enter__(self) -> CodeScreen:
        return self

    def __exit__(self, *error: object) -> None:
        if self._png is not None and self._codes:
            with suppress(OSError):
                self._png.unlink(missing_ok=True)

    def say(self, text: str) -> None:
        """Say a sentence."""
        self._below = 0
        typer.echo(text)

    def typed(self, code: str) -> None:
        """Show a code to type; it takes the place of the one before."""
        self._codes += 1
        if self._codes > 1:
            self.say("The code before is void.")
        self.say(f"On the phone: {WHERE} → Link with phone number instead, and type this code:")
        self.say(f"\n    {plain(code)}\n")

    def code(self, text: str, seconds: float) -> None:
        """Show a code to scan; it takes the place of the one before.

        Raises:
            CommandError: The picture can't be written.
        """
        self._codes += 1
        if self._codes == 1:
            self.say(f"On the phone: {WHERE}, and scan this code.")
        if self._png is not None:
            self._write(text, self._png)
            if self._codes == 1:
                self.say(f"It is in the picture {self._png}, which changes with the code and goes at the end.")
        if not self._draw(text, f"Linked devices → Link a device. Counts for {seconds:.0f} s; then comes another."):
            self._tell(text, seconds)

    def _write(self, text: str, png: Path) -> None:
        try:
            write_png(text, png)
        except OSError as error:
            said = f"the picture {png} can't be written: {error.strerror}"
            raise CommandError(said, remedy="name a file in a folder that you may write in") from None

    def _draw(self, text: str, below: str) -> bool:
        room = _room()
        lines = drawn(text, room) if room is not None else []
        if room is None or not lines:
            return False
        if self._below and room.colours:
            typer.echo(f"\x1b[{self._below}A\x1b[J", nl=False)
        self._below = len(lines) + 1
        typer.echo("\n".join([*lines, below[: room.columns]]))
        return True

    def _tell(self, text: str, seconds: float) -> None:
        """Give the text of the code, where it can't be drawn."""
        if self._codes == 1 and self._png is None:
            self.say(_hint(text))
        void = "The code before is void. " if self._codes > 1 else ""
        self.say(f"QR: {text}\n{void}This one counts for {seconds:.0f} s; then comes another.")


def _room() -> Room | None:
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    size = shutil.get_terminal_size()
    return Room(size.columns, size.lines, sys.stdout.encoding or "ascii", colours=_has_colours())


def _has_colours() -> bool:
    return os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "") and not os.environ.get("NO_COLOR")


def _hint(text: str) -> str:
    others = "write a picture with --png FILE, or type a code on the phone instead with --phone NUMBER"
    if _room() is None:
        return f"It can't be drawn here: make a QR code of the line below, {others}."
    columns, lines = needed(text)
    return f"It can't be drawn here: make this window {columns} columns wide and {lines} lines high, {others}."


def on_terminal() -> bool:
    """Whether a person can answer a question."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def choose(question: str, options: Sequence[str]) -> int:
    """Let a person choose one of several by its number, the first one unless they say another; gives its index."""
    note(f"\n{question}")
    for number, words in enumerate(options, start=1):
        note(f"  {number}. {words}")
    while True:
        said = str(typer.prompt("Number", default="1", err=True)).strip()
        if said.isdecimal() and 1 <= int(said) <= len(options):
            return int(said) - 1
        note(f"Type a number from 1 to {len(options)}.")
