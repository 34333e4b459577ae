"""What an agent's container writes to its standard error: kept in a file that stays small."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from nanokimi_backend_kimi_docker.redact import plain

_LARGEST = 512 * 1024
_LAST_WORDS = 10


class AgentLog:
    """A file and its predecessor, each at most half a megabyte. A full disk loses lines, and nothing else.

    Args:
        path: Its folder must exist; 0600.
        secrets: Never written.

    Raises:
        OSError: The file can't be made.
    """

    def __init__(self, path: Path, *, secrets: Iterable[str] = ()) -> None:
        self._path = path
        self._secrets = [secret for secret in secrets if secret]
        self._last: deque[str] = deque(maxlen=_LAST_WORDS)
        self._file = _open(path)

    @property
    def last_words(self) -> str:
        """The last lines, for an error."""
        return " | ".join(self._last)

    def write(self, line: str) -> None:
        """Add a line."""
        for secret in self._secrets:
            line = line.replace(secret, "***")
        line = plain(line).rstrip()
        if not line:
            return
        self._last.append(line)
        with suppress(OSError):
            self._file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n".encode())
            if self._file.tell() > _LARGEST:
                self._turn()

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()

    def _turn(self) -> None:
        try:
            self._path.replace(self._path.with_suffix(".old.log"))
            new = _open(self._path)
        except OSError:
            self._file.truncate(0)  # it stays small even where no other can be made
            return
        self._file.close()
        self._file = new


def _open(path: Path) -> FileIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return FileIO(os.open(path, flags, 0o600), "a")
