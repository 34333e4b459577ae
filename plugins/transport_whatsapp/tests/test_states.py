"""What is done about each state of the link, and what the owner is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.states import STATES, WEAK_SECONDS, States
from nanokimi_transport_whatsapp.values import FINAL, Link

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Story:
    """A machine, and a clock that goes when it is told to."""

    def __init__(self, **more: Any) -> None:
        self.now = 1000.0
        self.machine = States(Settings(), "home", jitter=lambda: 1.0, **more)

    @property
    def wall(self) -> datetime:
        return NOON + timedelta(seconds=self.now - 1000)

    def look(self, *, linked: bool = True, held: bool = False) -> str:
        self.machine.look(self.now, self.wall, linked=linked, held=held)
        return self.machine.state

    def start(self) -> None:
        assert self.machine.may_start(self.now)
        self.machine.started(self.now)

    def hear(self, state: Any, after: float = 0, **more: Any) -> str:
        self.now += after
        self.machine.heard(Link(state=state, **more), self.now, self.wall)
        return self.machine.state

    def end(self, code: int | None = 1, why: str = "") -> None:
        self.machine.ended(self.now, code, why)

    def wait(self) -> float:
        """Wait until a child may be started, in whole seconds."""
        began = self.now
        while not self.machine.may_start(self.now):
            self.now += 1
            assert self.now - began < 10_000
        return self.now - began

    def must_end(self, after: float, *, busy: bool = False) -> str:
        self.now += after
        return self.machine.must_end(self.now, busy=busy)


def connected() -> Story:
    story = Story()
    story.look()
    story.start()
    assert story.hear("connected") == "connected"
    return story


def test_without_an_account_nothing_is_started_until_there_is_one() -> None:
    story = Story()
    assert story.look(linked=False) == "unlinked"
    assert not story.machine.may_start(story.now + 1e6)
    assert story.machine.words() == "waits to be linked: run nanokimi home link"
    story.look()
    story.start()
    assert not story.machine.news


def test_an_account_that_is_gone_ends_the_child() -> None:
    story = connected()
    assert story.must_end(0) == ""
    story.look(linked=False)
    assert story.must_end(0)
    story.end(0)
    assert story.machine.state == "unlinked"


def test_a_command_ends_the_child_at_once_and_it_begins_anew_when_the_command_is_over() -> None:
    story = connected()
    assert story.look(held=True) == "held"
    assert story.must_end(0)
    story.end(0)
    assert not story.machine.may_start(story.now + 1e6)
    story.look()
    story.start()


@pytest.mark.parametrize(
    ("state", "patience"), [("connecting", 90), ("paired", 30), ("away", 300)], ids=lambda value: str(value)
)
def test_a_state_that_lasts_too_long_ends_the_child(state: str, patience: float) -> None:
    story = Story()
    story.look()
    story.start()
    if state == "paired":
        story.hear("paired", 50)
    elif state == "away":
        story.hear("connected", 50)
        story.hear("disconnected", 1000)
    assert story.machine.state == state
    assert story.must_end(patience) == ""
    assert f"within {patience} s" in story.must_end(1)


def test_a_connection_that_comes_back_is_given_its_time_anew() -> None:
    story = connected()
    story.hear("disconnected", 10)
    story.hear("connected", 290)
    story.hear("disconnected", 10)
    assert story.must_end(290) == ""
    assert story.must_end(11)


def test_keep_alives_without_an_answer_end_the_child_after_three_minutes_unless_they_come_back() -> None:
    story = connected()
    story.hear("weak")
    assert story.machine.words() == "gets no answers to keep-alives"
    story.hear("weak", 100)
    assert story.must_end(WEAK_SECONDS - 100) == ""
    assert "keep-alives" in story.must_end(1)
    story.hear("connected")
    assert story.must_end(1000) == ""


def test_a_disk_that_takes_nothing_does_not_end_the_child_which_holds_what_it_has_heard() -> None:
    story = connected()
    story.hear("weak")
    assert story.hear("disk", 100, said="the disk is full") == "disk"
    assert story.machine.words() == "can't keep what comes, and waits for the disk: the disk is full"
    assert story.must_end(10 * WEAK_SECONDS) == ""
    (news,) = story.machine.news
    assert (news.key, "the disk is full; make room there" in news.text) == ("disk", True)
    assert story.hear("connected") == "connected"
    assert story.must_end(10 * WEAK_SECONDS) == ""


@pytest.mark.parametrize(
    ("heard", "after"),
    [
        ([], "connecting"),
        (["paired"], "paired"),
        (["connected"], "away"),
        (["connected", "disconnected"], "away"),
        (["connected", "disk"], "away"),
    ],
    ids=" ".join,
)
def test_after_a_disk_that_took_nothing_a_watchdog_begins_anew(heard: list[str], after: str) -> None:
    story = Story()
    story.look()
    story.start()
    for state in [*heard, "disk"]:
        story.hear(state)
    assert story.must_end(1000) == ""
    assert story.hear("disconnected") == after
    assert story.must_end(20) == ""
    assert "within" in story.must_end(300)


def test_a_disk_without_room_is_told_once_until_there_was_a_connection_whatever_child_finds_it() -> None:
    story = connected()
    story.hear("disk", said="only 31 MB are free")
    assert story.must_end(1e6) == ""
    story.end(code=-9)
    story.wait()
    story.start()
    assert story.hear("disk", said="only 30 MB are free") == "disk"
    assert story.machine.words().endswith("only 30 MB are free")
    assert story.must_end(1e6) == ""
    assert [news.key for news in story.machine.news] == ["disk"]
    story.end(code=exits.ROOM)
    assert story.machine.words() == "waits to connect again: the disk had too little room"
    assert story.wait() == 2
    story.start()
    story.hear("connected")
    story.hear("disk", said="only 29 MB are free")
    assert [news.key for news in story.machine.news] == ["disk", "disk"]


def test_a_spool_that_was_damaged_is_told_and_changes_nothing_else() -> None:
    story = connected()
    assert story.hear("damaged", said="the spool was damaged") == "connected"
    assert story.must_end(10 * WEAK_SECONDS) == ""
    assert [news.text for news in story.machine.news] == ["the spool was damaged; look at that disk"]


def test_waits_double_up_to_the_longest_and_begin_anew_after_a_good_minute() -> None:
    story = Story()
    story.look()
    waits = []
    for _ in range(10):
        story.start()
        story.end()
        waits.append(story.wait())
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    story.start()
    story.hear("connected")
    story.now += 59
    story.end()
    assert story.wait() == 300
    story.start()
    story.hear("connected")
    story.hear("disconnected", 60)
    story.now += 301
    story.end()
    assert story.wait() == 2


def test_the_library_that_gives_up_is_begun_anew_with_its_reason() -> None:
    story = Story()
    story.look()
    story.start()
    story.hear("ended", said="no such host")
    assert story.must_end(0) == ""  # it may end by itself, and its exit code says more
    assert story.must_end(2) == "no such host"
    story.end(None)
    assert story.machine.words() == "waits to connect again: no such host"
    assert story.wait() == 2


def test_a_full_spool_is_handed_over_without_a_watchdog_and_then_it_goes_on() -> None:
    story = connected()
    assert story.hear("full") == "full"
    assert story.must_end(10_000) == ""
    for _ in range(9):
        story.end(exits.FULL)
        assert story.wait() == 2
        story.start()
    assert not story.machine.news


@pytest.mark.parametrize(
    ("link", "what", "remedy"),
    [
        (Link(state="logged_out"), "the phone has unlinked this device", "nanokimi home link"),
        (Link(state="replaced"), "another program uses this login", "nanokimi home reconnect"),
        (Link(state="banned", seconds=3600), "until 2026-05-01 13:00", "tried again then"),
        (Link(state="banned"), "has banned this account", "nanokimi home reconnect"),
        (Link(state="outdated"), "takes this version no longer", "-U neonize, then: nanokimi home reconnect"),
        (Link(state="refused", code=400, said="bad"), "bad (code 400)", "nanokimi home reconnect"),
        (Link(state="codes_over"), "has unlinked this device", "nanokimi home link"),
        (Link(state="code", said="2@secret"), "has unlinked this device", "nanokimi home link"),
    ],
    ids=lambda value: value.state if isinstance(value, Link) else "",
)
def test_a_final_state_is_told_once_and_nobody_tries_again(link: Link, what: str, remedy: str) -> None:
    story = connected()
    story.machine.heard(link, story.now, story.wall)
    assert story.machine.state in FINAL
    (news,) = story.machine.news
    assert what in news.text
    assert remedy in news.text
    assert "secret" not in news.text + story.machine.words()
    assert what in story.machine.words()
    story.hear("disconnected")
    story.hear("ended")
    assert story.must_end(60)
    story.end(0)
    for _ in range(100):
        story.now += 10
        story.look()
        assert not story.machine.may_start(story.now)
    assert len(story.machine.news) == 1


def test_in_a_final_state_the_child_hands_over_what_it_has() -> None:
    story = connected()
    story.hear("replaced")
    assert story.must_end(0) == ""
    assert story.must_end(1000, busy=True) == ""
    assert story.must_end(0)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_command_brings_it_out_of_a_final_state(state: str) -> None:
    story = connected()
    story.hear(state, seconds=86_400)
    story.end(0)
    story.look(held=True)
    story.look()
    story.start()
    assert story.hear("connected") == "connected"


def test_an_account_that_is_linked_anew_brings_it_out_of_a_logout() -> None:
    story = connected()
    story.hear("logged_out")
    story.end(0)
    story.look()  # the note isn't removed yet
    assert not story.machine.may_start(story.now)
    assert story.look(linked=False) == "logged_out"
    story.look()
    story.start()


def test_a_ban_that_is_over_before_its_child_has_ended_ends_that_child_and_begins_another() -> None:
    story = connected()
    story.hear("banned", seconds=2)
    assert story.must_end(1) == ""
    story.now += 2
    assert story.look() == "waiting"
    assert story.must_end(0, busy=True)
    story.end(0, "")
    assert story.wait() > 0
    story.start()
    assert story.must_end(0) == ""


def test_a_ban_is_over_when_it_ends_also_over_a_restart() -> None:
    story = connected()
    story.hear("banned", seconds=3600)
    story.end(0)
    story.now += 3599
    assert story.look() == "banned"
    again = Story(banned_until=story.machine.until)
    again.now = story.now
    assert again.look() == "banned"
    for each in (story, again):
        each.now += 1
        each.look()
        each.start()
        assert each.hear("banned", seconds=60) == "banned"


def test_the_owner_hears_of_a_child_that_can_not_work_at_once_and_of_failures_when_there_are_many() -> None:
    story = Story()
    story.look()
    for _ in range(20):
        story.start()
        story.end()
        story.wait()
    assert [news.key for news in story.machine.news] == ["failing"]
    story.start()
    story.hear("ended", said="libmagic is missing")
    story.end(exits.LIBRARY_MISSING)
    assert "libmagic is missing" in story.machine.news[-1].text
    assert "nanokimi doctor" in story.machine.news[-1].text


def test_being_stopped_is_no_failure() -> None:
    story = connected()
    story.machine.stopped(story.now)
    assert story.wait() == 0


def test_all_words_are_short_and_of_one_line() -> None:
    machine = States(Settings(), "home")
    for state in STATES:
        machine.state, machine.said = state, "a\nb" * 500
        assert len(machine.words()) <= 200
        assert "\n" not in machine.words()
        assert bool(machine.words()) == (state != "connected")
