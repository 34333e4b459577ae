"""Looks through everything that the tests leave and say for secrets of the stand-in servers.

Every token that the login server issues carries a mark; so do the keys of the tests that go through the whole road. A
marked text may stand in files of credentials and nowhere else: not in a log, not in what a test has printed, not in any
other file, databases included.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from nanokimi_core.logs import RedactingFormatter

ACCESS, REFRESH, KEY = "CANARYaccess", "CANARYrefresh", "CANARY-of-the-key"
MARKS = (ACCESS, REFRESH, KEY)

_WITH_KEYS = {"key", "key.txt", "config.toml", "nanokimi.toml"}
"""What set-key stores, what tests give to it, what an agent works with, and an owner's own toml."""
_ELSEWHERES = {"site-packages", "node_modules", "__pycache__"}
_PIECE = 1 << 20
_LARGEST = 64 * _PIECE
_MOST_FILES = 200_000
_MOST_FOUND = 50


class Watch(logging.Handler):
    """Hears every line that is logged in this process, in the form in which the assistant writes it.

    Attributes:
        found: The lines with a mark.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(RedactingFormatter("%(name)s: %(message)s"))
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a line."""
        line = self.format(record)
        if len(self.found) < _MOST_FOUND and (mark := marked(line)):
            self.found.append(f"a line of the log holds a secret ({mark}): {line[:300]}")

    def taken(self) -> list[str]:
        """Give what was found, once."""
        found, self.found = self.found, []
        return found


def marked(text: str) -> str | None:
    """Give the mark that stands in a text."""
    return next((mark for mark in MARKS if mark in text), None)


def in_files(root: Path) -> Iterator[str]:
    """Say which files beneath a folder hold a mark that doesn't belong there."""
    for number, file in enumerate(_files(root)):
        if number >= _MOST_FILES:
            yield f"there are more than {_MOST_FILES} files beneath {root}, and not all were looked at"
            return
        allowed = _allowed(file.relative_to(root))
        for mark in MARKS:
            if mark not in allowed and _holds(file, mark.encode()):
                yield f"{file} holds a secret ({mark})"


def _allowed(path: Path) -> tuple[str, ...]:
    """Say which secrets belong into a file."""
    if "served" in path.parts:  # what containers see of a login
        return (ACCESS,)
    if "credentials" in path.parts or (path.suffix == ".json" and path.stem.startswith("kimi-code")):
        return (ACCESS, REFRESH)
    if "agent" in path.parts:  # what an agent writes itself, who can read what it works with
        return (ACCESS, KEY)
    if path.name in _WITH_KEYS:
        return (KEY,)
    return ()


def _files(root: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _ELSEWHERES]
        yield from (Path(where) / name for name in files)


def _holds(file: Path, mark: bytes) -> bool:
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return False
        with file.open("rb") as content:
            return _has(iter(lambda: content.read(_PIECE), b""), mark)
    except OSError:  # a test took the right to read it away, or it is gone by now
        return False


def _has(pieces: Iterable[bytes], mark: bytes) -> bool:
    end, read = b"", 0
    for piece in pieces:
        if mark in end + piece:
            return True
        end, read = piece[-len(mark) :], read + len(piece)
        if read > _LARGEST:
            break
    return False
