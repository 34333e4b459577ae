"""What the owner has granted in chat."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanokimi_core.conversation.grants import Grants
from nanokimi_core.store import StoreError
from nanokimi_core.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_grant_holds_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        grants = Grants(store)
        await grants.load()
        assert grants.of(["net:a"]) is None
        await grants.set("net:a", True)
        await grants.set("net:b", False)
        await grants.set("net:c", True)
        await grants.set("net:c", None)
        await grants.set("net:never", None)
        before = [grants.of([chat]) for chat in ("net:a", "net:b", "net:c")]
    async with SqliteStore(tmp_path / "store.db") as store:
        grants = Grants(store)
        await grants.load()
        assert before == [grants.of([chat]) for chat in ("net:a", "net:b", "net:c")] == [True, False, None]


async def test_a_chat_that_is_shut_out_under_one_name_is_shut_out(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        grants = Grants(store)
        await grants.set("net:lid", True)
        assert grants.of(iter(["net:49", "net:lid"])) is True
        await grants.set("net:49", False)
        assert grants.of(["net:lid", "net:49"]) is False
        assert grants.of([]) is None


async def test_what_is_not_on_disk_is_not_granted(tmp_path: Path) -> None:
    class ReadOnly(SqliteStore):
        async def grant(self, chat: str, granted: bool | None) -> None:
            raise StoreError("the disk is read-only")

    async with ReadOnly(tmp_path / "store.db") as store:
        grants = Grants(store)
        with pytest.raises(StoreError):
            await grants.set("net:a", True)
        assert grants.of(["net:a"]) is None
