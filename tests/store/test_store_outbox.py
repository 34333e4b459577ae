"""The outbox, dead letters, chats, counters and notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nanokimi_core.messages import Attachment
from nanokimi_core.store import Ending, Gone, Owed, Role, Store
from store.making import DAY, DESK, NET, Clock, Opening, answer, assert_sums, before, ids, said, taken, waiting, want

pytestmark = pytest.mark.anyio

CHAT = f"{NET}:{DESK}"


async def keys(store: Store, chat: str = DESK) -> list[str]:
    return [row.owed.key for row in await store.owed(NET, chat, 0, 100)]


# ---------------------------------------------------------------------- owed
async def test_what_is_owed_comes_back_whole_and_in_order(store: Store, clock: Clock) -> None:
    whole = Owed(
        "a1",
        NET,
        DESK,
        "text ✓",
        thread="",
        reply_to="1",
        attachments=(Attachment("pic", "image/png", Path("/x/pic"), 3),),
        notice=True,
    )
    rows = await store.owe([whole, answer("a2")])
    assert [(row.owed, row.attempts, row.since) for row in rows] == [
        (whole, 1, clock.now),
        (answer("a2"), 1, clock.now),
    ]
    assert list(await store.owed(NET, DESK, 0, 10)) == list(rows)
    assert [row.owed.key for row in await store.owed(NET, DESK, rows[0].number, 10)] == ["a2"]
    assert [row.owed.key for row in await store.owed(NET, DESK, 0, 1)] == ["a1"]
    assert await store.owed(NET, "sofa", 0, 10) == []


async def test_a_key_is_owed_once_for_ever(store: Store) -> None:
    (row,) = await store.owe([answer("a")])
    assert await store.owe([answer("a"), answer("a", chat="sofa")]) == []
    store.sent(row, None)
    assert [again.owed.key for again in await store.owe([answer("a"), answer("b")])] == ["b"]
    assert await keys(store) == ["b"]


async def test_chats_are_named_the_longest_owed_first(store: Store) -> None:
    rows = await store.owe([answer("1", chat="b"), answer("2", chat="a"), answer("3", chat="b")])
    await store.owe([Owed("4", "other", "c", "x")])
    assert await store.owing(NET) == ["b", "a"]
    store.sent(rows[0], None)
    assert await store.owing(NET) == ["a", "b"]


async def test_each_attempt_is_counted_on_disk_before_it_starts(store: Store, opening: Opening) -> None:
    (row,) = await store.owe([answer("a")])
    assert (await store.attempt(row)).attempts == 2
    assert (await store.attempt(row)).attempts == 3
    async with opening() as after:
        (again,) = await after.owed(NET, DESK, 0, 9)
        assert again == replace(row, attempts=3)


async def test_what_is_owed_no_more_must_not_be_tried(store: Store) -> None:
    sent, given_up, forgotten = await store.owe([answer("a"), answer("b"), answer("c", chat="sofa")])
    store.sent(sent, None)
    await store.give_up(given_up, "blocked")
    await store.forget(f"{NET}:sofa")
    for row in (sent, given_up, forgotten):
        with pytest.raises(Gone, match=row.owed.key):
            await store.attempt(row)


async def test_what_was_sent_is_on_disk_with_the_next_call(store: Store, opening: Opening) -> None:
    (row,) = await store.owe([answer("a")])
    store.sent(row, "n")
    store.sent(row, "n")
    assert (await store.counters())["sent"] == 1
    async with opening() as after:
        assert await keys(after) == []
        assert await after.ours(NET, DESK, "n")


async def test_what_was_sent_is_on_disk_when_the_store_is_left(opening: Opening) -> None:
    async with opening() as one:
        (row,) = await one.owe([answer("a")])
        one.sent(row, None)
        one.count("refused_cap", 2)
    async with opening() as after:
        assert await keys(after) == []
        now = await after.counters()
        assert (now["sent"], now["refused_cap"], now["owed"]) == (1, 2, 0)


async def test_what_was_withdrawn_is_owed_no_more_and_still_known_as_ours(store: Store) -> None:
    kept, gone = await store.owe([answer("kept"), answer("gone")])
    await store.withdraw(["gone", "never there"])
    assert await keys(store) == ["kept"]
    with pytest.raises(Gone):
        await store.attempt(gone)
    assert await store.ours(NET, DESK, "gone")
    assert await store.dead() == []
    store.sent(kept, None)
    await store.withdraw(["kept"])
    counters = await store.counters()
    assert (counters["owed"], counters["sent"]) == (0, 1)


async def test_our_own_messages_are_known_by_key_and_by_every_id_of_the_network(store: Store) -> None:
    first, second, same = await store.owe([answer("a"), answer("b"), answer("c")])
    assert await store.ours(NET, DESK, "a")
    store.receipt(NET, "a", "early")
    assert await store.ours(NET, DESK, "early")
    store.sent(first, "n1")
    store.sent(second, None)
    store.sent(same, "c")
    store.receipt(NET, "b", "n2")
    store.receipt(NET, "b", "n3")
    store.receipt(NET, "c", "c")
    store.receipt(NET, "unknown", "n4")
    store.receipt("other", "c", "n5")
    known = [
        name for name in ("a", "b", "c", "early", "n1", "n2", "n3", "n4", "n5") if await store.ours(NET, DESK, name)
    ]
    assert known == ["a", "b", "c", "early", "n1", "n2", "n3"]
    assert not await store.ours(NET, "sofa", "a")
    assert not await store.ours(NET, "sofa", "n1")
    assert not await store.ours(NET, "sofa", "n3")


# ---------------------------------------------------------------------- dead letters
async def test_a_buried_work_is_a_dead_letter_for_each_message(store: Store, clock: Clock) -> None:
    picture = Attachment("pic", "image/png", Path("/x/pic"), 3)
    await store.accept(said("1", sender_name="Ann", attachments=(picture,)))
    await waiting(store, "2")
    await waiting(store, "3", chat="sofa")
    work = await taken(store, "t")
    rows = await store.bury(work, "the agent died", [answer("sorry")])
    assert [row.owed.key for row in rows] == ["sorry"]
    clock.now += 1
    await store.bury(await taken(store, "u", chat="sofa"), "too long")
    letters = await store.dead()
    assert [(one.text, one.chat, one.cause, one.attempts, one.who) for one in letters] == [
        ("text of 3", f"{NET}:sofa", "too long", 1, "ann"),
        ("text of 2", CHAT, "the agent died", 1, "ann"),
        ("text of 1", CHAT, "the agent died", 1, "Ann"),
    ]
    assert letters[2].attachments == (picture,)
    assert (letters[0].at, letters[0].kind) == (clock.now, "message")
    assert [one.text for one in await store.dead(limit=1)] == ["text of 3"]
    assert [one.text for one in await store.dead(chat=CHAT)] == ["text of 2", "text of 1"]
    assert await store.dead(chat="net:nobody's") == []
    assert await store.dead_letter(letters[1].id) == letters[1]
    assert (await store.counters())["dead"] == 3
    await assert_sums(store)


async def test_an_answer_given_up_is_a_dead_letter(store: Store) -> None:
    (row,) = await store.owe([answer("a", attachments=(Attachment("f", "text/plain", Path("/f"), 1),))])
    row = await store.attempt(row)
    rows = await store.give_up(row, "blocked", [answer("word")])
    assert [row.owed.key for row in rows] == ["word"]
    assert await store.give_up(row, "again", [answer("second word")]) == ()
    assert await keys(store) == ["word"]
    (letter,) = await store.dead()
    assert (letter.kind, letter.text, letter.cause, letter.attempts) == ("answer", "text of a", "blocked", 2)
    assert letter.attachments == row.owed.attachments
    now = await store.counters()
    assert (now["owed"], now["undelivered"]) == (1, 1)


async def test_a_revived_message_comes_first_and_as_if_new(store: Store) -> None:
    await waiting(store, "1")
    await store.bury(await taken(store, "t"), "cause")
    await waiting(store, "2")
    (letter,) = await store.dead()
    assert await store.revive(letter.id) == letter
    assert await store.revive(letter.id) is None
    assert await store.dead() == []
    work = await taken(store, "u")
    assert (ids(work), work.turn, work.attempts) == (["1", "2"], "u", 1)
    await assert_sums(store)


async def test_a_revived_answer_is_owed_at_its_place(store: Store) -> None:
    first, _ = await store.owe([answer("a"), answer("b")])
    await store.give_up(first, "blocked")
    (letter,) = await store.dead()
    assert await store.revive(letter.id) == letter
    again, _ = await store.owed(NET, DESK, 0, 9)
    assert (again.owed, again.number, again.attempts) == (first.owed, first.number, 0)
    assert (await store.attempt(again)).attempts == 1
    assert (await store.counters())["undelivered"] == 0


async def test_a_dropped_letter_is_gone_and_stays_known(store: Store) -> None:
    await waiting(store, "1")
    (row,) = await store.bury(await taken(store, "t"), "cause", [answer("a")])
    await store.give_up(row, "blocked")
    for letter in await store.dead():
        assert await store.drop(letter.id) == letter
        assert await store.drop(letter.id) is None
        assert await store.dead_letter(letter.id) is None
    now = await store.counters()
    assert (now["cancelled"], now["dead"], now["undelivered"], now["owed"], now["sent"]) == (1, 0, 0, 0, 0)
    assert await store.known(NET, DESK, "1")
    assert await store.owe([answer("a")]) == []
    await assert_sums(store)


@pytest.mark.parametrize("letter", ["", "m", "m0", "m1", "a1", "x1", "1", "m-1", "m1 ", "a" + "9" * 40, "m\u0661"])
async def test_no_dead_letter_is_found_under_a_wrong_id(store: Store, letter: str) -> None:
    await waiting(store, "1")
    assert await store.dead_letter(letter) is None
    assert await store.revive(letter) is None
    assert await store.drop(letter) is None


# ---------------------------------------------------------------------- chats
async def test_a_chat_is_known_by_its_id_and_a_number_that_stays(store: Store, clock: Clock) -> None:
    first = await store.see(CHAT, "Desk", "group", ["Ann"])
    clock.now += 1
    other = await store.see("net:sofa:2", "Sofa", "direct", [])
    assert (first.name, first.kind, first.people, first.granted) == ("Desk", "group", ("Ann",), None)
    assert first.number != other.number
    assert [one.id for one in await store.chats()] == ["net:sofa:2", CHAT]
    assert [one.id for one in await store.chats(limit=1)] == ["net:sofa:2"]
    clock.now += 1
    again = await store.see(CHAT, "", "group", ["Bob", "Ann", *(f"p{n}" for n in range(40))])
    assert (again.number, again.name, again.seen) == (first.number, "Desk", clock.now)
    assert (again.people[:3], len(again.people)) == (("Ann", "Bob", "p0"), 20)
    await waiting(store, "1", "2")
    known = await store.chat(first.number)
    assert known == await store.chat(CHAT)
    assert known is not None
    assert known.waiting == 2
    assert await store.chat(77) is None
    assert await store.chat("net:nobody's") is None


async def test_a_grant_is_kept_also_for_a_chat_that_was_never_seen(store: Store, opening: Opening) -> None:
    await store.grant(CHAT, True)
    await store.grant("net:sofa", False)
    await store.grant("net:bed", True)
    await store.grant("net:bed", None)
    assert await store.grants() == {CHAT: True, "net:sofa": False}
    assert (await store.see(CHAT, "Desk", "group", [])).granted is True
    async with opening() as after:
        assert await after.grants() == {CHAT: True, "net:sofa": False}


async def test_a_forgotten_chat_leaves_nothing_but_its_grant(store: Store) -> None:
    await store.see(CHAT, "Desk", "group", [])
    await store.grant(CHAT, True)
    await waiting(store, "1")
    await store.bury(await taken(store, "t"), "cause", [answer("a"), answer("b")])
    (row, _) = await store.owed(NET, DESK, 0, 9)
    store.sent(row, "n1")
    store.receipt(NET, "a", "n2")
    await waiting(store, "2")
    await waiting(store, "c", role=Role.CONTEXT)
    await waiting(store, "1", chat="sofa")
    assert await store.forget(CHAT) == 5
    assert await store.forget(CHAT) == 0
    assert await store.chat(CHAT) is None
    assert await store.grants() == {CHAT: True}
    assert await store.dead() == []
    assert await keys(store) == []
    assert not await store.ours(NET, DESK, "n2")
    assert not await store.known(NET, DESK, "1")
    assert await store.lanes() == {(NET, "sofa"): 1}
    assert await store.turns(NET, DESK, DAY) == 0
    assert (await store.counters())["cancelled"] == 2
    await assert_sums(store)


async def test_what_was_said_of_a_forgotten_chat_is_forgotten_and_of_others_is_not(store: Store) -> None:
    assert await store.tell(f"{NET}:boss gave up {CHAT}", "no room")
    assert await store.tell(f"{NET}:boss gave up {CHAT}2", "no room")
    assert await store.first_in(f"told {CHAT} away", 60)
    assert await store.first_in(f"told {CHAT}2 away", 60)
    await store.forget(CHAT)
    assert await store.tell(f"{NET}:boss gave up {CHAT}", "no room")
    assert not await store.tell(f"{NET}:boss gave up {CHAT}2", "no room")
    assert await store.first_in(f"told {CHAT} away", 60)
    assert not await store.first_in(f"told {CHAT}2 away", 60)


async def test_ending_what_was_forgotten_meanwhile_does_nothing_and_still_takes_the_next(store: Store) -> None:
    await waiting(store, "1", "2")
    work = await taken(store, "t")
    await store.forget(CHAT)
    await waiting(store, "1", "3")
    rows, following = await store.finish(work, Ending.ANSWERED, [answer("a")], want("u"))
    assert (rows, ids(following)) == ((), ["1", "3"])
    assert await store.retry(work, counted=True, owed=[answer("a")]) == ()
    assert await store.bury(work, "cause", [answer("a")]) == ()
    assert await keys(store) == []
    now = await store.counters()
    assert (now["cancelled"], now["pending"], now["answered"]) == (2, 2, 0)
    await assert_sums(store)


async def test_what_is_sent_or_given_up_after_it_was_forgotten_touches_no_other_row(store: Store) -> None:
    old = list(await store.owe([answer("a"), answer("b")]))
    await store.forget(CHAT)
    new = await store.owe([answer("c"), answer("d")])
    store.sent(old[0], None)
    assert await store.give_up(old[1], "blocked", [answer("word")]) == ()
    assert await keys(store) == ["c", "d"]
    assert min(row.number for row in new) > max(row.number for row in old)
    assert (await store.counters())["sent"] == 0


# ---------------------------------------------------------------------- the rest
async def test_posted_counters_are_read_at_once(store: Store) -> None:
    store.count("received")
    store.count("refused_chat")
    store.count("mine", 3)
    store.count("mine", 4)
    now = await store.counters()
    assert (now["refused_chat"], now["mine"]) == (1, 7)
    await assert_sums(store)


async def test_notes_are_kept_and_removed(store: Store, opening: Opening) -> None:
    assert await store.get("n") is None
    await store.set("n", "v")
    await store.set("n", "w")
    async with opening() as after:
        assert await after.get("n") == "w"
        await after.set("n", None)
        await after.set("n", None)
        assert await after.get("n") is None


async def test_something_is_news_until_it_was_said_in_these_words(store: Store, opening: Opening) -> None:
    said_now = [await store.tell(*what) for what in (("k", "a"), ("k", "a"), ("k", "b"), ("k", "a"), ("l", "a"))]
    assert said_now == [True, False, True, True, True]
    async with opening() as after:
        assert not await after.tell("l", "a")


async def test_a_key_gets_one_yes_in_its_time(store: Store, clock: Clock) -> None:
    got = []
    for seconds in (0, 1800, 1799, 1, 3600, -7200):
        clock.now += seconds
        got.append(await store.first_in("k", 3600))
    assert got == [True, False, False, True, True, True]
    assert await store.first_in("other", 3600)


async def test_only_what_was_done_before_is_pruned(store: Store, clock: Clock) -> None:
    start = clock.now
    await waiting(store, "c1", role=Role.CONTEXT)
    await waiting(store, "1")
    await store.finish(await taken(store, "t", context=1), Ending.ANSWERED, [answer("a"), answer("b"), answer("c")])
    sent, dead, _ = await store.owed(NET, DESK, 0, 9)
    store.sent(sent, "n")
    store.receipt(NET, "a", "n2")
    await store.give_up(dead, "blocked")
    await waiting(store, "2")
    await store.bury(await taken(store, "u"), "cause")
    await waiting(store, "3")
    await waiting(store, "c2", role=Role.CONTEXT)
    clock.now += 100
    assert await store.prune(start) == 0
    await waiting(store, "c3", role=Role.CONTEXT)
    assert await store.prune(clock.now) == 4  # c1, 1, a and c2, which nobody used
    assert await store.prune(clock.now) == 0
    assert [(one.kind, one.text) for one in await store.dead()] == [("message", "text of 2"), ("answer", "text of b")]
    assert await keys(store) == ["c"]
    assert not await store.ours(NET, DESK, "n2")
    assert not await store.known(NET, DESK, "1")
    assert await store.turns(NET, DESK, DAY) == 2
    await waiting(store, "4")
    work = await taken(store, "v", context=9)
    assert (ids(work), before(work)) == (["3", "4"], ["c3"])
    await store.vacuum()
    await assert_sums(store)


async def test_a_day_and_a_key_of_long_ago_are_pruned(store: Store, clock: Clock) -> None:
    await store.accept(said("1"), want("t"))
    assert await store.first_in("k", 1e9)
    await store.prune(clock.now + 5 * 86400)
    assert await store.turns(NET, DESK, DAY) == 0
    assert await store.first_in("k", 1e9)


async def test_a_thousand_rows_are_pruned_at_a_time(store: Store, clock: Clock) -> None:
    await store.owe([answer(str(n)) for n in range(1500)])
    for row in await store.owed(NET, DESK, 0, 2000):
        store.sent(row, None)
    await store.counters()
    clock.now += 1
    assert [await store.prune(clock.now) for _ in range(3)] == [1000, 500, 0]
