"""Lanes: one work at a time in a chat and in order; chats side by side, in turns; a cause holds up its own chats."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core.conversation.verdicts import Again, GivenUp, Verdict
from nanokimi_core.store import Claim, Outcome, Role, Work
from nanokimi_core.store.sqlite import SqliteStore
from testbed.floor import ANSWERED, Gate, floor, replace_limits

pytestmark = pytest.mark.anyio

HOUR = 3600.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --------------------------------------------------------------------- side by side, and in turns
async def test_no_more_than_max_turns_run_at_once_and_every_chat_is_answered(tmp_path: Path) -> None:
    async with floor(tmp_path, gate := Gate(), max_turns=3) as made:
        for number in range(10):
            await made.say("hi", f"c{number}")
        await made.until(lambda: len(gate.held) == 3)
        await anyio.sleep(0.02)
        assert made.lanes.running == len(made.begun) == 3
        gate.let_all()
        await made.lanes.settled()
        assert made.most == 3
        assert sorted(made.ended) == sorted(f"c{number}" for number in range(10))


async def test_a_chat_has_one_work_at_a_time(tmp_path: Path) -> None:
    async with floor(tmp_path, gate := Gate(), max_turns=5, max_batch=1) as made:
        for number in range(4):
            await made.say(str(number))
        await anyio.sleep(0.02)
        assert made.texts() == ["0"]
        gate.let_all()
        await made.lanes.settled()
        assert made.texts() == ["0", "1", "2", "3"]
        assert made.most_in_a_chat == 1


async def test_what_waits_becomes_one_work_up_to_max_batch_and_never_across_an_order(tmp_path: Path) -> None:
    async with floor(tmp_path, gate := Gate(), max_batch=3) as made:
        await made.say("first")
        for text in ("a", "b", "c", "d"):
            await made.say(text)
        await made.say("/new", role=Role.ORDER)
        await made.say("e")
        await made.say("f")
        gate.let_all()
        await made.lanes.settled()
        assert made.texts() == ["first", "a+b+c", "d", "/new", "e+f"]


async def test_a_busy_chat_goes_behind_those_that_wait(tmp_path: Path) -> None:
    async with floor(tmp_path, gate := Gate(), max_turns=1, max_batch=1) as made:
        for number in range(4):
            await made.say(f"busy {number}", "busy")
        for number in range(3):
            await made.say(f"other {number}", f"o{number}")
        await made.say("other 3", "o0")
        gate.let_all()
        await made.lanes.settled()
    assert made.texts() == ["busy 0", "other 0", "other 1", "other 2", "busy 1", "other 3", "busy 2", "busy 3"]


async def test_with_more_busy_chats_than_places_nobody_starves(tmp_path: Path) -> None:
    chats = [f"c{number}" for number in range(7)]
    async with floor(tmp_path, gate := Gate(), max_turns=2, max_batch=1) as made:
        for number in range(5):
            for chat in chats:
                await made.say(str(number), chat)
        gate.let_all()
        await made.lanes.settled()
    served = [work.chat for work in made.begun]
    for chat in chats:
        places = [place for place, each in enumerate(served) if each == chat]
        assert len(places) == 5
        assert all(later - earlier <= 2 * len(chats) for earlier, later in zip([-1, *places], places, strict=False))


async def test_more_room_is_used_at_once(tmp_path: Path) -> None:
    async with floor(tmp_path, gate := Gate(), max_turns=1) as made:
        await made.say("hi", "a")
        await made.say("hi", "b")
        await anyio.sleep(0.01)
        assert len(made.begun) == 1
        made.limits = replace_limits(made.limits, max_turns=2)
        made.lanes.fill()
        await made.until(lambda: len(made.begun) == 2)
        gate.let_all()
        await made.lanes.settled()


# --------------------------------------------------------------------- holds
async def test_a_held_chat_keeps_what_comes_and_the_others_go_on(tmp_path: Path) -> None:
    away = {"a"}

    async def script(work: Work) -> Verdict:
        return Again(HOUR, False, "away", "engine") if work.chat in away else ANSWERED

    async with floor(tmp_path, script) as made:
        await made.say("1", "a")
        await made.until(lambda: ("net", "a") in made.lanes.held)
        await made.say("2", "a")
        await made.say("1", "b")
        await made.lanes.settled()
        assert made.texts() == ["1", "1"]
        assert made.lanes.waiting(("net", "a")) == 2
        away.clear()
        made.lanes.let_go(("net", "a"))
        await made.until(lambda: made.ended["a"] == ["1", "2"])
        assert made.begun[-1].attempts == 1
        assert made.lanes.total == 0


async def test_a_cause_that_has_passed_lets_go_those_that_wait_for_it_and_no_others(tmp_path: Path) -> None:
    causes = {"a": "engine brain", "b": "engine brain", "c": "quota brain", "d": ""}

    async def script(work: Work) -> Verdict:
        return Again(HOUR, False, "away", cause) if (cause := causes.get(work.chat)) is not None else ANSWERED

    async with floor(tmp_path, script) as made:
        for chat in list(causes):
            await made.say("hi", chat)
        await made.until(lambda: len(made.lanes.held) == 4)
        causes.pop("a")
        causes.pop("b")
        assert made.lanes.passed("engine brain")
        assert not made.lanes.passed("engine other")
        await made.until(lambda: sorted(made.ended) == ["a", "b"])
        assert sorted(chat for _, chat in made.lanes.held) == ["c", "d"]


async def test_a_hold_ends_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    verdicts: list[Verdict] = [Again(0.02, False, "soon"), Again(0.02, True, "soon"), ANSWERED]

    async def script(work: Work) -> Verdict:
        return verdicts.pop(0)

    async with floor(tmp_path, script) as made:
        await made.say("hi")
        await made.until(lambda: made.ended["a"] == ["hi"])
        assert [work.attempts for work in made.begun] == [1, 1, 2]
        assert not made.lanes.held


# --------------------------------------------------------------------- again, singly, and given up
async def test_a_batch_that_fails_is_tried_message_by_message_and_only_the_bad_one_is_given_up(tmp_path: Path) -> None:
    gate = Gate()

    async def script(work: Work) -> Verdict:
        if work.rows[0].message.text == "first":
            return await gate(work)
        if all(row.message.text != "bad" for row in work.rows):
            return ANSWERED
        return Again(0, True, "it stumbled") if work.attempts < 3 else GivenUp("it stumbled")

    async with floor(tmp_path, script) as made:
        for text in ("first", "a", "bad", "b"):
            await made.say(text)
        gate.let_all()
        await made.until(lambda: len(made.ended["a"]) == 4)
        assert made.texts() == ["first", "a+bad+b", "a", "bad", "bad", "b"]
        assert [work.attempts for work in made.begun] == [1, 1, 2, 2, 3, 2]
        assert len({work.turn for work in made.begun}) == 5  # "bad" is the same turn, tried again
        (letter,) = await made.store.dead()
        assert (letter.text, letter.attempts, letter.cause) == ("bad", 3, "it stumbled")


async def test_duplicates_that_come_at_once_are_one_work(tmp_path: Path) -> None:
    async with floor(tmp_path) as made:
        outcomes: list[Outcome] = []

        async def deliver() -> None:
            outcomes.append(await made.say("hi", number="1"))

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(deliver)
        await made.lanes.settled()
        assert made.texts() == ["hi"]
        assert Counter(outcomes) == {Outcome.ACCEPTED: 1, Outcome.DUPLICATE: 7}
        assert made.lanes.total == made.lanes.running == 0


# --------------------------------------------------------------------- what is gone
class Paused(SqliteStore):
    """A store whose claims are heard of late."""

    heard: anyio.Event | None = None
    claiming = False

    async def _late(self) -> None:
        if self.heard is not None:
            self.claiming = True
            await self.heard.wait()

    async def claim(self, claim: Claim) -> Work | None:
        work = await super().claim(claim)
        await self._late()
        return work

    async def finish(self, *arguments: Any) -> Any:
        ended = await super().finish(*arguments)
        await self._late()
        return ended


@pytest.mark.parametrize("how", ["as the next one", "by itself"])
async def test_a_message_that_comes_while_its_lane_is_found_empty_is_not_forgotten(tmp_path: Path, how: str) -> None:
    async with floor(tmp_path, gate := Gate(), store=Paused, max_turns=1) as made:
        assert isinstance(made.store, Paused)
        await made.say("hi", "other")
        await made.say("never mind", "a", number="1")
        if how == "by itself":  # the lane is claimed when there is room, and not with the end of another work
            await made.say("I take it back", "a", number="2", event="revoke", target="1", role=Role.CONTEXT)
            made.store.heard = anyio.Event()
            made.limits = replace_limits(made.limits, max_turns=2)
            made.lanes.fill()
        else:
            await made.say("I take it back", "a", number="2", event="revoke", target="1", role=Role.CONTEXT)
            made.store.heard = anyio.Event()
            gate.let("other")
        await made.until(lambda: isinstance(made.store, Paused) and made.store.claiming)
        await made.say("something else", "a", number="3")
        made.store.heard.set()
        gate.open.set()
        await made.until(lambda: made.ended["a"] == ["something else"])


async def test_what_was_taken_back_before_its_work_never_begins(tmp_path: Path) -> None:
    async with floor(tmp_path, gate := Gate()) as made:
        await made.say("first")
        await made.say("never mind", number="1")
        await made.say("", number="2", event="revoke", target="1", role=Role.CONTEXT)
        gate.let_all()
        await made.lanes.settled()
        assert made.texts() == ["first"]
        await made.say("next")
        await made.lanes.settled()
        assert made.texts() == ["first", "next"]
        assert made.lanes.total == 0


# --------------------------------------------------------------------- the end, and the next start
async def test_after_close_nothing_starts_and_what_was_handed_back_goes_on_uncounted(tmp_path: Path) -> None:
    async with floor(tmp_path, Gate(), max_turns=1) as made:
        await made.say("runs", "a")
        await made.say("waits", "a")
        await made.say("waits", "b")
        await made.until(lambda: len(made.begun) == 1)
        made.lanes.close()
        await made.say("late", "c")
        await made.lanes.give_back()
        await anyio.sleep(0.01)
        assert len(made.begun) == 1
    async with floor(tmp_path) as made:
        await made.lanes.settled()
        assert sorted(made.texts()) == ["late", "runs+waits", "waits"]
        assert {work.attempts for work in made.begun} == {1}


async def test_after_a_crash_what_ran_is_tried_again_with_its_attempt_counted(tmp_path: Path) -> None:
    async with floor(tmp_path, Gate()) as made:
        await made.say("runs")
        await made.until(lambda: len(made.begun) == 1)
        turn = made.begun[0].turn
    async with floor(tmp_path) as made:
        await made.lanes.settled()
        assert [(work.turn, work.attempts) for work in made.begun] == [(turn, 2)]


async def test_a_turn_of_a_day_counts_once_however_often_it_is_put_back(tmp_path: Path) -> None:
    left = [3]

    async def script(work: Work) -> Verdict:
        if work.chat == "a" and len(work.rows) == 2 and left[0]:
            left[0] -= 1
            return Again(0, False, "away")
        return await gate(work) if work.rows[0].message.text == "first" else ANSWERED

    gate = Gate()
    async with floor(tmp_path, script) as made:
        for text in ("first", "1", "2"):
            await made.say(text)
        gate.let_all()
        await made.until(lambda: len(made.ended["a"]) == 3)
        assert made.texts() == ["first", *["1+2"] * 4]
        assert await made.store.turns("net", "a", date.today().isoformat()) == 2
