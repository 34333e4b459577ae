"""The transport stays connected: children are begun, watched and ended as the link asks for it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from transport_driver import ME, Child, Driver, driven, message, until

from nanokimi_core import HasTraits, KnowsOwner, ListsMembers, ShowsTyping, TellsState
from nanokimi_transport_whatsapp import Settings, WhatsApp, nanokimi_transports
from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.standing import (
    AccountNote,
    Standing,
    read_note,
    read_standing,
    remove_note,
    write_note,
    write_standing,
)
from nanokimi_transport_whatsapp.supervision import MOST_LOG, ChildProcess, environment
from nanokimi_transport_whatsapp.terminal.holding import session_held
from nanokimi_transport_whatsapp.values import Answer, Figures, Link, Pair, Start, Who

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def standing(driver: Driver) -> Standing:
    found = read_standing(driver.places)
    assert found is not None
    return found


async def test_without_an_account_no_child_is_started_until_one_is_linked(tmp_path: Path) -> None:
    async with driven(tmp_path, number=None, name="home") as driver:
        await until(lambda: driver.places.standing.exists(), "it has looked")
        assert driver.transport.state() == "waits to be linked: run nanokimi home link"
        assert standing(driver).state == "unlinked"
        assert driver.transport.owner_chat() is None
        assert (driver.children, driver.link) == ([], ["away"])
        driver.link_account("own")
        await driver.child()
        assert (driver.transport.owner_chat(), driver.transport.state()) == (ME.id, "")
        remove_note(driver.places)
        await until(lambda: driver.children[0].over, "the child has ended")
        await until(lambda: standing(driver).state == "unlinked", "it waits again")
        assert len(driver.children) == 1


async def test_how_it_stands_lies_on_disk_for_its_owner_alone(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await driver.child()
        await child.say(Figures(spooled=3, held=2, resent=1, unreadable=4))
        await until(lambda: standing(driver).spooled == 3, "the figures are there")
        found = standing(driver)
        assert (found.state, found.me, found.child, found.held, found.resent, found.unreadable) == (
            "connected", ME, child.pid, 2, 1, 4
        )  # fmt: skip
        assert found.is_running
        assert stat.S_IMODE(driver.places.standing.stat().st_mode) == 0o600
        await child.say(Link(state="disconnected"))
        await until(lambda: driver.link[-1] == "away", "it is away")
        await until(lambda: standing(driver).state == "away", "and that is written down")
        assert "tries to get it back" in driver.transport.state()
        await child.connect()
        await until(lambda: driver.link == ["away", "ready", "away", "ready"], "it is back")
        assert len(driver.children) == 1


async def test_a_child_gets_what_the_settings_say_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOONSHOT_API_KEY", "canary-1")
    monkeypatch.setenv("SOME_TOKEN", "canary-2")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("https_proxy", "http://other.test:1")
    table = {"ai_label": False, "proxy": "http://proxy.test:3128", "max_media": 2, "device": "Garden", "resend": "hold"}
    async with driven(tmp_path, table) as driver:
        child = await driver.child()
        assert "canary" not in json.dumps(child.environment)
        assert child.environment["LC_ALL"] == "C.UTF-8"
        assert child.environment["NEONIZE_BOT_TAG"] == "off"
        assert child.environment["HTTPS_PROXY"] == "http://proxy.test:3128"
        assert "https_proxy" not in child.environment
        (start,) = child.told(Start)
        assert (start.folder, start.max_media, start.device, start.resend) == (
            str(tmp_path),
            2 * 2**20,
            "Garden",
            "hold",
        )
        assert os.getsid(child.pid) == child.pid


def test_the_label_stays_unless_it_is_turned_off() -> None:
    assert "NEONIZE_BOT_TAG" not in environment(Settings(), {"PATH": "/bin", "NEONIZE_BOT_TAG": "off"})


@pytest.mark.parametrize("state", ["logged_out", "replaced", "banned", "outdated", "refused", "codes_over"])
async def test_after_a_final_state_nobody_tries_again_until_a_command_was_there(tmp_path: Path, state: Any) -> None:
    async with driven(tmp_path, name="home") as driver:
        child = await driver.child()
        await child.say(Link(state=state, said="because", code=7, seconds=3600))
        await until(lambda: driver.context.told, "the owner is told")
        name = "logged_out" if state == "codes_over" else state
        assert list(driver.context.told) == [name]
        assert driver.link == ["away", "ready", "away"]
        await until(lambda: standing(driver).state == name, "it is written down")
        assert driver.transport.state()
        child.kill()
        await until(lambda: standing(driver).child == 0, "the child is gone")
        assert (read_note(driver.places) is None) == (name == "logged_out")
        with held(driver.places):
            await until(lambda: standing(driver).state == "held", "the command is seen")
            if name == "logged_out":
                driver.link_account()
        await driver.child(1)
        assert standing(driver).until is None
        assert not driver.errors


async def test_the_owner_is_told_of_a_logout_while_their_chat_is_known(tmp_path: Path) -> None:
    async with driven(tmp_path, number="own") as driver:
        chats: list[str | None] = []
        tell = driver.context.tell_owner

        async def tell_owner(key: str, text: str) -> None:
            chats.append(driver.transport.owner_chat())
            await tell(key, text)

        driver.context.tell_owner = tell_owner  # type: ignore[method-assign]
        child = await driver.child()
        await child.say(Link(state="logged_out"))
        await until(lambda: read_note(driver.places) is None, "the note is gone")
        await until(lambda: driver.transport.owner_chat() is None, "the chat isn't known any more")
        assert (list(driver.context.told), chats) == (["logged_out"], [ME.id])


async def test_each_change_of_the_link_is_one_line_of_the_log_and_names_no_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with driven(tmp_path, number=None, name="home") as driver:
        await until(lambda: driver.places.standing.exists(), "it has looked")
        driver.link_account()
        child = await driver.child()
        await child.say(Link(state="replaced"), Link(state="replaced"))
        await until(lambda: driver.context.told, "the owner is told")
        child.kill()
        await until(lambda: standing(driver).child == 0, "the child is gone")
        with held(driver.places):
            await until(lambda: standing(driver).state == "held", "the command is seen")
        child = await driver.child(1)
        await child.say(Link(state="refused", said="who is 491511234567?", code=400))
        await until(lambda: "refused" in driver.context.told, "the owner is told")
    said = [each.getMessage() for each in caplog.records if each.name == "nanokimi.home"]
    again = "nanokimi home reconnect"
    assert [each for each in said if not each.startswith(("the child", "is about", "is connecting"))] == [
        "waits to be linked: run nanokimi home link",
        "is connected",
        f"another program uses this login; stop it, then: {again}",
        "a command uses the login",
        "is connected",
        f"WhatsApp refuses the connection: who is …? (code 400); when that is mended: {again}",
    ]


async def test_names_that_are_damaged_stop_nothing_and_the_owner_is_told(tmp_path: Path) -> None:
    Places(tmp_path).names.write_bytes(b"no database at all, " * 100)
    async with driven(tmp_path) as driver:
        child = await driver.child()
        await child.bring(message("hello"))
        await until(lambda: driver.texts == ["hello"], "it is delivered")
        await until(lambda: driver.context.told, "the owner is told")
        assert "set aside as names.db.damaged-" in driver.context.told["names damaged"]
        assert not driver.errors


async def test_names_that_can_not_be_kept_are_told_to_the_owner_who_can_mend_it_meanwhile(tmp_path: Path) -> None:
    Places(tmp_path).names.mkdir()
    async with driven(tmp_path) as driver:
        await until(lambda: "names" in driver.context.told, "the owner is told")
        assert "names.db: unable to open database file; make room" in driver.context.told["names"]
        Places(tmp_path).names.rmdir()
        await driver.child()


@contextmanager
def held(places: Places) -> Iterator[None]:
    """Hold the session as a command does."""
    with places.command_lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def test_a_command_gets_the_session_at_once_and_the_transport_takes_it_back(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await driver.child()
        with session_held(driver.places, "whatsapp"):
            await until(lambda: child.over, "the child has ended")
            await until(lambda: standing(driver).state == "held", "it waits")
            await until(lambda: driver.link[-1] == "away", "the core knows")
            assert driver.transport.state() == "a command uses the login"
        await driver.child(1)


async def test_a_ban_is_remembered_over_a_restart(tmp_path: Path) -> None:
    until_then = datetime.now(UTC) + timedelta(hours=1)
    write_standing(Places(tmp_path), Standing(state="banned", since=datetime.now(UTC), until=until_then))
    async with driven(tmp_path) as driver:
        await until(lambda: standing(driver).me, "it has looked")
        assert (standing(driver).state, standing(driver).until) == ("banned", until_then)
        assert "has banned this account until" in driver.transport.state()
        assert not driver.children
    over = datetime.now(UTC) - timedelta(seconds=1)
    write_standing(Places(tmp_path), Standing(state="banned", since=over, until=over))
    async with driven(tmp_path) as driver:
        await driver.child()


@pytest.mark.parametrize(
    ("table", "link"),
    [
        ({"connect_seconds": 0.3}, None),
        ({"paired_seconds": 0.3}, Link(state="paired", me=ME)),
        ({"away_seconds": 0.3}, Link(state="disconnected")),
        ({}, Link(state="ended", said="no such host")),
    ],
    ids=["connecting", "paired", "away", "gave up"],
)
async def test_a_child_that_gets_nowhere_is_begun_anew(
    tmp_path: Path, table: dict[str, Any], link: Link | None
) -> None:
    async with driven(tmp_path, table) as driver:
        child = await driver.child(connected=link is not None and link.state == "disconnected")
        if link is not None:
            await child.say(link)
        await until(lambda: len(driver.children) > 1, "another child is begun")
        assert child.over
        assert not driver.context.told
        assert not driver.errors


async def test_a_child_that_can_not_be_started_is_tried_again_and_told_of(tmp_path: Path) -> None:
    async with driven(tmp_path, number=None) as driver:
        transport = WhatsApp(
            Settings(first_retry=0.001, longest_retry=0.001),
            driver.context,
            command=[str(tmp_path / "nothing")],
            look_seconds=0.001,
        )
        async with anyio.create_task_group() as tasks:
            driver.link_account()
            tasks.start_soon(transport.run, driver)
            await until(lambda: "failing" in driver.context.told, "the owner is told")
            assert "can't be started" in driver.context.told["failing"]
            tasks.cancel_scope.cancel()


async def test_a_library_that_is_missing_is_told_to_the_owner(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await driver.child(connected=False)
        await child.say(Link(state="ended", said="libmagic is missing"))
        await child.order(b"exit %d" % exits.LIBRARY_MISSING)
        await until(lambda: "broken" in driver.context.told, "the owner is told")
        assert "libmagic is missing" in driver.context.told["broken"]


async def test_the_last_words_of_a_child_that_died_are_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with driven(tmp_path) as driver:
        child = await driver.child()
        await child.order(b"log fatal error: concurrent map read and map write")
        await until(lambda: driver.places.log.stat().st_size, "it has said so")
        child.kill()
        await driver.child(1)
        assert "concurrent map read and map write" in caplog.text
        assert stat.S_IMODE(driver.places.log.stat().st_mode) == 0o600


async def test_the_childs_log_is_bounded(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await driver.child()
        await child.order(b"log " + b"x" * MOST_LOG)
        await until(lambda: driver.places.log.stat().st_size > MOST_LOG, "it has said much")
        child.kill()
        await driver.child(1)
        assert driver.places.log.stat().st_size == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # it takes four seconds
async def test_a_child_that_does_not_listen_is_ended_all_the_same(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await driver.child()
        await child.order(b"deaf")
        await until(lambda: child.deaf, "it doesn't listen")
        with anyio.fail_after(20):
            with held(driver.places):
                await until(lambda: child.over, "it was ended")
            await driver.child(1)


async def test_the_other_name_of_the_account_is_kept_when_the_network_tells_it(tmp_path: Path) -> None:
    bare = Who(id=ME.alias, name="Owner")
    write_note(Places(tmp_path), AccountNote(number="own", me=bare, linked_at=datetime.now(UTC)))
    async with driven(tmp_path, number=None) as driver:
        assert driver.transport.owner_chat() == ME.alias
        await driver.child()
        assert driver.transport.owner_chat() == ME.id
        await until(lambda: (note := read_note(driver.places)) and note.me == ME, "it is kept")


async def test_the_accounts_name_is_kept_when_a_later_connection_knows_it(tmp_path: Path) -> None:
    nameless = ME.model_copy(update={"name": ""})
    write_note(Places(tmp_path), AccountNote(number="own", me=nameless, linked_at=datetime.now(UTC)))
    async with driven(tmp_path, number=None) as driver:
        child = await driver.child()
        await until(lambda: (note := read_note(driver.places)) and note.me == ME, "the name is kept")
        await child.say(Link(state="connected", me=Who(id=ME.id)))
        await child.say(Link(state="disconnected"))
        await until(lambda: driver.transport.state().startswith("has lost"), "both are heard")
        note = read_note(driver.places)
        assert note is not None
        assert note.me == ME
        await child.say(Link(state="connected", me=Who(id=ME.id, name="Ann")))
        renamed = Who(id=ME.id, alias=ME.alias, name="Ann")
        await until(lambda: (note := read_note(driver.places)) and note.me == renamed, "the new name is kept")


@pytest.mark.parametrize(
    ("number", "table", "chat"),
    [
        ("own", {}, ME.id),
        ("bot", {}, None),
        ("own", {"self_chat": False}, None),
        ("bot", {"number": "own"}, ME.id),
        ("own", {"number": "bot"}, None),
    ],
)
def test_the_owners_chat_is_the_self_chat_of_an_own_number_also_before_it_runs(
    tmp_path: Path, number: Any, table: dict[str, Any], chat: str | None
) -> None:
    driver = Driver(tmp_path, table, number=number, name="whatsapp")
    assert driver.transport.owner_chat() == chat


async def test_two_instances_have_nothing_in_common(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    async with driven(one, name="one") as first, driven(two, name="two") as second:
        mine, others = await first.child(), await second.child()
        await mine.bring(message("for one"))
        await others.bring(message("for two"))
        await until(lambda: (first.texts, second.texts) == (["for one"], ["for two"]), "each has its own")
        with held(first.places):
            await until(lambda: mine.over, "the one has ended")
            assert not others.over
            await others.bring(message("still"))
            await until(lambda: second.texts[-1] == "still", "the other goes on")


async def test_a_command_asks_a_child_of_its_own_and_hears_that_it_ended(tmp_path: Path) -> None:
    async with driven(tmp_path, number=None) as driver:
        command = driver._command
        async with ChildProcess(Settings(), driver.places, command=command) as process:
            child = await driver.child(connected=False)
            await child.say(Link(state="code", said="2@abc", seconds=20))
            answers: list[Answer] = []

            async def ask() -> None:
                answers.append(await process.ask(Pair(request=0, phone="49151")))

            async for value in process:
                assert isinstance(value, Link)
                for number in range(2):
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(ask)
                        await until(lambda: len(child.told(Pair)) > number, "it is asked")  # noqa: B023
                        if number:
                            child.kill()
                        else:
                            await child.say(Answer(request=child.told(Pair)[0].request, names=("ABCD-EFGH",)))
            assert [(each.names, each.error) for each in answers] == [(("ABCD-EFGH",), ""), ((), "unknown")]
            assert (await process.ask(Pair(request=0, phone="1"))).error == "away"
        assert process.code == -9
        assert process.trouble == ""


async def test_what_ends_the_block_of_a_child_comes_out_as_it_is(tmp_path: Path) -> None:
    async with driven(tmp_path, number=None) as driver:
        children: list[Child] = driver.children
        with pytest.raises(KeyError):
            async with ChildProcess(Settings(), driver.places, command=driver._command):
                raise KeyError("as it is")
        with anyio.move_on_after(0.2) as scope:
            async with ChildProcess(Settings(), driver.places, command=driver._command):
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        await until(lambda: all(child.over for child in children), "no child is left")


def test_the_hook_names_a_transport_that_can_all_that_is_said(tmp_path: Path) -> None:
    (spec,) = nanokimi_transports()
    driver = Driver(tmp_path, {}, name="whatsapp")
    made = spec.create(Settings(), driver.context)
    assert spec.name == "whatsapp"
    for ability in (KnowsOwner, TellsState, ShowsTyping, ListsMembers, HasTraits):
        assert isinstance(made, ability)


def test_a_note_that_is_none_counts_as_no_account(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.account.write_text("{")
    places.standing.write_text("[]")
    assert (read_note(places), read_standing(places)) == (None, None)
