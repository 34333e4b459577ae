"""Messages, claims and answers for the tests of a store."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from nanokimi_core.messages import Inbound
from nanokimi_core.store import Arrival, Claim, Outcome, Owed, Role, Store, Work

NET, DESK, DAY = "net", "desk", "2026-11-21"
NOON = 1_795_262_400.0

Opening = Callable[..., AbstractAsyncContextManager[Store]]
"""Opens the same store, also while it is open already: ``alone``, ``lease`` and ``holder`` as in ``SqliteStore``."""

Stores = AsyncIterator[Store]


class Clock:
    """Time that passes when a test says so; seconds since 1970."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def said(id_: str, *, chat: str = DESK, role: Role = Role.TURN, replies: tuple[Owed, ...] = (), **more: Any) -> Arrival:
    """Something that Ann said."""
    given = {"sender": "ann", "text": f"text of {id_}", **more}
    return Arrival(NET, Inbound(id_, chat, **given), role, replies)


def want(turn: str, *, chat: str = DESK, batch: int = 10, context: int = 0, day: str = DAY) -> Claim:
    """A wish for work."""
    return Claim(NET, chat, turn, batch, context, day)


def answer(key: str, *, chat: str = DESK, text: str = "", **more: Any) -> Owed:
    """Something owed."""
    return Owed(key, NET, chat, text or f"text of {key}", **more)


async def waiting(store: Store, *ids: str, role: Role = Role.TURN, chat: str = DESK) -> None:
    """Let messages wait."""
    for id_ in ids:
        outcome, work, _ = await store.accept(said(id_, role=role, chat=chat))
        assert outcome is Outcome.ACCEPTED
        assert work is None


async def taken(store: Store, turn: str, **more: Any) -> Work:
    """Claim work that must be there."""
    work = await store.claim(want(turn, **more))
    assert work is not None
    return work


def ids(work: Work | None) -> list[str]:
    """Name what was claimed."""
    return [row.message.id for row in work.rows] if work else []


def before(work: Work | None) -> list[str]:
    """Name what goes along as context."""
    return [message.id for message in work.context] if work else []


async def assert_sums(store: Store) -> None:
    """The counters add up."""
    now = await store.counters()
    refused = sum(count for name, count in now.items() if name.startswith("refused_"))
    assert now["received"] == now["duplicate"] + refused + now["accepted"], now
    ended = now["context"] + now["answered"] + now["command"] + now["cancelled"] + now["edit"]
    assert now["accepted"] == ended + now["pending"] + now["dead"], now


# ---------------------------------------------------------------------- files, for async tests
def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def size(path: Path) -> int:
    return path.stat().st_size


def modes(folder: Path) -> dict[str, int]:
    return {one.name: stat.S_IMODE(one.stat().st_mode) for one in (folder, *folder.iterdir())}
