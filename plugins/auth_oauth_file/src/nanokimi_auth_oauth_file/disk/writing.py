"""Writing a login so that it is whole at any moment, into room that was there before a token was spent."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ROOM = 16_384


def aside_name(file: Path) -> str:
    """Make up a name for the file that takes the place of this one."""
    return f".{file.name}.{secrets.token_hex(4)}"


def serialised(document: Mapping[str, Any]) -> bytes:
    """Write a login's document as the agents read it."""
    return f"{json.dumps(document, indent=2)}\n".encode()


class Reserved:
    """A file beside the login's, mode 0600, with room for a new login; it becomes the login's file in one step.

    Args:
        file: The login's. The new one belongs to the same user, where NanoKimi is root.
        name: Of the file aside.
        room: How many bytes are put there to see that they can be.

    Raises:
        OSError: There is no room, or no right.
    """

    def __init__(self, file: Path, name: str, room: int = _ROOM) -> None:
        self._file = file
        self.path = file.with_name(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        try:
            self._own()
            _write_all(self._descriptor, b" " * room)
            os.fsync(self._descriptor)
        except BaseException:
            self.drop()
            raise

    def keep(self, data: bytes) -> None:
        """Write the new login here at once, so that it outlives this process; ``become`` does the rest.

        Raises:
            OSError: It can't be written.
        """
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        _write_all(self._descriptor, data)

    def become(self, data: bytes) -> None:
        """Write the new login and put it in the old one's place.

        Raises:
            OSError: It can't be written; the old one is untouched.
        """
        self.keep(data)
        os.ftruncate(self._descriptor, len(data))
        os.fsync(self._descriptor)
        self.path.replace(self._file)
        os.close(self._descriptor)
        self._descriptor = -1
        flush_folder(self._file.parent)

    def drop(self) -> None:
        """Take it away, where it hasn't become the login's file."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        self.path.unlink(missing_ok=True)

    def _own(self) -> None:
        os.fchmod(self._descriptor, 0o600)
        if os.geteuid() == 0:
            status = self._file.lstat()
            os.fchown(self._descriptor, status.st_uid, status.st_gid)


def flush_folder(folder: Path) -> None:
    """See to it that the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
