"""How the keeper stands, for the process that it runs in and for others: a small file without secrets."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from nanokimi_core import write_private

Kind = Literal["", "login_needed", "away", "denied", "unwritable", "locked", "unsaved"]

_FILE = "keeper.json"
_REFRESHED = "refreshed.json"
_LARGEST = 65_536
_KINDS: tuple[Kind, ...] = ("", "login_needed", "away", "denied", "unwritable", "locked", "unsaved")


@dataclass(frozen=True)
class KeeperState:
    """How the keeper stands.

    Attributes:
        kind: What is wrong. ``login_needed``: a person must log in. ``away``: the login server can't be reached or is
            busy. ``denied``: it refuses these requests, not the login. ``unwritable``: the login's folder can't be
            written, so nothing is sent. ``locked``: another program holds a lock. ``unsaved``: the new login is in
            memory only. Empty where all is well.
        cause: What was seen; no secret.
        remedy: What the owner can do, if anything.
        last_refresh: When a keeper of this instance got new tokens last; not when somebody else did, or by a login.
        next_refresh: When the next is due, or will be tried again.
        failing_since: Since when no refresh has worked.
    """

    kind: Kind = ""
    cause: str = ""
    remedy: str = ""
    last_refresh: datetime | None = None
    next_refresh: datetime | None = None
    failing_since: datetime | None = None


def read_state(folder: Path) -> KeeperState | None:
    """Read what a keeper, maybe of another process, has said of itself; ``None`` where there is nothing to read.

    Args:
        folder: The instance's own.
    """
    found, refreshed = _read(folder / _FILE), _read(folder / _REFRESHED)
    return _state(found | {"last_refresh": refreshed.get("at")}) if found or refreshed else None


def write_state(folder: Path, state: KeeperState) -> None:
    """Write it down, but for ``last_refresh``; a full disk loses the note, and nothing else."""
    said = {field.name: getattr(state, field.name) for field in fields(state) if field.name != "last_refresh"}
    written = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in said.items()}
    _write(folder / _FILE, written)


def note_refresh(folder: Path, at: datetime) -> None:
    """Write down when a keeper has refreshed, by itself: another process's keeper writes its state at any moment."""
    _write(folder / _REFRESHED, {"at": at.isoformat()})


def forget_state(folder: Path) -> None:
    """Forget all that keepers have said: there is another login now."""
    for name in (_FILE, _REFRESHED):
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            found = json.loads(stream.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: Path, content: dict[str, Any]) -> None:
    with suppress(OSError):
        write_private(file, json.dumps(content).encode())


def _state(found: dict[str, Any]) -> KeeperState:
    kind: Kind = next((each for each in _KINDS if each == found.get("kind")), "")
    times = {name: _time(found.get(name)) for name in ("last_refresh", "next_refresh", "failing_since")}
    return KeeperState(kind, str(found.get("cause", "")), str(found.get("remedy", "")), **times)


def _time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)
