"""One child at a time: two of them with one session would ruin it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_PAUSE = 0.05


class Locked(Exception):
    """Another process holds the lock, and does not let go."""


def hold(path: Path, seconds: float) -> int:
    """Lock a file for as long as this process lives, and give its descriptor; waits this long for another to let go.

    Raises:
        Locked: It didn't.
        OSError: The file can't be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                os.close(descriptor)
                raise Locked(f"another child still uses the session after {seconds:g} seconds") from None
            time.sleep(_PAUSE)
        else:
            return descriptor
