"""Staying connected: the whole transport with the real library, and all that befalls the server or the road there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from network_driver import Road, Running, in_memory, until
from whatsapp_testbed import Friend, User, WhatsAppServer
from whatsapp_testbed.linked import led, link

from nanokimi_core import NotSent
from nanokimi_transport_whatsapp.outgoing import OutcomeUnknown

pytestmark = pytest.mark.whatsapp

PAIRED_SECONDS = 1.0
OUTAGE_SECONDS = 15.0
CUTS = 50
BACKLOG = 300


@dataclass(frozen=True)
class World:
    """WhatsApp with Ana's client, and Kai's account, linked for the assistant; a road of its own leads there."""

    server: WhatsAppServer
    ana: User
    kai: User
    friend: Friend
    road: Road
    folder: Path

    @contextmanager
    def running(self, **table: Any) -> Iterator[Running]:
        """Run the transport."""
        with Running(self.folder / "kai", proxy=self.road.url, reply_only=False, **table) as running:
            yield running

    def talk(self, running: Running, text: str) -> None:
        """Show that both ways are open."""
        self.friend.send_text(self.kai.chat, text)
        running.text(text)
        running.send(self.ana.chat, f"{text} indeed")
        self.friend.wait_for_text(f"{text} indeed")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("link")
    with ExitStack() as stack:
        server = stack.enter_context(WhatsAppServer(folder / "server"))
        stack.enter_context(led(server))
        ana = server.user("15550000001", "100000000000001", "Ana")
        kai = server.user("15551000001", "200000000000001", "Kai")
        friend = stack.enter_context(Friend(server, ana, Path(stack.enter_context(in_memory())) / "ana"))
        world = World(server, ana, kai, friend, stack.enter_context(Road(server.proxy)), folder)
        server.trouble.restart_at_once()
        link(server, kai, folder / "kai", paired_seconds=PAIRED_SECONDS)
        server.trouble.restart_at_once(False)
        yield world


@pytest.fixture(autouse=True)
def healed(world: World) -> Iterator[None]:
    """End all trouble after each test, and forget what the server still keeps for the assistant."""
    yield
    world.road.clear()
    world.server.trouble.accept_login()
    world.server.trouble.let_go()


@pytest.fixture(scope="class")
def steady(world: World) -> Iterator[Running]:
    """One transport for all tests of what the server says."""
    with world.running() as running:
        running.wait_until_connected()
        yield running


class TestWhatTheServerSays:
    """Of the account, and of the connection."""

    @pytest.mark.parametrize(
        ("reason", "state", "said", "remedy"),
        [
            (400, "refused", "refuses the connection", "nanokimi whatsapp reconnect"),
            (405, "outdated", "takes this version no longer", "pip install -U"),
            (418, "refused", "refuses the connection", "nanokimi whatsapp reconnect"),
        ],
    )
    def test_a_login_that_is_refused_is_told_once_and_not_tried_again_before_a_person_says_so(
        self, world: World, steady: Running, reason: int, state: str, said: str, remedy: str
    ) -> None:
        world.server.trouble.reject_login(reason)
        steady.told()
        world.server.trouble.cut(world.kai)
        steady.wait_for_state(state)
        dials = world.server.dials()
        with pytest.raises(NotSent, match="not connected"):
            steady.send(world.ana.chat, "nobody gets this")
        ((key, words),) = steady.told()
        assert key == state
        assert said in words
        assert remedy in words
        assert world.server.dials() == dials
        world.server.trouble.accept_login()
        with steady.held():
            pass
        steady.wait_until_connected()
        world.talk(steady, f"after {reason}")

    @pytest.mark.parametrize("reason", [401, 403, 406, 0])
    def test_an_account_that_was_logged_out_waits_to_be_linked_and_goes_on_when_it_is(
        self, world: World, steady: Running, reason: int
    ) -> None:
        steady.told()
        if reason:
            world.server.trouble.reject_login(reason)
            world.server.trouble.cut(world.kai)
        else:
            world.kai.unlink()
        steady.wait_for_state("logged_out")
        dials = world.server.dials()
        ((key, words),) = steady.told()
        assert key == "logged_out"
        assert "link it again with: nanokimi whatsapp link" in words
        world.server.trouble.accept_login()
        assert world.server.dials() == dials
        with steady.held():
            link(world.server, world.kai, world.folder / "kai")
        steady.wait_until_connected()
        world.talk(steady, f"linked again after {reason}")

    def test_another_program_with_the_same_login_is_left_alone_with_it(self, world: World, steady: Running) -> None:
        steady.told()
        world.server.trouble.stream_error(world.kai, conflict="replaced")
        steady.wait_for_state("replaced")
        dials = world.server.dials()
        until(lambda: not steady.child, "its child has ended")
        ((key, words),) = steady.told()
        assert (key, "nanokimi whatsapp reconnect" in words) == ("replaced", True)
        assert (world.server.dials(), steady.state) == (dials, "replaced")
        with steady.held():
            pass
        steady.wait_until_connected()

    @pytest.mark.parametrize("code", [503, 599])
    def test_a_stream_that_ends_with_an_error_is_begun_anew_by_the_same_child(
        self, world: World, steady: Running, code: int
    ) -> None:
        child, logins = steady.child, world.kai.logins()
        steady.told()
        world.server.trouble.stream_error(world.kai, code)
        until(lambda: world.kai.logins() > logins, "it has logged in again")
        steady.wait_until_connected()
        world.talk(steady, f"after {code}")
        assert (steady.child, steady.told()) == (child, [])

    def test_a_server_that_has_no_time_for_a_login_is_asked_again(self, world: World, steady: Running) -> None:
        steady.told()
        dials = world.server.dials()
        world.server.trouble.reject_login(503)
        world.server.trouble.cut(world.kai)
        until(lambda: world.server.dials() > dials, "it has tried")
        assert steady.state in ("connected", "away", "connecting")
        world.server.trouble.accept_login()
        steady.wait_until_connected()
        world.talk(steady, "after 503 at the login")
        assert steady.told() == []


def test_a_ban_is_kept_to_by_a_new_process_too_and_ends_with_one_attempt(world: World) -> None:
    world.server.trouble.reject_login(402, code=104, expire=3600)
    with world.running() as banned:
        banned.wait_for_state("banned")
        ((key, words),) = banned.told()
        assert (key, "it is tried again then" in words) == ("banned", True)
    dials = world.server.dials()
    with world.running() as running:
        running.wait_for_state("banned")
        assert "until" in running.transport.state()
        world.server.trouble.reject_login(402, code=104, expire=3)
        with running.held():
            pass
        until(lambda: world.server.dials() == dials + 1, "a command has it tried again")
        running.wait_for_state("banned")
        world.server.trouble.accept_login()
        running.wait_until_connected()
        assert world.server.dials() == dials + 2
        world.talk(running, "after the ban")


# ------------------------------------------------------------------ the way there
def test_what_was_written_while_it_was_stopped_comes_once_in_order_and_marked(world: World) -> None:
    texts = [f"while you were away {number}" for number in range(BACKLOG)]
    world.friend.send_texts(world.kai.chat, texts)
    with world.running() as running:
        until(lambda: len(running.kept) >= BACKLOG, "all have come")
        world.talk(running, "and now")
        assert [message.text for message in running.kept] == [*texts, "and now"]
        assert [message.backlog for message in running.kept] == [True] * BACKLOG + [False]


def test_after_an_outage_it_is_back_soon_and_nothing_of_that_time_is_missing(world: World) -> None:
    with world.running(away_seconds=2) as running:
        running.wait_until_connected()
        world.talk(running, "before")
        begun = time.monotonic()
        world.road.close()
        running.wait_for_state("away")
        texts = [f"into the outage {number}" for number in range(BACKLOG)]
        world.friend.send_texts(world.kai.chat, texts)
        with pytest.raises(NotSent, match="not connected"):
            running.send(world.ana.chat, "out of the outage", key="kept")
        until(lambda: time.monotonic() - begun > OUTAGE_SECONDS, "it was a long outage", 2 * OUTAGE_SECONDS)
        world.road.clear()
        running.wait_until_connected()
        running.send(world.ana.chat, "out of the outage", key="kept")
        world.friend.wait_for_text("out of the outage")
        until(lambda: len(running.kept) > BACKLOG, "all have come")
        world.talk(running, "after")
        assert [message.text for message in running.kept] == ["before", *texts, "after"]


def test_a_connection_that_is_cut_fifty_times_loses_nothing_and_brings_nothing_twice(world: World) -> None:
    """What goes out and what comes in is with different people: of two letters that cross, between the same two
    devices, whatsmeow may number one like the letter before it, and then the other side passes over it."""
    over = Event()

    def come() -> list[str]:
        texts: list[str] = []
        while not over.wait(0.02):
            texts.append(f"coming {len(texts)}")
            world.friend.send_text(world.kai.chat, texts[-1])
        return texts

    def go(running: Running, chat: str) -> list[str]:
        texts: list[str] = []
        while not over.wait(0.02):
            texts.append(f"going {len(texts)}")
            until(lambda: sent(running, chat, texts[-1]), "it was sent")
        return texts

    def sent(running: Running, chat: str, text: str) -> bool:
        try:
            running.send(chat, text, key=text, seconds=90)
        except (NotSent, OutcomeUnknown):
            return False
        return True

    bo = world.server.user("15550000002", "100000000000002", "Bo")
    with in_memory() as login, Friend(world.server, bo, Path(login) / "bo") as hears, world.running() as running:
        running.wait_until_connected()
        with ThreadPoolExecutor(2) as people:
            child, coming, going = running.child, people.submit(come), people.submit(go, running, bo.chat)
            try:
                for _ in range(CUTS):
                    logins = world.kai.logins()
                    world.server.trouble.cut(world.kai)
                    until(lambda: world.kai.logins() > logins, "it has logged in again")  # noqa: B023  # called at once
                    running.wait_until_connected()
            finally:
                over.set()
            came, went = coming.result(30), going.result(120)
        world.talk(running, "the end")
        hears.wait_for_text(went[-1])
        assert Counter(message.text for message in running.kept) == Counter([*came, "the end"])
        got = [event.text for event in hears.events if event.kind == "text"]
        assert list(dict.fromkeys(got)) == went
        assert running.child == child


def test_a_connection_that_falls_into_a_black_hole_is_begun_anew_by_another_child(world: World) -> None:
    with world.running(away_seconds=1) as running:
        running.wait_until_connected()
        child = running.child
        world.road.swallow()
        running.wait_for_state("away")
        until(lambda: running.child not in (0, child), "another child has begun")
        assert running.state == "connecting"
        world.road.clear()
        running.wait_until_connected()
        world.talk(running, "out of the hole")


def test_a_child_that_can_not_connect_is_ended_and_so_is_the_transport_in_the_middle_of_it(world: World) -> None:
    world.road.swallow()
    with world.running(connect_seconds=1) as running:
        first = until(lambda: running.child, "a child has begun")
        until(lambda: running.child not in (0, first), "another has")


def test_a_connection_that_is_refused_is_tried_again_by_another_child_until_it_is_not(world: World) -> None:
    world.road.close()
    with world.running() as running:
        first = until(lambda: running.child, "a child has begun")
        until(lambda: "waits to connect again: failed to dial" in running.transport.state(), "it has failed, and waits")
        until(lambda: running.child not in (0, first), "another child has begun")
        world.road.clear()
        running.wait_until_connected()
        world.talk(running, "at last")


def test_two_accounts_are_two_instances_with_a_child_each(world: World) -> None:
    other = world.server.user("15551000002", "200000000000002", "Lou")
    link(world.server, other, world.folder / "lou")
    quiet = {"ai_label": False, "read_receipts": False}
    with world.running() as running, Running(world.folder / "lou", name="second", **quiet) as second:
        for each in (running, second):
            each.wait_until_connected()
        assert running.child != second.child
        world.friend.send_text(world.kai.chat, "to Kai")
        world.friend.send_text(other.chat, "to Lou")
        running.text("to Kai")
        second.text("to Lou")
        second.send(world.ana.chat, "from Lou")
        assert world.friend.wait_for_text("from Lou").sender == other.chat
        world.talk(running, "still there")
        assert [message.text for message in running.kept] == ["to Kai", "still there"]
        assert [message.text for message in second.kept] == ["to Lou"]
    assert [message.bot_tag for message in other.messages()] == [False]
    assert other.receipts("read") == []
