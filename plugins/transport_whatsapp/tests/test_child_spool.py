"""What is spooled is brought, in order, and nothing that goes wrong loses it."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from child_rig import ChildRig, Rigs, rigs
from scripted_engine import Hang, event, text

from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.child.database import Database, Result, Work
from nanokimi_transport_whatsapp.child.ledger import Ledger
from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.child.spool import Spool
from nanokimi_transport_whatsapp.engine import EngineError
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.values import Brought, Link, Media, Send, Unsupported, Who
from nanokimi_transport_whatsapp.wire import LONGEST_LINE

ANN, BOB = "1000000002@lid", "1000000003@lid"
PHOTO = Media(what="image", media_type="image/png", caption="look", size=8)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Rigs]:
    with rigs(tmp_path) as made:
        yield made


def opened(made: Rigs, **more: Any) -> ChildRig:
    before = len(made.network.called("open"))
    child = made.start(**more)
    made.network.wait_called("open", before + 1)
    made.network.link(Link(state="connected"))
    child.expect(Link, state="connected")
    return child


def say(chat: str, *words: str) -> list[bytes]:
    return [event(text(chat, f"{chat}-{word[:9]}", word)) for word in words]


def rows(made: Rigs, query: str) -> list[Any]:
    with closing(sqlite3.connect(made.folder / "spool.db")) as connection:
        return connection.execute(query).fetchall()


def hang(_: dict[str, Any]) -> None:
    raise Hang


def test_a_chat_stays_in_order_and_does_not_wait_for_another(made: Rigs) -> None:
    made.network.scripts["fetch"] = hang
    child = opened(made)
    photo = event(text(ANN, "A1", "", content=PHOTO), media="handle")
    made.network.bring(photo, *say(ANN, "two", "three"), *say(BOB, "one", "two"))
    child.expect(Brought, 2)
    made.network.wait_called("fetch")
    assert [one.message.chat.id for one in child.all(Brought)] == [BOB, BOB]
    made.network.release()
    brought = child.expect(Brought, 5)
    assert child.texts() == ["one", "two", "", "two", "three"]
    child.kill()

    made.network.scripts.clear()
    child = opened(made)
    made.network.bring(*say(ANN, "four"))
    again = [one for one in child.expect(Brought, 6) if one.message.chat.id == ANN]
    assert [getattr(one.message.content, "text", "") for one in again] == ["", "two", "three", "four"]
    assert {one.number for one in brought} < {one.number for one in child.all(Brought)}


def test_a_chat_with_two_names_is_one_chat(made: Rigs) -> None:
    made.network.scripts["fetch"] = hang
    child = opened(made)
    phone = "15550002@s.whatsapp.net"
    both = {"id": phone, "alias": ANN}
    photo = event(text(ANN, "A1", "", content=PHOTO), media="handle")
    made.network.bring(photo, event(text(ANN, "A2", "after", who=both)), *say(BOB, "one"))
    child.expect(Brought)
    assert child.texts() == ["one"]
    made.network.release()
    child.expect(Brought, 3)
    assert child.texts() == ["one", "", "after"]


def test_only_so_many_wait_for_the_transport_and_the_next_come_when_some_are_done(made: Rigs) -> None:
    child = opened(made, limits={"window": 5})
    made.network.bring(*(event(text(f"{number}@lid", f"A{number}", "x")) for number in range(12)))
    child.expect(Brought, 5)
    child.figures(spooled=12)
    assert len(child.all(Brought)) == 5
    child.done(*child.all(Brought)[:2])
    child.expect(Brought, 7)
    child.figures(spooled=10)
    assert len(child.all(Brought)) == 7


def test_events_without_a_message_are_dropped_and_those_that_cannot_be_read_are_put_aside(made: Rigs) -> None:
    child = opened(made, limits={"unreadable": 2})
    faults = [event(None, fault="raise")] * 3
    made.network.bring(event(None), *faults, *say(ANN, "after", "x" * LONGEST_LINE))
    content = child.expect(Brought, 2)[1].message.content
    assert isinstance(content, Unsupported)
    assert content.what.startswith("a message of 4194")
    child.figures(spooled=2, unreadable=3)
    assert rows(made, "SELECT reason FROM unreadable") == [("KeyError",)] * 2
    assert "event 2 can't be read (KeyError): it was put aside" in child.log.read_text()


def test_an_event_that_kills_the_process_when_it_is_read_is_put_aside_at_last(made: Rigs) -> None:
    child = opened(made, limits={"read_deaths": 2})
    made.network.bring(event(None, fault="abort"))
    assert child.ended() == -signal.SIGABRT
    assert made.start(limits={"read_deaths": 2}).ended() == -signal.SIGABRT
    opens = len(made.network.called("open"))
    child = made.start(limits={"read_deaths": 2})
    child.figures(unreadable=1)
    made.network.wait_called("open", opens + 1)
    made.network.bring(*say(ANN, "after"))
    child.expect(Brought)
    assert child.texts() == ["after"]


@pytest.mark.parametrize("damage", ["head", "middle", "cut"])
def test_a_damaged_spool_is_set_aside_and_another_begun(made: Rigs, damage: str) -> None:
    child = opened(made)
    made.network.bring(*say(ANN, "one"))
    (first,) = child.expect(Brought)
    child.stop()
    with closing(sqlite3.connect(child.places.spool)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with child.places.spool.open("r+b") as file:
        if damage == "cut":
            file.truncate(50)
        file.seek(0 if damage == "head" else 4096)
        file.write(b"?" * 4096 * 3)
    if damage == "cut":
        os.truncate(child.places.spool, 50)

    child = made.start()
    (link,) = child.expect(Link, state="damaged")
    (aside,) = made.folder.glob("spool.db.damaged-*[0-9]")
    assert link.said.startswith("the spool was damaged")
    assert link.said.endswith(f"was set aside as {aside.name}; what waited in it was not handed over")
    made.network.wait_called("open", 2)
    made.network.bring(*say(ANN, "two"))
    (second,) = child.expect(Brought)
    assert second.number > first.number + 1000  # a late Done for an old number means no new message
    child.done(second)
    child.figures(spooled=0)


def test_damage_that_is_found_while_it_runs_is_met_with_a_fresh_file(tmp_path: Path) -> None:
    said: list[str] = []
    database = Database(tmp_path / "spool.db", Limits(), trouble=said.append, damaged=said.append)
    database.once(lambda connection: connection.execute("INSERT INTO events (raw) VALUES (x'00')"))
    found: list[int] = []

    def count(connection: sqlite3.Connection) -> int:
        (number,) = connection.execute("SELECT count(*) FROM events").fetchone()
        found.append(number)
        if number:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return int(number)

    assert database.patiently(count) == 0
    assert found == [1, 0]
    assert len(said) == 1
    assert len(list(tmp_path.glob("spool.db.damaged-*[0-9]"))) == 1
    database.close()


def limit_files(child: ChildRig, size: int | None) -> None:
    """Let the child's files grow to this size only: for SQLite that is a full disk."""
    hard = resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def test_a_full_disk_holds_the_library_up_and_loses_nothing(made: Rigs) -> None:
    child = opened(made, limits={"disk_pauses": [0.02, 0.1]})
    limit_files(child, 1)
    made.network.bring(*say(ANN, "one", "two"))
    assert child.expect(Link, state="disk")[0].said == "the disk gives errors, or is full"
    child.tell(Send(request=1, key="k", chat=ANN, text="not now"))
    assert child.answer(1).error == "later"
    assert made.network.kept == []
    limit_files(child, None)
    child.expect(Brought, 2)
    child.expect(Link, 2, state="connected")
    assert child.texts() == ["one", "two"]
    assert made.network.called("send") == []


def test_a_full_spool_closes_the_connection_and_is_handed_over_before_the_next(made: Rigs) -> None:
    child = opened(made, spool_limit=10)
    made.network.bring(*say(ANN, *"0123456789"))
    made.network.wait_called("close")
    assert child.expect(Link, state="full")[0].said == "10 messages wait to be delivered"
    child.done(*child.expect(Brought, 10))
    assert child.ended() == exits.FULL

    child = opened(made, spool_limit=10)
    made.network.bring(*say(BOB, *"012345"))
    child.expect(Brought, 6)
    child.kill()
    child = made.start(spool_limit=10)
    brought = child.expect(Brought, 6)
    assert len(made.network.called("open")) == 2
    child.done(brought[0])
    made.network.wait_called("open", 3)


def test_a_full_spool_of_files_that_need_a_connection_is_begun_anew(made: Rigs) -> None:
    def fetch(_: dict[str, Any]) -> str:
        if len(made.network.called("open")) < 2:
            raise EngineError("away", "not connected")
        return ""

    made.network.scripts["fetch"] = fetch
    limits = {"stall_seconds": 0.2}
    child = opened(made, spool_limit=10, limits=limits)
    made.network.link(Link(state="disconnected"))
    child.expect(Link, state="disconnected")
    photos = [event(text(ANN, f"A{number}", "", content=PHOTO), media="handle") for number in range(10)]
    made.network.bring(*photos)
    assert child.ended() == exits.FULL
    assert child.all(Brought) == []
    child = opened(made, spool_limit=10, limits=limits)
    child.done(*child.expect(Brought, 10))
    child.figures(spooled=0)


def test_without_connecting_what_is_spooled_is_handed_over(made: Rigs) -> None:
    child = opened(made)
    made.network.bring(*say(ANN, "one"))
    child.expect(Brought)
    child.kill()
    child = made.start(connect=False)
    child.done(*child.expect(Brought))
    child.figures(spooled=0)
    assert len(made.network.called("open")) == 1


def test_people_are_brought_with_both_names_where_the_session_knows_them(made: Rigs) -> None:
    phone = "15550002@s.whatsapp.net"
    failures = [EngineError("away", "not connected"), RuntimeError("nil pointer")]

    def other_name(call: dict[str, Any]) -> str:
        if failures:
            raise failures.pop()
        return phone if call["who"] == ANN else ""

    made.network.scripts["other_name"] = other_name
    child = opened(made)
    group = text("1@g.us", "G1", "one", sender=Who(id=ANN), chat_kind="group")
    made.network.bring(*[event(group)] * 4, *say(BOB, "two", "three"))
    brought = child.expect(Brought, 6)
    aliases = [one.message.sender.alias for one in brought if one.message.chat_kind == "group"]
    assert aliases == ["", "", phone, phone]
    assert {one.message.chat.alias for one in brought} == {""}
    assert [call["who"] for call in made.network.called("other_name")] == [ANN, ANN, ANN, BOB]


def test_the_spool_is_bounded_by_size_as_well_as_by_count(tmp_path: Path) -> None:
    limits = Limits(spool_bytes=1000)
    database = Database(tmp_path / "spool.db", limits, trouble=print, damaged=print)
    with closing(Spool(database, Places(tmp_path), 10, limits)) as spool:
        spool.begin()
        spool.add(b"x" * 600)
        assert (spool.half_full, spool.full) == (True, False)
        spool.add(b"x" * 400)
        assert spool.full
        spool.drop([1])
        assert (spool.half_full, spool.full, spool.waiting) == (False, False, 1)
        for _ in range(9):
            spool.add(b"x")
        assert spool.full
    database.close()


class Noting(Database):
    """A database that notes with which ``PRAGMA synchronous`` each transaction was committed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Limits(), trouble=print, damaged=print)
        self.modes: list[int] = []

    def once(self, work: Work[Result], *, lasting: bool = True) -> Result:
        def noted(connection: sqlite3.Connection) -> Result:
            self.modes.append(connection.execute("PRAGMA synchronous").fetchone()[0])
            return work(connection)

        return super().once(noted, lasting=lasting)


def test_what_the_server_believes_delivered_and_what_is_sent_is_flushed_to_the_disk(tmp_path: Path) -> None:
    full, normal = 2, 1
    database = Noting(tmp_path / "spool.db")
    ledger = Ledger(database, Limits())
    with closing(Spool(database, Places(tmp_path), 10, Limits())) as spool:
        spool.begin()
        spool.after(0)
        database.modes.clear()
        spool.add(b"x")
        spool.drop([1])
        spool.add(b"x")
        ledger.find("k")
        ledger.begin("k", again=False)
        ledger.sent("k", "ID", "me")
    assert database.modes == [full, normal, full, normal, full, full]
    database.close()
