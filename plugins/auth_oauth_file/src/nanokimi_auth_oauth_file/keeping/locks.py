"""Locks around a refresh: the keeper's own, and those of the agents, taken and left as the agents do it.

Read in the released code of both agents:

- kimi-cli 1.51.0: ``flock`` (exclusive, without waiting) on ``credentials/NAME.lock``, which is made with mode 0600 and
  stays. It tries five times, 1 to 2 seconds apart, and then refreshes without the lock.
- kimi-code 2.1.0 (proper-lockfile 4.1.2): the directory ``oauth/NAME.lock`` in its home. Who makes it holds it, sets
  its mtime to the present every 2.5 seconds, and removes it. One whose mtime is older than 5 seconds is nobody's: it is
  removed and made anew. Who finds it gone, or with an mtime that isn't its own, has lost it and leaves it alone. It
  tries for a minute and then gives up without a refresh. (The empty file ``oauth/NAME`` beside it locks nothing.)

A token is due for the keeper before it is for an agent, so they meet only where the keeper was away.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import anyio

from nanokimi_auth_oauth_file.disk.places import Place

PATIENCE = 30.0
"""Seconds that a lock is waited for."""
_LOOK = 0.1
_STALE = 5.0
_TOUCH = 1.5


class LockHeld(Exception):
    """A lock didn't get free.

    Attributes:
        path: The lock.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(f"another program holds the lock {path}")
        self.path = path


class Lock(Protocol):
    """Something that one program at a time holds."""

    path: Path

    def try_take(self) -> bool:
        """Take it, if it is free.

        Raises:
            OSError: It can't be taken at all: no right, no room.
        """
        ...

    def release(self) -> None:
        """Leave it; nothing happens where it isn't held."""
        ...


class FileLock:
    """A lock by ``flock``: the kernel frees it when its holder dies.

    Args:
        path: Made with mode 0600 where it is missing; never removed, or two could hold it.
        owner: To whom it belongs then; needs root.
    """

    def __init__(self, path: Path, owner: tuple[int, int] | None = None) -> None:
        self.path = path
        self._owner = owner
        self._descriptor: int | None = None

    def try_take(self) -> bool:
        """Take it, if it is free."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Leave it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(FileExistsError):
            descriptor = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            if self._owner is not None:
                os.fchown(descriptor, *self._owner)
            return descriptor
        return os.open(self.path, flags)


class DirectoryLock:
    """kimi-code's lock: a directory that its holder keeps young.

    Args:
        path: The directory; its parent is made where it is missing.
        owner: To whom both belong then; needs root.
        touch: Seconds between two signs of life.

    Attributes:
        lost: Somebody else took it away while it was held, which they do only when this process stood still.
    """

    def __init__(self, path: Path, owner: tuple[int, int] | None = None, touch: float = _TOUCH) -> None:
        self.path = path
        self.lost = False
        self._touch = touch
        self._owner = owner
        self._mtime = 0
        self._done = threading.Event()
        self._keeping: threading.Thread | None = None

    def try_take(self) -> bool:
        """Take it, if it is free or nobody's any more."""
        self._make_parent()
        if not self._make() and not (self._remove_stale() and self._make()):
            return False
        self.lost = False
        self._mtime = self.path.lstat().st_mtime_ns
        self._done.clear()
        # A thread, not a task: what blocks the event loop must not cost the lock.
        self._keeping = threading.Thread(target=self._keep_young, name=f"lock {self.path.name}", daemon=True)
        self._keeping.start()
        return True

    def release(self) -> None:
        """Leave it; one that was lost is somebody else's."""
        if self._keeping is None:
            return
        self._done.set()
        self._keeping.join()
        self._keeping = None
        if self._is_mine():
            with suppress(OSError):
                self.path.rmdir()

    def _make_parent(self) -> None:
        parent = self.path.parent
        if not parent.is_dir():
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._give(parent)

    def _make(self) -> bool:
        try:
            self.path.mkdir()
        except FileExistsError:
            return False
        self._give(self.path)
        return True

    def _give(self, path: Path) -> None:
        if self._owner is None:
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchown(descriptor, *self._owner)
        finally:
            os.close(descriptor)

    def _remove_stale(self) -> bool:
        """Remove a lock that nobody keeps young. Aside first: another taker may have made a new one by now."""
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with suppress(FileNotFoundError):
            if not self._is_stale(self.path):
                return False
            self.path.rename(aside)
            if not self._is_stale(aside):
                aside.rename(self.path)
                return False
            aside.rmdir()
        return True

    def _is_stale(self, path: Path) -> bool:
        return path.lstat().st_mtime < time.time() - _STALE

    def _keep_young(self) -> None:
        while not self._done.wait(self._touch):
            if not self._is_mine():
                return
            with suppress(OSError):
                os.utime(self.path)
                self._mtime = self.path.lstat().st_mtime_ns

    def _is_mine(self) -> bool:
        try:
            self.lost = self.lost or self.path.lstat().st_mtime_ns != self._mtime
        except OSError:
            self.lost = True
        return not self.lost


def agents_locks(place: Place, name: str) -> tuple[Lock, ...]:
    """Give the locks of both agents for a login, in the order in which they are to be taken."""
    owner = None
    if os.geteuid() == 0:
        status = place.credentials.stat()
        owner = (status.st_uid, status.st_gid)
    return (FileLock(place.credentials / f"{name}.lock", owner), DirectoryLock(place.locks / f"{name}.lock", owner))


@asynccontextmanager
async def holding(*locks: Lock, patience: float = PATIENCE) -> AsyncIterator[None]:
    """Hold locks, taken in this order; one that is held by another is waited for.

    Raises:
        LockHeld: One didn't get free in ``patience`` seconds.
        OSError: One can't be taken at all.
    """
    deadline = anyio.current_time() + patience
    try:
        for lock in locks:
            while not lock.try_take():
                if anyio.current_time() >= deadline:
                    raise LockHeld(lock.path)
                await anyio.sleep(_LOOK)
        yield
    finally:
        for lock in reversed(locks):
            lock.release()
