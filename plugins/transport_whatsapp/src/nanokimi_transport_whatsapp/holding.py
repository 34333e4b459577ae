"""Having an instance's session for a command, also beside a running transport, which gives it up for that long."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nanokimi_core import CommandError
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.standing import read_standing

GIVEN_UP_SECONDS = 20.0
"""How long a running transport may take to end its child."""

NOTICED_SECONDS = 4.0
"""Within what time a running transport notices that a command holds the session; it looks each second."""

_LOOK_SECONDS = 0.1
_LOOKS = 10


@contextmanager
def session_held(places: Places, name: str) -> Iterator[bool]:
    """Take the session; gives whether a running transport has given it up for this, and takes it back afterwards.

    Args:
        places: Of the instance.
        name: The instance's, for sentences.

    Raises:
        CommandError: Another command has it, or the running transport doesn't give it up.
    """
    descriptor = os.open(places.command_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked_soon(descriptor):
            raise CommandError(f"another nanokimi {name} command is at work", remedy="wait until it has ended")
        yield _wait_for_child(places, name)
    finally:
        os.close(descriptor)


def in_use(places: Places) -> bool:
    """Whether a child has the session now."""
    return _is_locked(places.child_lock)


def transport_lets_go(places: Places, seconds: float = NOTICED_SECONDS) -> bool:
    """Whether a running transport without a child has noticed that the session is held; call it while it is."""
    deadline = time.monotonic() + seconds
    earliest = datetime.now(UTC) - timedelta(seconds=NOTICED_SECONDS)
    while time.monotonic() < deadline:
        standing = read_standing(places)
        if standing is not None and standing.state == "held" and standing.since >= earliest:
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def _wait_for_child(places: Places, name: str) -> bool:
    if not in_use(places):
        return False
    deadline = time.monotonic() + GIVEN_UP_SECONDS
    while in_use(places):
        if time.monotonic() > deadline:
            said = f"the running nanokimi has not given {name} up within {GIVEN_UP_SECONDS:g} s"
            raise CommandError(said, remedy="stop it, and try again")
        time.sleep(_LOOK_SECONDS)
    return True


def _is_locked(path: Path) -> bool:
    """Look without holding it for longer than it takes to look."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked_soon(descriptor: int) -> bool:
    """Take a lock; the transport has it for a moment each time that it looks."""
    for _ in range(_LOOKS):
        if _lock(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(_LOOK_SECONDS / 2)
    return False


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
