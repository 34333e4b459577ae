"""What must be known after a crash: which refresh token was about to be spent, and which the server has refused."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from nanokimi_auth_oauth_file.disk.marks import token_mark
from nanokimi_core import write_private

_LARGEST = 65_536


@dataclass(frozen=True)
class Entry:
    """A refresh that was begun and not ended.

    Attributes:
        spent: The mark of the refresh token.
        at: When it was sent first, in seconds since 1970.
        aside: The name of the file, beside the login's, that the new login was to be written to.
        doubt: Why no proper answer came; empty where the process ended before it could say.
    """

    spent: str
    at: float
    aside: str
    doubt: str = ""

    @property
    def when(self) -> str:
        """When it was sent first, for people."""
        return f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d %H:%M:%S} UTC"


class Journal:
    """A note of the refresh that is going on. It holds no token but in ``rescued``, which is a login's file.

    Args:
        folder: The instance's own.
        salt: Of the marks.

    Attributes:
        rescued: Where a new login is kept that couldn't be written to its own place.
    """

    def __init__(self, folder: Path, salt: str) -> None:
        self.rescued = folder / "rescued.json"
        self._file = folder / "refreshing.json"
        self._salt = salt

    def begin(self, token: SecretStr, aside: str) -> None:
        """Note that this refresh token is about to be sent; one that was sent before keeps its time and its doubt.

        Raises:
            OSError: It can't be noted.
        """
        before = self.about(token)
        mark = token_mark(token, self._salt)
        self._write(Entry(mark, before.at if before else time.time(), aside, before.doubt if before else ""))

    def doubt(self, token: SecretStr, why: str) -> None:
        """Note that no proper answer came: the token may be spent."""
        if (entry := self.about(token)) is not None:
            with suppress(OSError):
                self._write(Entry(entry.spent, entry.at, entry.aside, entry.doubt or why))

    def about(self, token: SecretStr) -> Entry | None:
        """Give the note, where it is about this refresh token."""
        entry = self.entry()
        return entry if entry is not None and entry.spent == token_mark(token, self._salt) else None

    def entry(self) -> Entry | None:
        """Give the note, whichever token it is about."""
        found = _read(self._file)
        try:
            entry = Entry(**found)
            known = isinstance(entry.spent, str) and isinstance(entry.aside, str) and isinstance(entry.doubt, str)
            datetime.fromtimestamp(entry.at, UTC)
        except (TypeError, ValueError, OverflowError, OSError):
            return None
        return entry if known and Path(entry.aside).name == entry.aside else None

    def rescue(self, data: bytes) -> None:
        """Keep a login that couldn't be written to its own place, if there is room here."""
        with suppress(OSError):
            write_private(self.rescued, data)

    def clear(self) -> None:
        """Forget the note: the refresh has ended, one way or the other."""
        for file in (self._file, self.rescued):
            with suppress(OSError):
                file.unlink(missing_ok=True)

    def _write(self, entry: Entry) -> None:
        write_private(self._file, json.dumps(asdict(entry)).encode())


class Refused:
    """The refresh token that the server has refused for good; it is never sent again, not even after a restart."""

    def __init__(self, folder: Path, salt: str) -> None:
        self._file = folder / "refused_refresh.json"
        self._salt = salt
        self._known: dict[str, str] = {}

    def note(self, token: SecretStr, cause: str) -> None:
        """Remember it with the cause; where the disk is full, for the life of this process only."""
        self._known = {token_mark(token, self._salt): cause}
        with suppress(OSError):
            write_private(self._file, json.dumps(self._known).encode())

    def cause(self, token: SecretStr) -> str | None:
        """Say why this token was refused; ``None`` where it wasn't."""
        mark = token_mark(token, self._salt)
        said = self._known.get(mark) or _read(self._file).get(mark)
        return said if isinstance(said, str) else None


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            found = json.loads(stream.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
