"""How somebody becomes the owner, and whom the assistant obeys."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import Inbound
from nanokimi_core.config import Settings
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.conversation.ownership import Ownership
from nanokimi_core.store import StoreError
from nanokimi_core.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

LOG = logging.getLogger("nanokimi.test")
WELCOME = phrase("en", "owner_welcome")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def started(folder: Path, **toml: Any) -> AsyncIterator[Ownership]:
    """One start of the assistant on a folder."""
    async with SqliteStore(folder / "store.db") as store:
        yield await knowing(store, **toml)


async def knowing(store: SqliteStore, **toml: Any) -> Ownership:
    settings = Settings.model_validate(toml)
    ownership = Ownership(lambda: settings, store, log=LOG)
    await ownership.load()
    return ownership


def said(text: str = "hello", chat: str = "ana-lid", number: str = "1", **more: Any) -> Inbound:
    return Inbound(number, chat, more.pop("sender", chat), text, **more)


def offered(ownership: Ownership) -> str:
    code = ownership.offer()
    assert code is not None
    return code


def contents(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.iterdir()]


async def claim(ownership: Ownership, text: str, **more: Any) -> str | None:
    return await ownership.claimed_by("net", said(text, **more), "en")


async def test_the_code_makes_its_sender_the_owner_for_good(tmp_path: Path) -> None:
    async with started(tmp_path) as ownership:
        assert ownership.chat() is None
        assert not ownership.is_owner("net", said())
        assert await claim(ownership, f"/owner {offered(ownership)}") == WELCOME
        assert ownership.chat() == "net:ana-lid"
        assert ownership.is_owner("net", said())
    async with started(tmp_path) as ownership:
        assert ownership.chat() == "net:ana-lid"
        assert ownership.is_owner("net", said())
        assert ownership.offer() is None


@pytest.mark.parametrize("write", ["/owner {}", "/OWNER {}", "  /owner\n{} ", "\u200e/owner {}", "/owner: {}."])
@pytest.mark.parametrize(
    "spell", [str, str.lower, lambda code: code.replace("-", ""), lambda code: code.replace("-", " \u2013 ")]
)
async def test_a_code_may_be_typed_as_people_type(tmp_path: Path, write: str, spell: Callable[[str], str]) -> None:
    async with started(tmp_path) as ownership:
        assert await claim(ownership, write.format(spell(offered(ownership)))) == WELCOME


async def test_a_code_works_once(tmp_path: Path) -> None:
    async with started(tmp_path) as ownership:
        code = offered(ownership)
        assert await claim(ownership, f"/owner {code}") == WELCOME
        assert await claim(ownership, f"/owner {code}", chat="eve", number="2") is None
        assert ownership.chat() == "net:ana-lid"


async def test_two_who_send_the_right_code_at_once_are_not_both_owners(tmp_path: Path) -> None:
    async with started(tmp_path) as ownership:
        code, welcomed = offered(ownership), []

        async def send(chat: str) -> None:
            if await claim(ownership, f"/owner {code}", chat=chat):
                welcomed.append(chat)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, "ana")
            tasks.start_soon(send, "eve")
        assert len(welcomed) == 1
        assert ownership.chat() == f"net:{welcomed[0]}"


async def test_five_wrong_codes_in_all_make_it_void_until_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(tmp_path) as ownership:
        code = offered(ownership)
        for number in range(4):
            assert await claim(ownership, "/owner AAAA-AAAA", chat=f"eve{number}", number=str(number)) is None
        assert not caplog.records
        await claim(ownership, "/owner CCCC-CCCC", chat="mallory")
        assert "Five wrong codes" in caplog.text
        assert await claim(ownership, f"/owner {code}") is None
        assert ownership.offer() is None
    async with started(tmp_path) as ownership:
        assert await claim(ownership, f"/owner {offered(ownership)}") == WELCOME


async def test_four_wrong_codes_still_leave_the_right_one_good_and_redelivery_counts_once(tmp_path: Path) -> None:
    async with started(tmp_path) as ownership:
        code = offered(ownership)
        for number in range(4):
            for _ in range(5):
                await claim(ownership, "/owner AAAA-AAAA", number=str(number))
        assert await claim(ownership, f"/owner {code}") == WELCOME


async def test_what_has_no_code_or_stands_in_a_group_costs_no_try(tmp_path: Path) -> None:
    async with started(tmp_path) as ownership:
        code = offered(ownership)
        for number in range(9):
            await claim(ownership, "/owner", number=str(number))
            await claim(ownership, "/owner AAAA-AAAA", number=str(number), kind="group")
            await claim(ownership, "/owner AAAA-AAAA", number=str(number), event="edit", target="x")
        assert await claim(ownership, f"/owner {code}") == WELCOME


@pytest.mark.parametrize("where", [{"kind": "group"}, {"from_me": True}, {"kind": "group", "from_me": True}])
async def test_the_right_code_where_others_read_it_makes_nobody_owner_and_is_void(
    tmp_path: Path, where: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with started(tmp_path) as ownership:
        code = offered(ownership)
        assert await claim(ownership, f"/owner {code}", **where) is None
        assert await claim(ownership, f"/owner {code}", number="2") is None
        assert ownership.chat() is None
        assert "it is void" in caplog.text
        assert code not in caplog.text


async def test_the_owner_may_claim_in_the_chat_with_themselves(tmp_path: Path) -> None:
    async with started(tmp_path) as ownership:
        mine: dict[str, Any] = {"kind": "self", "from_me": True, "chat": "me"}
        assert await claim(ownership, f"/owner {offered(ownership)}", **mine) == WELCOME
        assert ownership.is_owner("net", said(**mine))


async def test_an_owner_is_a_chat_and_a_person_under_any_of_their_names(tmp_path: Path) -> None:
    async with started(tmp_path) as ownership:
        names: dict[str, Any] = {"chat_aliases": frozenset({"ana-49"}), "sender_aliases": frozenset({"ana-49"})}
        await claim(ownership, f"/owner {offered(ownership)}", **names)
        assert ownership.is_owner("net", said(chat="ana-49"))
        assert ownership.is_owner("net", said(chat="new-lid", **names))
        assert not ownership.is_owner("other", said())
        assert not ownership.is_owner("net", said(sender="eve"))
        assert not ownership.is_owner("net", said(chat="elsewhere", sender="ana-lid"))


@pytest.mark.parametrize("toml", [{"owner": "net:ana-lid"}, {}])
async def test_no_group_and_nothing_from_the_assistants_own_account_is_obeyed(
    tmp_path: Path, toml: dict[str, Any]
) -> None:
    async with started(tmp_path, **toml) as ownership:
        if not toml:
            await claim(ownership, f"/owner {offered(ownership)}")
        assert ownership.is_owner("net", said())
        assert not ownership.is_owner("net", said(kind="group"))
        assert not ownership.is_owner("net", said(from_me=True))
        assert not ownership.is_owner("net", said(kind="group", from_me=True))
        assert ownership.is_owner("net", said(kind="self", from_me=True))


async def test_the_tomls_owner_wins_over_the_one_who_sent_a_code(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        ownership = await knowing(store)
        await claim(ownership, f"/owner {offered(ownership)}")
        ownership = await knowing(store, owner="net:bob")
        assert ownership.chat() == "net:bob"
        assert ownership.is_owner("net", said(chat="x", sender="bob", chat_aliases=frozenset({"bob"})))
        assert not ownership.is_owner("net", said())
        assert ownership.offer() is None


async def test_a_code_is_worth_nothing_once_the_toml_names_an_owner(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        settings = Settings()
        ownership = Ownership(lambda: settings, store, log=LOG)
        code = offered(ownership)
        settings = Settings(owner="net:bob")
        assert await claim(ownership, f"/owner {code}") is None
        assert await store.get("owner") is None


async def test_the_console_is_the_owners_unless_another_plugin_bears_its_name(tmp_path: Path) -> None:
    async with started(tmp_path, owner="net:bob") as ownership:
        assert ownership.is_owner("console", said())
        assert not ownership.is_owner("console2", said())
    async with started(tmp_path, owner="net:bob", plugins={"console": {"use": "whatsapp"}}) as ownership:
        assert not ownership.is_owner("console", said())


@pytest.mark.parametrize(
    ("text", "is_claim"),
    [
        ("/owner ABCD-EFGH", True),
        ("/Owner", True),
        (" \u200f/owner x", True),
        ("/owner\nx", True),
        ("/owner,x", True),
        ("/owners", False),
        ("hello /owner", False),
        ("owner", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("event", ["message", "edit"])
def test_whatever_looks_like_a_claim_is_taken_for_one(text: str, is_claim: bool, event: Any) -> None:
    assert Ownership.is_claim(said(text, event=event)) is is_claim


async def test_the_code_is_kept_nowhere_and_every_start_has_another(tmp_path: Path) -> None:
    async with started(tmp_path) as ownership:
        codes = {offered(ownership) for _ in range(50)}
        assert len(codes) == 50
        last = offered(ownership)
        assert last not in repr(vars(ownership))
        assert last.replace("-", "") not in repr(vars(ownership))
        assert all(len(half) == 4 for half in last.split("-"))
        assert not set(last) & set("0O1IL5S8B2ZUV")
        await claim(ownership, f"/owner {codes.pop()}")
        assert ownership.chat() is None
    for file in contents(tmp_path):
        assert last.encode() not in file


async def test_a_code_stays_good_when_the_disk_refuses_the_owner(tmp_path: Path) -> None:
    class Full(SqliteStore):
        full = True

        async def set(self, name: str, value: str | None) -> None:
            if self.full:
                raise StoreError("the disk is full")
            await super().set(name, value)

    store = Full(tmp_path / "store.db")
    async with store:
        ownership = await knowing(store)
        code = offered(ownership)
        with pytest.raises(StoreError):
            await claim(ownership, f"/owner {code}")
        assert ownership.chat() is None
        store.full = False
        assert await claim(ownership, f"/owner {code}") == WELCOME


@pytest.mark.parametrize(
    "note",
    [
        "{",
        "[]",
        "{}",
        '{"chats": 1}',
        '{"chats": [], "senders": ["a"]}',
        '{"chats": ["net:a"], "senders": []}',
        '{"chats": [1], "senders": [2]}',
        '{"chats": [""], "senders": [""]}',
    ],
)
async def test_a_damaged_note_makes_nobody_the_owner_and_is_reported(
    tmp_path: Path, note: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        await store.set("owner", note)
        ownership = await knowing(store)
        assert ownership.chat() is None
        assert "who the owner is can't be read" in caplog.text
        assert await claim(ownership, f"/owner {offered(ownership)}") == WELCOME


async def test_the_owner_of_before_stays_when_messages_lack_an_alias(tmp_path: Path) -> None:
    async with started(tmp_path) as ownership:
        message = replace(said(f"/owner {offered(ownership)}"), chat_aliases=frozenset({"b"}))
        assert await ownership.claimed_by("net", message, "es") == phrase("es", "owner_welcome")
        assert ownership.is_owner("net", said())
