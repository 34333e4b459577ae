"""A store for each test. Another form of the store runs the same tests with another ``opening``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nanokimi_core.store import Store
from nanokimi_core.store.sqlite import SqliteStore
from store.making import Clock, Opening, Stores


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.db"


@pytest.fixture
def opening(path: Path, clock: Clock) -> Opening:
    def opened(**given: Any) -> SqliteStore:
        return SqliteStore(path, **{"clock": clock, **given})

    return opened


@pytest.fixture
async def store(opening: Opening, anyio_backend: str) -> Stores:
    async with opening() as entered:
        yield entered


def conforms(store: SqliteStore) -> Store:
    """mypy sees here that it is one."""
    return store
