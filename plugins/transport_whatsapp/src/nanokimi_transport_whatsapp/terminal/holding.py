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


class Held:
    """The session, in a command's hands.

    Args:
        places: Of the instance.
        taken: Whether a transport had a child when the command came.
    """

    def __init__(self, places: Places, *, taken: bool) -> None:
        self._places = places
        self._taken = taken
        self._earliest = datetime.now(UTC) - timedelta(seconds=_LOOK_SECONDS)

    def by_transport(self, seconds: float = 0) -> bool:
        """Whether a running transport has given it up for this, and takes it back afterwards.

        Args:
            seconds: How long to wait for a transport without a child to notice: ``NOTICED_SECONDS``.
        """
        deadline = time.monotonic() + seconds
        while not self._taken and not self._is_noticed():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _is_noticed(self) -> bool:
        standing = read_standing(self._places)
        return standing is not None and standing.state == "held" and standing.since >= self._earliest


@contextmanager
def session_held(places: Places, name: str) -> Iterator[Held]:
    """Take the session, also from a running transport, which ends its child for that long.

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
        yield Held(places, taken=_wait_for_child(places, name))
    finally:
        os.close(descriptor)


def in_use(places: Places) -> bool:
    """Whether a child has the session now."""
    return _is_locked(places.child_lock)


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
