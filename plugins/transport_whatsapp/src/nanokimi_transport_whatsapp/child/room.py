"""Whether the disk has room for what comes: without it the library loses messages, so it is closed before that.

The library's own database is what must not be refused: a message whose keys it could not store is asked for again, its
sender's phone sends each a few times only, and then it is gone. With the connection closed WhatsApp's server keeps it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from nanokimi_transport_whatsapp.child.limits import MB, Limits

FreeBytes = Callable[[Path], int | None]
"""Gives how much may still be written to a folder's disk; ``None`` where that isn't known."""


def free_bytes(folder: Path) -> int | None:
    """Ask the file system how many bytes it has left for this user; ``None`` where it doesn't say."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize if found.f_blocks else None


class Room:
    """The disk under some folders. Once it had too little room, and at the start, it must have more than to stay.

    Args:
        folders: Where is written.
        limits: How much must be free.
        free: Looks.
    """

    def __init__(self, folders: tuple[Path, ...], limits: Limits, free: FreeBytes) -> None:
        self._folders, self._limits, self._free = folders, limits, free
        self._is_out = True

    def lacking(self) -> str:
        """Look, and say that there is too little, in words for the owner; empty where there is enough."""
        looked = [(free, folder) for folder in self._folders if (free := self._free(folder)) is not None]
        enough = self._limits.room_to_open if self._is_out else self._limits.room_to_stay
        free, folder = min(looked, default=(enough, Path()))
        self._is_out = free < enough
        if not self._is_out:
            return ""
        until = f"WhatsApp keeps what comes until there are {-(-self._limits.room_to_open // MB)} MB"
        return f"only {free // MB} MB are free on the disk of {folder}: {until}"
