"""Delivery: in order, with one key, as often as it takes and no more; a stuck chat is alone in that."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from nanokimi_core import Outbound, Undeliverable
from nanokimi_core.config import Limits
from nanokimi_core.delivery import Delivery, Route
from nanokimi_core.store import Health, Owed, OwedRow
from nanokimi_core.store.sqlite import SqliteStore
from testbed.desk import AWAY, AWAY_LONG, CUT, FAULTS, LOG, Desk, Wire, delivering, raising

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --------------------------------------------------------------------- attempts
@pytest.mark.parametrize("fault", FAULTS)
async def test_what_was_not_accepted_is_sent_again_under_the_same_key(tmp_path: Path, fault: str) -> None:
    wire = Wire()
    wire.faults["hello"] = [FAULTS[fault]] * 3
    async with delivering(tmp_path, wire) as desk:
        await desk.owe("hello", key="k")
        await desk.until(lambda: bool(wire.sent))
        assert [message.key for message in wire.attempts] == ["k.0"] * 4
        assert (await desk.store.counters())["owed"] == 0


async def test_a_key_outlives_the_process_and_attempts_are_on_disk_before_they_start(tmp_path: Path) -> None:
    counted: list[int] = []

    async def look(message: Outbound) -> None:
        (row,) = await desk.store.owed("net", "desk", 0, 10)
        counted.append(row.attempts)

    wire = Wire()
    wire.before = look
    wire.faults["hello"] = [CUT, CUT, AWAY_LONG, CUT]
    async with delivering(tmp_path, wire) as desk:
        await desk.owe("hello")
        await desk.until(lambda: len(counted) == 2)
    seen = len(counted)
    async with delivering(tmp_path, wire) as desk:
        await desk.until(lambda: bool(wire.sent))
    assert seen >= 2
    assert counted == [1, 2, 3, 3, 4]  # what was certainly not sent takes no attempt
    assert {message.key for message in wire.attempts} == {"desk-hello.0"}


async def test_sends_of_unknown_outcome_are_given_up_after_send_attempts(tmp_path: Path) -> None:
    wire = Wire()
    wire.faults["hello"] = [CUT] * 9
    async with delivering(tmp_path, wire, send_attempts=4) as desk:
        await desk.owe("hello")
        await desk.owe("next")
        await desk.until(lambda: bool(wire.sent))
        assert desk.lost == [("hello", "OSError: cut")]
        assert [message.text for message in wire.attempts] == ["hello"] * 4 + ["next"]
        (letter,) = await desk.store.dead()
        assert (letter.text, letter.attempts, letter.cause) == ("hello", 4, "OSError: cut")


async def test_what_was_certainly_not_sent_does_not_use_up_the_sends_of_unknown_outcome(tmp_path: Path) -> None:
    wire = Wire()
    wire.faults["hello"] = [AWAY] * 8 + [CUT] * 3
    async with delivering(tmp_path, wire, send_attempts=4) as desk:
        await desk.owe("hello")
        await desk.until(lambda: bool(wire.sent))
        assert not desk.lost


async def test_what_is_certainly_not_sent_is_given_up_after_send_time(tmp_path: Path) -> None:
    wire = Wire()
    wire.faults["hello"] = [AWAY] * 1000
    async with delivering(tmp_path, wire, send_time=0.2, send_attempts=1) as desk:
        await desk.owe("hello")
        await desk.until(lambda: bool(desk.lost))
        assert desk.lost == [("hello", "not sent: offline")]
        assert len(wire.attempts) > 1


async def test_what_the_network_will_never_take_is_given_up_at_once(tmp_path: Path) -> None:
    wire = Wire()
    wire.faults["hello"] = [raising(Undeliverable("blocked"))]
    async with delivering(tmp_path, wire) as desk:
        await desk.owe("hello")
        await desk.until(lambda: bool(desk.lost))
        assert desk.lost == [("hello", "refused for good: blocked")]
        assert len(wire.attempts) == 1


async def test_a_send_that_never_returns_is_cut_and_the_others_get_their_turn(tmp_path: Path) -> None:
    wire = Wire()
    wire.faults["stuck"] = [anyio.sleep_forever]
    async with delivering(tmp_path, wire, send_timeout=0.05) as desk:
        await desk.owe("stuck", "a")
        await desk.owe("free", "b")
        await desk.until(lambda: len(wire.sent) == 2)
        assert [message.text for message in wire.attempts] == ["stuck", "free", "stuck"]


async def test_an_answer_that_is_owed_no_more_is_let_go(tmp_path: Path) -> None:
    wire = Wire()
    wire.faults["hello"] = [AWAY_LONG]
    async with delivering(tmp_path, wire) as desk:
        await desk.owe("hello")
        while not wire.attempts:
            await anyio.sleep(0.001)
        await desk.store.forget("net:desk")
        await desk.owe("next")
        await desk.until(lambda: wire.texts() == ["next"])
        assert [message.text for message in wire.attempts] == ["hello", "next"]


# --------------------------------------------------------------------- order
@pytest.mark.parametrize("concurrent", [False, True])
async def test_each_chat_is_sent_everything_once_and_in_order_whatever_fails(tmp_path: Path, concurrent: bool) -> None:
    chance = random.Random(7)  # noqa: S311  # faults that are the same each time
    wire = Wire(concurrent_sends=concurrent)
    faults = [fault for name, fault in FAULTS.items() if name != "not sent"]
    chats = {f"c{chat}": [f"c{chat}-{number}" for number in range(12)] for chat in range(5)}
    for text in (text for texts in chats.values() for text in texts):
        wire.faults[text] = chance.choices(faults, k=chance.choice([0, 0, 1, 2]))
    async with delivering(tmp_path, wire) as desk:

        async def owe_all(chat: str) -> None:
            for text in chats[chat]:
                await desk.owe(text, chat)

        async with anyio.create_task_group() as tasks:
            for chat in chats:
                tasks.start_soon(owe_all, chat)
        await desk.until(lambda: len(wire.sent) >= 60)
        assert {chat: wire.texts(chat) for chat in chats} == chats
        assert (await desk.store.counters())["sent"] == 60


@pytest.mark.parametrize("concurrent", [False, True])
async def test_a_chat_that_waits_to_be_tried_again_holds_up_no_other(tmp_path: Path, concurrent: bool) -> None:
    wire = Wire(concurrent_sends=concurrent)
    wire.faults["stuck"] = [AWAY_LONG]
    async with delivering(tmp_path, wire) as desk:
        await desk.owe("stuck", "a")
        await desk.owe("after it", "a")
        for number in range(3):
            await desk.owe(f"free {number}", "b")
        with anyio.fail_after(30):
            await desk.delivery.settled()
        assert wire.texts("b") == ["free 0", "free 1", "free 2"]
        assert wire.texts("a") == []


@pytest.mark.parametrize("concurrent", [False, True])
async def test_send_is_called_twice_at_once_only_where_the_transport_says_so(tmp_path: Path, concurrent: bool) -> None:
    gate, wire = anyio.Event(), Wire(concurrent_sends=concurrent)

    async def wait(message: Outbound) -> None:
        await gate.wait()

    wire.before = wait
    async with delivering(tmp_path, wire) as desk:
        for number in range(4):
            await desk.owe("hello", f"c{number}")
        while not wire.attempts or (concurrent and len(wire.attempts) < 4):
            await anyio.sleep(0.001)
        gate.set()
        await desk.until(lambda: len(wire.sent) == 4)
        assert wire.most == (4 if concurrent else 1)


async def test_parts_of_a_long_answer_stay_together(tmp_path: Path) -> None:
    wire = Wire(max_text=10)
    answers = {word: " ".join(f"{word}{number:06}" for number in range(30)) for word in "abcd"}
    async with delivering(tmp_path, wire) as desk:
        async with anyio.create_task_group() as tasks:
            for text in answers.values():
                tasks.start_soon(desk.owe, text, "desk", text[0])
        await desk.until(lambda: len(wire.sent) == 120)
    said = wire.texts()
    blocks = [said[start : start + 30] for start in range(0, 120, 30)]
    assert sorted(" ".join(block) for block in blocks) == sorted(answers.values())


@pytest.mark.parametrize("restart", [False, True])
async def test_a_long_queue_is_read_from_disk_in_order(tmp_path: Path, restart: bool) -> None:
    wire, texts = Wire(), [f"{number:03}" for number in range(170)]
    async with delivering(tmp_path, wire, ready=False) as desk:
        for text in texts:
            await desk.owe(text)
        if not restart:
            desk.route.open()
            await desk.until(lambda: len(wire.sent) >= 170)
    if restart:
        async with delivering(tmp_path, wire) as desk:
            await desk.until(lambda: len(wire.sent) >= 170)
    assert wire.texts() == texts


async def test_what_is_owed_while_a_long_queue_is_sent_comes_behind_it(tmp_path: Path) -> None:
    wire, texts = Wire(), [f"{number:03}" for number in range(130)]
    async with delivering(tmp_path, wire, ready=False) as desk:
        for text in texts[:70]:
            await desk.owe(text)
        desk.route.open()
        for text in texts[70:]:
            await desk.owe(text)
        await desk.until(lambda: len(wire.sent) >= 130)
        assert wire.texts() == texts


async def test_rows_that_are_handed_over_after_later_ones_are_not_left_behind(tmp_path: Path) -> None:
    wire = Wire()
    async with delivering(tmp_path, wire, ready=False) as desk:
        for number in range(49):
            await desk.owe(f"{number:03}")
        first = await desk.store.owe([Owed(f"k{number}", "net", "desk", f"x{number}") for number in range(3)])
        second = await desk.store.owe([Owed("later", "net", "desk", "later")])
        desk.delivery.take(second)
        desk.delivery.take(first)
        desk.route.open()
        await desk.until(lambda: len(wire.sent) >= 53)
        assert sorted(wire.texts()[49:]) == ["later", "x0", "x1", "x2"]
        assert (await desk.store.counters())["owed"] == 0


@pytest.mark.parametrize("sent", [False, True])
async def test_rows_that_are_read_from_the_outbox_before_they_are_handed_over_are_sent_once(
    tmp_path: Path, sent: bool
) -> None:
    gate, wire, begun = anyio.Event(), Wire(), anyio.Event()

    async def wait(message: Outbound) -> None:
        begun.set()
        await gate.wait()

    wire.before = wait
    async with delivering(tmp_path, wire) as desk:
        rows = await desk.store.owe([Owed(f"k{number}", "net", "desk", f"x{number}") for number in range(3)])
        desk.delivery.look("net", "desk")
        with anyio.fail_after(30):
            await begun.wait()
        if sent:
            gate.set()
            await desk.delivery.settled()
        desk.delivery.take(rows)
        gate.set()
        await desk.delivery.settled()
        assert wire.texts() == ["x0", "x1", "x2"]
        assert (await desk.store.counters())["owed"] == 0


async def test_of_a_long_queue_little_is_in_memory(tmp_path: Path) -> None:
    async with delivering(tmp_path, wire := Wire(), ready=False) as desk:
        for number in range(4):
            desk.delivery.take(await desk.store.owe([Owed(f"k{number}-{n}", "net", "desk", "x") for n in range(40)]))
        desk.delivery.take(await desk.store.owe([Owed(f"long-{n}", "net", "other", "x") for n in range(500)]))
        assert sum(len(line.rows) for line in desk.delivery._lines.values()) <= 2 * 50
        desk.route.open()
        await desk.until(lambda: len(wire.sent) == 660)
        assert [message.key for message in wire.sent if message.chat == "other"] == [f"long-{n}" for n in range(500)]


async def test_what_is_owed_while_an_older_queue_is_looked_up_comes_behind_it(tmp_path: Path) -> None:
    class Slow(SqliteStore):
        async def owing(self, transport: str) -> Sequence[str]:
            looking.set()
            await gate.wait()
            return await super().owing(transport)

    looking, gate, wire = anyio.Event(), anyio.Event(), Wire()
    async with delivering(tmp_path, wire, ready=False) as desk:
        await desk.owe("older")
    async with Slow(tmp_path / "nanokimi.db") as store, anyio.create_task_group() as tasks:
        delivery = Delivery(store, Limits, health=Health(LOG), lost=never, log=LOG)
        await tasks.start(delivery.run)
        route = Route("net", wire, "net", LOG)
        route.open()
        tasks.start_soon(delivery.add, route)
        await looking.wait()
        desk = Desk(store, delivery, route, [])
        await desk.owe("newer")
        await anyio.sleep(0.02)
        gate.set()
        await desk.until(lambda: len(wire.sent) == 2)
        assert wire.texts() == ["older", "newer"]
        tasks.cancel_scope.cancel()


async def test_what_is_owed_before_the_network_is_connected_comes_behind_an_older_queue(tmp_path: Path) -> None:
    wire = Wire()
    async with delivering(tmp_path, wire, ready=False) as desk:
        for number in range(3):
            await desk.owe(f"older {number}")
    async with delivering(tmp_path, wire, ready=False) as desk:
        for number in range(3):
            await desk.owe(f"newer {number}")
        desk.route.open()
        await desk.until(lambda: len(wire.sent) == 6)
        assert wire.texts() == [f"{age} {number}" for age in ("older", "newer") for number in range(3)]


async def never(row: OwedRow, cause: str) -> None:
    raise AssertionError(f"{row} was given up: {cause}")


# --------------------------------------------------------------------- the network comes and goes
async def test_nothing_is_sent_before_the_transport_is_ready_nor_while_it_is_down(tmp_path: Path) -> None:
    wire = Wire()
    async with delivering(tmp_path, wire, ready=False) as desk:
        await desk.owe("one")
        await anyio.sleep(0.02)
        assert not wire.attempts
        desk.route.open()
        await desk.until(lambda: wire.texts() == ["one"])
        desk.route.close()
        await desk.owe("two")
        await anyio.sleep(0.02)
        assert len(wire.attempts) == 1
        desk.route.open()
        await desk.until(lambda: wire.texts() == ["one", "two"])


async def test_what_waits_for_its_turn_to_be_sent_is_not_sent_into_a_network_that_went_away(tmp_path: Path) -> None:
    gate, wire = anyio.Event(), Wire()

    async def wait(message: Outbound) -> None:
        await gate.wait()

    wire.before = wait
    async with delivering(tmp_path, wire) as desk:
        await desk.owe("one", "a")
        await desk.owe("two", "b")
        while not desk.route._one_at_a_time.statistics().tasks_waiting:
            await anyio.sleep(0.001)
        desk.route.close()
        gate.set()
        await anyio.sleep(0.02)
        assert [message.text for message in wire.attempts] == ["one"]
        desk.route.open()
        await desk.until(lambda: len(wire.sent) == 2)


async def test_when_the_network_is_back_what_waits_to_be_tried_again_is_sent_at_once(tmp_path: Path) -> None:
    wire = Wire()
    wire.faults["hello"] = [AWAY_LONG]
    async with delivering(tmp_path, wire) as desk:
        await desk.owe("hello")
        with anyio.fail_after(30):
            await desk.delivery.settled()
        assert not wire.sent
        desk.route.close()
        desk.route.open()
        with anyio.fail_after(30):
            while not wire.sent:
                await anyio.sleep(0.001)


async def test_what_was_withdrawn_before_it_could_be_sent_is_not_sent(tmp_path: Path) -> None:
    wire = Wire()
    wire.faults["tried"] = [AWAY_LONG]
    async with delivering(tmp_path, wire) as desk:
        tried = await desk.owe("tried", "a")
        await desk.until(lambda: len(wire.attempts) == 1)
        desk.route.close()
        waits = await desk.owe("waits")
        await desk.owe("kept")
        await desk.delivery.withdraw([row.owed.key for row in (*tried, *waits)])
        desk.route.open()
        await desk.until(lambda: wire.texts() == ["kept"])
        with anyio.fail_after(30):
            await desk.delivery.settled()
    assert [message.text for message in wire.attempts] == ["tried", "kept"]
    assert not desk.lost
