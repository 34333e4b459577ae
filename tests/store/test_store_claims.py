"""Claims: what is one turn, what comes again after a failure or a crash, and who may end it."""

from __future__ import annotations

import anyio
import pytest

from nanokimi_core.store import Ending, LeaseLost, Role, Store
from store.making import DAY, DESK, NET, Clock, Opening, answer, assert_sums, before, ids, said, taken, waiting, want

pytestmark = pytest.mark.anyio


async def test_what_waits_becomes_one_turn_up_to_the_batch(store: Store) -> None:
    await waiting(store, "1", "2", "3")
    work = await taken(store, "t", batch=2)
    assert (ids(work), work.waiting, work.attempts) == (["1", "2"], 1, 1)
    assert [row.role for row in work.rows] == [Role.TURN, Role.TURN]


async def test_a_lane_has_one_claim_at_a_time(store: Store) -> None:
    await waiting(store, "1", "2")
    await waiting(store, "1", chat="sofa")
    await taken(store, "t", batch=1)
    assert await store.claim(want("u")) is None
    assert await store.claim(want("v", chat="sofa")) is not None
    assert await store.claim(want("w", chat="nobody's")) is None


async def test_an_order_comes_alone_and_nothing_jumps_over_it(store: Store) -> None:
    await waiting(store, "1", "2")
    await waiting(store, "/new", role=Role.ORDER)
    await waiting(store, "3", "4")
    seen, work = [], await store.claim(want("t0"))
    for n in range(1, 4):
        assert work is not None
        seen.append(ids(work))
        ending = Ending.COMMAND if work.rows[0].role is Role.ORDER else Ending.ANSWERED
        work = (await store.finish(work, ending, (), want(f"t{n}")))[1]
    assert seen == [["1", "2"], ["/new"], ["3", "4"]]
    assert work is None
    now = await store.counters()
    assert (now["answered"], now["command"], await store.turns(NET, DESK, DAY)) == (4, 1, 2)
    await assert_sums(store)


async def test_an_order_leaves_the_context_to_the_next_turn(store: Store) -> None:
    await waiting(store, "c", role=Role.CONTEXT)
    await waiting(store, "/new", role=Role.ORDER)
    order = await taken(store, "o", context=5)
    assert (ids(order), before(order)) == (["/new"], [])
    await waiting(store, "1")
    _, work = await store.finish(order, Ending.COMMAND, (), want("t", context=5))
    assert (ids(work), before(work)) == (["1"], ["c"])


async def test_a_message_tried_again_comes_alone_under_its_own_turn(store: Store) -> None:
    _, work, _ = await store.accept(said("1"), want("t"))
    assert work is not None
    await waiting(store, "2", "3")
    await store.retry(work, counted=True)
    again = await taken(store, "u")
    assert (ids(again), again.turn, again.attempts, again.waiting) == (["1"], "t", 2, 2)
    _, rest = await store.finish(again, Ending.ANSWERED, (), want("v"))
    assert rest is not None
    assert (ids(rest), rest.turn, rest.attempts) == (["2", "3"], "v", 1)
    assert await store.turns(NET, DESK, DAY) == 2


async def test_a_failed_batch_comes_again_message_by_message(store: Store) -> None:
    await waiting(store, "1", "2")
    await store.retry(await taken(store, "t"), counted=True)
    seen = []
    for turn in ("u", "v"):
        work = await taken(store, turn)
        seen.append((ids(work), work.turn, work.attempts))
        await store.finish(work, Ending.ANSWERED)
    assert seen == [(["1"], "u", 2), (["2"], "v", 2)]
    assert await store.turns(NET, DESK, DAY) == 3


async def test_an_attempt_given_back_leaves_a_batch_a_batch(store: Store) -> None:
    await waiting(store, "1", "2")
    await store.retry(await taken(store, "t"), counted=False)
    await waiting(store, "3")
    work = await taken(store, "u")
    assert (ids(work), work.turn, work.attempts) == (["1", "2", "3"], "u", 1)


async def test_an_attempt_given_back_leaves_a_single_message_its_turn(store: Store) -> None:
    _, work, _ = await store.accept(said("1"), want("t"))
    assert work is not None
    await store.retry(work, counted=False)
    again = await taken(store, "u")
    assert (again.turn, again.attempts) == ("t", 1)
    await store.retry(again, counted=True)
    await store.retry(await taken(store, "v"), counted=False)
    again = await taken(store, "w")
    assert (again.turn, again.attempts) == ("t", 2)
    assert await store.turns(NET, DESK, DAY) == 1


async def test_a_retry_can_owe_a_word(store: Store) -> None:
    _, work, _ = await store.accept(said("1"), want("t"))
    assert work is not None
    rows = await store.retry(work, counted=True, owed=[answer("wait")])
    assert [(row.owed.key, row.attempts) for row in rows] == [("wait", 1)]


# ---------------------------------------------------------------------- context
async def test_context_is_the_latest_before_the_turn_in_order(store: Store) -> None:
    await waiting(store, "a", "b", "c", role=Role.CONTEXT)
    await waiting(store, "1")
    await waiting(store, "d", role=Role.CONTEXT)
    await waiting(store, "2")
    await waiting(store, "later", role=Role.CONTEXT)
    work = await taken(store, "t", context=3)
    assert (ids(work), before(work)) == (["1", "2"], ["b", "c", "d"])


async def test_context_is_used_up_with_everything_older_when_the_turn_ends(store: Store) -> None:
    await waiting(store, "a", "b", role=Role.CONTEXT)
    await waiting(store, "1")
    await waiting(store, "later", role=Role.CONTEXT)
    await store.finish(await taken(store, "t", context=1), Ending.ANSWERED)
    await waiting(store, "2")
    assert before(await taken(store, "u", context=9)) == ["later"]
    await assert_sums(store)


async def test_a_turn_tried_again_has_the_same_context(store: Store, opening: Opening) -> None:
    await waiting(store, "a", "b", "c", role=Role.CONTEXT)
    _, work, _ = await store.accept(said("1"), want("t", context=2))
    assert work is not None
    assert before(work) == ["b", "c"]
    await store.accept(said("d", role=Role.CONTEXT))
    await store.retry(work, counted=True)
    assert before(await taken(store, "u", context=9)) == ["b", "c"]
    async with opening() as after:
        assert before(await taken(after, "v", context=1)) == ["b", "c"]


async def test_no_context_is_possible_and_uses_it_up_all_the_same(store: Store) -> None:
    await waiting(store, "a", role=Role.CONTEXT)
    await waiting(store, "1")
    work = await taken(store, "t", context=0)
    assert work.context == ()
    await store.finish(work, Ending.ANSWERED)
    await waiting(store, "2")
    assert before(await taken(store, "u", context=9)) == []


# ---------------------------------------------------------------------- ends
async def test_finishing_owes_the_answer_and_takes_the_next_work_of_any_lane(store: Store) -> None:
    await waiting(store, "1")
    await waiting(store, "2", chat="sofa")
    rows, work = await store.finish(
        await taken(store, "t"), Ending.ANSWERED, [answer("a1"), answer("a2")], want("u", chat="sofa")
    )
    assert [(row.owed, row.attempts) for row in rows] == [(answer("a1"), 1), (answer("a2"), 1)]
    assert work is not None
    assert (work.chat, ids(work)) == ("sofa", ["2"])
    assert await store.lanes() == {}


@pytest.mark.parametrize("ending", list(Ending))
async def test_each_ending_is_counted_for_each_row(store: Store, ending: Ending) -> None:
    await waiting(store, "1", "2")
    await store.finish(await taken(store, "t"), ending)
    now = await store.counters()
    assert (now[ending.value], now["pending"]) == (2, 0)
    await assert_sums(store)


async def test_ending_twice_is_a_lost_lease_and_owes_nothing(store: Store) -> None:
    await waiting(store, "1")
    work = await taken(store, "t")
    await store.finish(work, Ending.ANSWERED)
    for end in (
        store.finish(work, Ending.ANSWERED, [answer("a")]),
        store.retry(work, counted=True, owed=[answer("a")]),
        store.bury(work, "cause", [answer("a")]),
    ):
        with pytest.raises(LeaseLost, match="net:desk"):
            await end
    assert await store.owed(NET, DESK, 0, 9) == []
    await assert_sums(store)


async def test_an_old_claim_of_the_same_rows_ends_nothing(store: Store) -> None:
    await waiting(store, "1", "2")
    old = await taken(store, "t")
    await store.retry(old, counted=False)
    new = await taken(store, "u")
    with pytest.raises(LeaseLost):
        await store.finish(old, Ending.ANSWERED)
    await store.finish(new, Ending.ANSWERED)
    assert (await store.counters())["answered"] == 2


async def test_what_waits_can_be_cancelled_without_touching_what_runs(store: Store) -> None:
    _, work, _ = await store.accept(said("1"), want("t"))
    assert work is not None
    await waiting(store, "2", "3")
    await waiting(store, "c", role=Role.CONTEXT)
    await waiting(store, "1", chat="sofa")
    assert await store.cancel_waiting(NET, DESK) == 2
    assert await store.cancel_waiting(NET, "nobody's") == 0
    assert await store.lanes() == {(NET, "sofa"): 1}
    await store.finish(work, Ending.ANSWERED)
    assert (await store.counters())["cancelled"] == 2
    await assert_sums(store)


async def test_a_caller_that_was_cancelled_leaves_no_claim_hanging(store: Store) -> None:
    await waiting(store, "1")
    for n in range(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.claim, want(f"lost{n}"))
            for _ in range(n % 5):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        work = await store.claim(want(f"found{n}"))
        assert work is None or work.attempts == 1
        if work is None:  # it went back after this claim had been asked for
            work = await taken(store, f"again{n}")
        await store.retry(work, counted=False)
    assert (await store.lanes())[NET, DESK] == 1


async def test_an_arrival_whose_caller_was_cancelled_is_kept_or_not_but_never_stuck(store: Store) -> None:
    for n in range(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.accept, said(f"{n}"), want(f"t{n}"))
            for _ in range(n % 4):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    await store.counters()
    now = await store.counters()
    waits = await store.lanes()
    assert sum(waits.values()) == now["pending"]
    await assert_sums(store)


# ---------------------------------------------------------------------- crashes and other holders
async def test_after_a_crash_what_was_claimed_waits_with_its_attempt_counted(store: Store, opening: Opening) -> None:
    _, work, _ = await store.accept(said("1"), want("t"))
    assert work is not None
    await waiting(store, "2")
    async with opening() as after:
        assert await after.lanes() == {(NET, DESK): 2}
        again = await taken(after, "u")
        assert (ids(again), again.turn, again.attempts) == (["1"], "t", 2)
        with pytest.raises(LeaseLost):
            await store.finish(work, Ending.ANSWERED, [answer("a")])
        await after.finish(again, Ending.ANSWERED)
        await assert_sums(after)


async def test_after_a_crash_a_batch_comes_message_by_message(store: Store, opening: Opening) -> None:
    await waiting(store, "1", "2")
    await taken(store, "t")
    async with opening() as after:
        first = await taken(after, "u")
        assert (ids(first), first.turn, first.attempts, first.waiting) == (["1"], "u", 2, 1)
        _, second = await after.finish(first, Ending.ANSWERED, (), want("v"))
        assert second is not None
        assert (ids(second), second.turn, second.attempts) == (["2"], "v", 2)


async def test_after_a_crash_what_a_person_stopped_has_ended(store: Store, opening: Opening) -> None:
    await waiting(store, "c", role=Role.CONTEXT)
    await store.accept(said("1"), want("t", context=1))
    await store.accept(said("1", chat="sofa"), want("u", chat="sofa"))
    await store.cancel_claimed(NET, DESK)
    await waiting(store, "2")
    async with opening() as after:
        assert await after.lanes() == {(NET, "sofa"): 1, (NET, DESK): 1}
        work = await taken(after, "v", context=5)
        assert (ids(work), before(work)) == (["2"], [])
        assert (await after.counters())["cancelled"] == 1
        await assert_sums(after)


async def test_what_a_person_stopped_is_not_put_back(store: Store) -> None:
    _, work, _ = await store.accept(said("1"), want("t"))
    assert work is not None
    await store.cancel_claimed(NET, DESK)
    rows = await store.retry(work, counted=False, owed=[answer("stopped")])
    assert [row.owed.key for row in rows] == ["stopped"]
    assert await store.lanes() == {}
    assert (await store.counters())["cancelled"] == 1


async def test_a_stop_marks_only_what_is_claimed_now(store: Store) -> None:
    await store.accept(said("1"), want("t"))
    await store.cancel_claimed(NET, "sofa")
    await store.cancel_claimed(NET, "nobody's")
    await waiting(store, "1", chat="sofa")
    work = await taken(store, "u", chat="sofa")
    await store.retry(work, counted=True)
    assert await store.lanes() == {(NET, "sofa"): 1}


async def test_another_holder_gets_a_claim_only_when_its_lease_is_over(opening: Opening, clock: Clock) -> None:
    async with opening(alone=False, lease=60.0) as one, opening(alone=False, lease=60.0) as two:
        _, work, _ = await one.accept(said("1"), want("t"))
        assert work is not None
        await waiting(two, "2")
        clock.now += 59
        assert await two.claim(want("u")) is None
        assert await two.lanes() == {(NET, DESK): 1}
        clock.now += 2
        assert await two.lanes() == {(NET, DESK): 2}
        again = await taken(two, "v")
        assert (ids(again), again.turn, again.attempts) == (["1"], "t", 2)
        with pytest.raises(LeaseLost):
            await one.finish(work, Ending.ANSWERED, [answer("a")])
        await two.finish(again, Ending.ANSWERED, [answer("b")])
        assert [row.owed.key for row in await one.owed(NET, DESK, 0, 9)] == ["b"]
        await assert_sums(one)


async def test_a_renewed_lease_holds(opening: Opening, clock: Clock) -> None:
    async with opening(alone=False, lease=60.0) as one, opening(alone=False, lease=60.0) as two:
        _, work, _ = await one.accept(said("1"), want("t"))
        assert work is not None
        for _ in range(3):
            clock.now += 50
            await one.renew()
            await two.renew()
        async with opening(alone=False):
            pass
        await one.finish(work, Ending.ANSWERED)
        assert (await two.counters())["answered"] == 1


async def test_a_claim_takes_over_an_expired_lease_of_its_lane(opening: Opening, clock: Clock) -> None:
    async with opening(alone=False, lease=60.0) as one, opening(alone=False, lease=60.0) as two:
        await one.accept(said("1"), want("t"))
        clock.now += 61
        assert ids(await two.claim(want("u"))) == ["1"]


async def test_a_lease_that_nobody_took_is_still_good(store: Store, clock: Clock) -> None:
    _, work, _ = await store.accept(said("1"), want("t"))
    assert work is not None
    clock.now += 10_000
    await store.finish(work, Ending.ANSWERED)
    assert (await store.counters())["answered"] == 1


async def test_two_holders_know_when_the_other_one_forgot_a_chat(opening: Opening) -> None:
    async with opening(alone=False) as one, opening(alone=False) as two:
        await waiting(one, "1")
        assert await two.forget(f"{NET}:{DESK}") == 1
        await waiting(one, "1", "2")
        assert await two.lanes() == {(NET, DESK): 2}


async def test_turns_are_counted_by_chat_and_day(store: Store) -> None:
    await store.accept(said("1"), want("t", day="2026-11-20"))
    await store.accept(said("1", chat="sofa"), want("u", chat="sofa"))
    assert await store.turns(NET, DESK, "2026-11-20") == 1
    assert await store.turns(NET, DESK, DAY) == 0
    assert await store.turns(NET, "sofa", DAY) == 1
    assert await store.turns(NET, "nobody's", DAY) == 0


async def test_a_new_batch_ends_before_a_message_that_was_tried(store: Store) -> None:
    await waiting(store, "1")
    await store.bury(await taken(store, "t"), "cause")
    _, work, _ = await store.accept(said("2"), want("u"))
    assert work is not None
    await store.retry(work, counted=True)
    await waiting(store, "3")
    (letter,) = await store.dead()
    await store.revive(letter.id)
    seen, following = [], await store.claim(want("v"))
    while following is not None:
        seen.append((ids(following), following.attempts))
        _, following = await store.finish(following, Ending.ANSWERED, (), want(f"after {following.turn}"))
    assert seen == [(["1"], 1), (["2"], 2), (["3"], 1)]
