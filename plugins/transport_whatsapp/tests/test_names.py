"""A chat and a person are the same ones for ever, whichever of their names an event tells."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from nanokimi_core import NotAccepted
from nanokimi_transport_whatsapp.names import Known, Names, bare

pytestmark = pytest.mark.anyio

LID, PN = "100@lid", "1100@s.whatsapp.net"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "names.db"


async def test_the_hidden_id_is_canonical_and_the_number_its_alias_whichever_comes_first(path: Path) -> None:
    async with Names(path) as names:
        known = Known(LID, frozenset({PN}))
        assert await names.learn(LID, PN) == known
        assert await names.learn(PN) == known
        assert await names.learn("200@lid") == Known("200@lid")
        assert await names.learn("1300@s.whatsapp.net", "300@lid") == Known(
            "300@lid", frozenset({"1300@s.whatsapp.net"})
        )


async def test_who_was_first_known_by_the_number_alone_keeps_it_over_a_restart(path: Path) -> None:
    async with Names(path) as names:
        assert await names.learn(PN) == Known(PN)
        assert await names.learn(LID, PN) == Known(PN, frozenset({LID}))
    async with Names(path) as names:
        assert await names.learn(LID) == Known(PN, frozenset({LID}))
        assert await names.find(LID) == Known(PN, frozenset({LID}))


@pytest.mark.parametrize(("first", "second"), [(LID, PN), (PN, LID)])
async def test_two_who_turn_out_to_be_one_go_on_as_the_one_that_was_there_first(
    path: Path, first: str, second: str
) -> None:
    async with Names(path) as names:
        await names.learn(first)
        await names.learn(second)
        one = Known(first, frozenset({second}))
        assert await names.learn(LID, PN) == one
        assert await names.find(first) == await names.find(second) == one


async def test_devices_are_no_part_of_a_name_and_groups_have_one(path: Path) -> None:
    async with Names(path) as names:
        assert await names.learn("100:17@lid", "1100.0:17@s.whatsapp.net") == Known(LID, frozenset({PN}))
        assert await names.learn("12036-45@g.us", PN) == Known("12036-45@g.us")
    assert bare("status@broadcast") == "status@broadcast"


async def test_somebody_who_is_only_looked_up_is_not_noted(path: Path) -> None:
    async with Names(path) as names:
        assert await names.find(PN) == Known(PN)
        assert await names.learn(LID, PN) == Known(LID, frozenset({PN}))


async def test_of_too_many_those_are_forgotten_who_were_silent_longest_but_nobody_with_a_chat(path: Path) -> None:
    clock = itertools.count(1)
    async with Names(path, most=5, clock=lambda: next(clock)) as names:
        await names.note_chat("1@s.whatsapp.net")
        for number in range(1, 30):
            await names.learn(f"{number}@s.whatsapp.net")
    async with Names(path) as names:  # nothing in memory
        for number, canonical in ((1, "1@s.whatsapp.net"), (2, "102@lid"), (29, "29@s.whatsapp.net")):
            assert (await names.learn(f"{100 + number}@lid", f"{number}@s.whatsapp.net")).name == canonical
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT count(*) FROM names").fetchone()[0] <= 14


async def test_of_too_many_chats_those_are_forgotten_that_were_silent_longest(path: Path) -> None:
    clock = itertools.count(1)
    async with Names(path, most=5, clock=lambda: next(clock)) as names:
        for number in range(20):
            await names.note_chat(f"{number}@g.us")
    async with Names(path) as names:
        assert [number for number in range(20) if await names.has_written(f"{number}@g.us")] == [15, 16, 17, 18, 19]


async def test_a_chat_that_has_written_stays_one_over_a_restart(path: Path) -> None:
    async with Names(path) as names:
        assert not await names.has_written(LID)
        await names.note_chat(LID)
        assert await names.has_written(LID)
    async with Names(path) as names:
        assert await names.has_written(LID)
        assert not await names.has_written(PN)


async def test_what_can_not_be_kept_is_not_accepted_and_said_once_for_each_trouble(path: Path) -> None:
    names = Names(path)
    for told in (1, 2):  # it was mended meanwhile
        await anyio.Path(path).mkdir()
        for _ in range(2):
            with pytest.raises(NotAccepted, match=r"names\.db: .*; make room"):
                async with names:
                    pass
        assert [news.key for news in names.news] == ["names"] * told
        await anyio.Path(path).rmdir()
        async with names:
            await names.note_chat(f"{told}@lid")
        await anyio.Path(path).unlink()
    async with names:
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE chats")
        with pytest.raises(NotAccepted):
            await names.note_chat(LID)
    assert [("no such table" in news.text) for news in names.news] == [False, False, True]
    with pytest.raises(NotAccepted, match="isn't open"):  # nobody's trouble
        await names.note_chat(LID)
    assert len(names.news) == 3


async def test_a_damaged_file_is_set_aside_and_another_begun(path: Path) -> None:
    junk = b"no database at all, " * 100
    for number in range(5):
        await anyio.Path(f"{path}.damaged-2020010{number}-000000").touch()
    await anyio.Path(path).write_bytes(junk)
    names = Names(path)
    async with names:
        assert await names.learn(LID, PN) == Known(LID, frozenset({PN}))
    aside = sorted(path.parent.glob("names.db.damaged-*"))
    assert len(aside) == 3
    assert aside[-1].read_bytes() == junk
    (news,) = names.news
    assert news.key == "names damaged"
    assert f"set aside as {aside[-1].name}: who is who is learnt again" in news.text
    async with names:
        assert await names.find(PN) == Known(LID, frozenset({PN}))
    assert len(names.news) == 1


async def test_a_file_that_is_damaged_within_is_noticed_when_it_is_opened(path: Path) -> None:
    async with Names(path) as names:
        for number in range(200):
            await names.note_chat(f"{number}@g.us")
    whole = await anyio.Path(path).read_bytes()
    await anyio.Path(path).write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    names = Names(path)
    async with names:
        assert [news.key for news in names.news] == ["names damaged"]
        assert not await names.has_written("1@g.us")


async def test_damage_while_it_is_open_loses_nobody_who_was_heard_meanwhile(path: Path) -> None:
    async with Names(path) as names:
        await names.learn(PN)
        assert (await names.learn(LID, PN)).name == PN
        await names.note_chat(PN)
        await anyio.Path(path).write_bytes(b"no database at all, " * 1000)
        assert await names.learn("200@lid") == Known("200@lid")
        assert [news.key for news in names.news] == ["names damaged"]
    async with Names(path) as names:
        assert await names.find(LID) == Known(PN, frozenset({LID}))
        assert await names.has_written(PN)


async def test_only_its_owner_can_read_it(path: Path) -> None:
    async with Names(path) as names:
        await names.learn(LID, PN)
    assert (await anyio.Path(path).stat()).st_mode & 0o077 == 0
