"""What a restart knows of logins by code."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nanokimi_core.conversation.accounts.login_notes import LoginNotes, Note
from nanokimi_core.store import StoreError
from nanokimi_core.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

LOG = logging.getLogger("nanokimi.test")
WAITING = Note(True, True, 2, ("login-1-0",))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Full(SqliteStore):
    """A store that takes no notes."""

    async def set(self, name: str, value: str | None) -> None:
        raise StoreError("the disk is full")


@asynccontextmanager
async def noting(folder: Path, *accounts: str, store: type[SqliteStore] = SqliteStore) -> AsyncIterator[LoginNotes]:
    async with store(folder / "store.db") as opened:
        notes = LoginNotes(opened, LOG)
        await notes.load(accounts)
        yield notes


async def test_notes_survive_a_restart_and_those_of_accounts_that_are_gone_do_not_count(tmp_path: Path) -> None:
    async with noting(tmp_path, "work", "home") as notes:
        await notes.set("work", WAITING)
        await notes.set("home", Note(False, True))
        await notes.set("old", Note(True, False, 1, ("login-2-0",)))
    async with noting(tmp_path, "work", "home") as notes:
        assert (notes.get("work"), notes.get("old")) == (WAITING, None)
        assert notes.lost == ("work", "home")
        assert notes.keys == ("login-1-0",)
        for name in ("work", "home"):
            await notes.set(name, None)
    async with noting(tmp_path, "work", "home", "old") as notes:
        assert notes.lost == ()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"work": 1}', '{"work": {"waiting": true}}', "null"])
async def test_notes_that_cannot_be_read_are_none(tmp_path: Path, text: str) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        await store.set("logins", text)
    async with noting(tmp_path, "work") as notes:
        assert notes.get("work") is None


async def test_a_note_that_cannot_be_written_is_logged_and_holds_until_the_process_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with noting(tmp_path, "work", store=Full) as notes:
        await notes.set("work", WAITING)
        assert notes.get("work") == WAITING
    assert "the login for work can't be noted: the disk is full" in caplog.text
    assert json.dumps("login-1-0") not in caplog.text
