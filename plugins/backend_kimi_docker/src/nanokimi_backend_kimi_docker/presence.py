"""Which processes work with a plugin's folder now: several may, and what a dead one has left behind is removed."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from nanokimi_core import private_folder

_LOCK = "lock"
_UNBORN = "."
_UNBORN_SECONDS = 3600


class Presence:
    """A folder of this process alone, with a lock in it that is held for as long as the process lives.

    Args:
        plugin_folder: Several processes may work with it at once.

    Attributes:
        token: Names the process; the label of its containers.
        folder: What the process has generated; there while it is present.
    """

    def __init__(self, plugin_folder: Path) -> None:
        self.token = secrets.token_hex(8)
        self._all = plugin_folder / "running"
        self.folder = self._all / self.token
        self._lock: int | None = None

    def __enter__(self) -> Presence:
        """Remove the folders of dead processes, and be present.

        Raises:
            OSError: The data folder can't be written.
        """
        private_folder(self._all)
        self._remove_dead()
        # Renamed once it is locked: nobody ever sees the folder of a living process without its lock.
        unborn = private_folder(self._all / f"{_UNBORN}{self.token}")
        self._lock = os.open(unborn / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            unborn.rename(self.folder)
        except OSError:
            self._leave(unborn)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(self.folder)

    def living(self) -> set[str]:
        """Give the tokens of the processes that are present, this one included."""
        return {folder.name for folder in self._folders() if _is_locked(folder)}

    def _leave(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _folders(self) -> list[Path]:
        return [path for path in self._all.iterdir() if path.is_dir() and not path.name.startswith(_UNBORN)]

    def _remove_dead(self) -> None:
        for folder in self._folders():
            if not _is_locked(folder):
                shutil.rmtree(folder, ignore_errors=True)
        for unborn in self._all.glob(f"{_UNBORN}*"):
            with suppress(OSError):
                if time.time() - unborn.stat().st_mtime > _UNBORN_SECONDS:
                    shutil.rmtree(unborn, ignore_errors=True)


def _is_locked(folder: Path) -> bool:
    """Whether somebody holds the folder's lock; looked at with a shared one, so that two may look at once."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
