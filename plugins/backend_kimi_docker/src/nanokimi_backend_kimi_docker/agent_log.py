"""What an agent's container writes to its standard error: kept in a file that stays small."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

_LARGEST = 512 * 1024
_LAST_WORDS = 10


class AgentLog:
    """A file and its predecessor, each at most half a megabyte.

    Args:
        path: Its folder must exist; 0600.
        secrets: Never written.
    """

    def __init__(self, path: Path, *, secrets: Iterable[str] = ()) -> None:
        self._path = path
        self._secrets = [secret for secret in secrets if secret]
        self._last: deque[str] = deque(maxlen=_LAST_WORDS)
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "a")

    @property
    def last_words(self) -> str:
        """The last lines, for an error."""
        return " | ".join(self._last)

    def write(self, line: str) -> None:
        """Add a line."""
        line = line.rstrip()
        if not line:
            return
        for secret in self._secrets:
            line = line.replace(secret, "***")
        self._last.append(line)
        self._file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")
        self._file.flush()
        if self._file.tell() > _LARGEST:
            self._turn()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _turn(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_suffix(".old.log"))
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a")
