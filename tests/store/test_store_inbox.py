"""What comes in: kept once, corrected while nobody has used it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nanokimi_core.store import Ending, Outcome, Role, Store
from store.making import DESK, NET, answer, assert_sums, before, ids, said, taken, waiting, want

pytestmark = pytest.mark.anyio


async def test_a_message_is_accepted_once_and_its_replies_are_owed_once(store: Store) -> None:
    first = await store.accept(said("1", replies=(answer("r"),)))
    again = await store.accept(said("1", replies=(answer("r2"),)))
    assert first[0] is Outcome.ACCEPTED
    assert [row.owed.key for row in first[2]] == ["r"]
    assert again == (Outcome.DUPLICATE, None, ())
    assert [row.owed.key for row in await store.owed(NET, DESK, 0, 10)] == ["r"]
    assert ids(await store.claim(want("t"))) == ["1"]
    await assert_sums(store)


async def test_the_same_id_in_another_chat_is_another_message(store: Store) -> None:
    await waiting(store, "1")
    await waiting(store, "1", chat="sofa")
    assert await store.lanes() == {(NET, "desk"): 1, (NET, "sofa"): 1}
    assert await store.known(NET, "sofa", "1")
    assert not await store.known("other", "sofa", "1")
    assert not await store.known(NET, "sofa", "2")


async def test_a_done_message_is_still_known(store: Store) -> None:
    await waiting(store, "1")
    await store.finish(await taken(store, "t"), Ending.ANSWERED)
    assert (await store.accept(said("1"), want("u")))[:2] == (Outcome.DUPLICATE, None)
    assert await store.known(NET, DESK, "1")


async def test_work_taken_at_once_is_the_message_itself_and_counts_as_an_attempt(store: Store) -> None:
    message = said("1", at=datetime(2026, 11, 21, 12, tzinfo=UTC))
    _, work, _ = await store.accept(message, want("t"))
    assert work is not None
    assert (work.turn, work.attempts, work.waiting, work.context) == ("t", 1, 0, ())
    assert work.rows[0].message == message.message
    await store.retry(work, counted=True)
    again = await taken(store, "u")
    assert (again.turn, again.attempts) == ("t", 2)
    assert again.rows[0].message == message.message


async def test_work_taken_at_once_begins_with_what_waited_before(store: Store) -> None:
    await waiting(store, "1")
    await store.accept(said("c", role=Role.CONTEXT))
    _, work, _ = await store.accept(said("2"), want("t", context=5))
    assert (ids(work), before(work)) == (["1", "2"], ["c"])


async def test_work_can_be_taken_with_a_duplicate_and_with_a_command(store: Store) -> None:
    await waiting(store, "1")
    outcome, work, _ = await store.accept(said("1"), want("t"))
    assert (outcome, ids(work)) == (Outcome.DUPLICATE, ["1"])
    assert work is not None
    await store.retry(work, counted=False)
    outcome, work, _ = await store.accept(said("help", role=Role.DONE), want("u"))
    assert (outcome, ids(work)) == (Outcome.ACCEPTED, ["1"])
    await assert_sums(store)


async def test_a_command_carried_out_at_once_is_counted_and_waits_for_nothing(store: Store) -> None:
    await store.accept(said("1", role=Role.DONE))
    assert await store.lanes() == {}
    assert (await store.counters())["command"] == 1
    await assert_sums(store)


async def test_an_edit_replaces_the_text_of_what_waits(store: Store) -> None:
    await waiting(store, "1")
    outcome, _, rows = await store.accept(
        said("e", event="edit", target="1", text="better", role=Role.CONTEXT, replies=(answer("r"),))
    )
    assert outcome is Outcome.APPLIED
    assert [row.owed.key for row in rows] == ["r"]
    work = await taken(store, "t", context=5)
    assert [row.message.text for row in work.rows] == ["better"]
    assert [row.message.id for row in work.rows] == ["1"]
    assert work.context == ()
    assert (await store.counters())["edit"] == 1
    assert (await store.accept(said("e", event="edit", target="1", text="worse")))[0] is Outcome.DUPLICATE
    await assert_sums(store)


@pytest.mark.parametrize(
    ("sender", "aliases", "applied"), [("bob", [], False), ("bob", ["ann"], True), ("ann@lid", [], True)]
)
async def test_only_the_sender_under_any_name_can_edit(
    store: Store, sender: str, aliases: list[str], applied: bool
) -> None:
    await store.accept(said("1", sender_aliases=frozenset({"ann@lid"})))
    edit = said("e", event="edit", target="1", text="x", sender=sender, sender_aliases=frozenset(aliases))
    outcome, _, _ = await store.accept(edit)
    assert (outcome is Outcome.APPLIED) is applied
    await assert_sums(store)


async def test_what_was_revoked_while_it_waited_is_cancelled_and_never_claimed(store: Store) -> None:
    await waiting(store, "1", "2")
    outcome, work, _ = await store.accept(said("r", event="revoke", target="1", sender="admin", text=""), want("t"))
    assert outcome is Outcome.APPLIED
    assert ids(work) == ["2"]
    now = await store.counters()
    assert (now["cancelled"], now["edit"], now["pending"]) == (1, 1, 1)
    assert await store.known(NET, DESK, "1")
    await assert_sums(store)


async def test_unused_context_can_be_edited_and_revoked(store: Store) -> None:
    await waiting(store, "c1", "c2", role=Role.CONTEXT)
    await store.accept(said("e", event="edit", target="c1", text="better"))
    await store.accept(said("r", event="revoke", target="c2", text=""))
    await waiting(store, "1")
    work = await taken(store, "t", context=5)
    assert [message.text for message in work.context] == ["better"]
    now = await store.counters()
    assert (now["context"], now["edit"], now["cancelled"]) == (2, 2, 0)
    await assert_sums(store)


async def test_corrections_that_come_too_late_are_kept_as_their_role_says(store: Store) -> None:
    await waiting(store, "c", role=Role.CONTEXT)
    _, work, _ = await store.accept(said("1"), want("t", context=5))
    assert work is not None
    for target in ("1", "c", "never seen"):
        for event in ("edit", "revoke"):
            late = said(f"{event} {target}", event=event, target=target, text="late", role=Role.CONTEXT)
            assert (await store.accept(late))[0] is Outcome.ACCEPTED
    await store.retry(work, counted=True)
    again = await taken(store, "u", context=5)
    assert (again.rows[0].message.text, before(again)) == ("text of 1", ["c"])
    assert (await store.counters())["context"] == 7
    await assert_sums(store)


async def test_an_edit_of_what_waits_to_be_tried_again_is_applied(store: Store) -> None:
    _, work, _ = await store.accept(said("1"), want("t"))
    assert work is not None
    await store.retry(work, counted=True)
    assert (await store.accept(said("e", event="edit", target="1", text="better")))[0] is Outcome.APPLIED
    assert (await taken(store, "u")).rows[0].message.text == "better"


async def test_lanes_are_named_the_longest_waiting_first(store: Store) -> None:
    await waiting(store, "1", chat="b")
    await waiting(store, "1", "2", chat="a")
    await waiting(store, "2", chat="b")
    assert list((await store.lanes()).items()) == [((NET, "b"), 2), ((NET, "a"), 2)]


async def test_texts_that_no_database_takes_are_neither_refused_nor_lost(store: Store) -> None:
    bad = "a\ud800\x00b"
    for id_ in ("1", "\udc80", "\udc81", "\x00", ""):
        assert (await store.accept(said(id_, text=bad, sender_name=bad, chat=bad)))[0] is Outcome.ACCEPTED
    work = await taken(store, "t", chat=bad)
    assert [row.message.text for row in work.rows] == [bad] * 5
    assert ids(work) == ["1", "\udc80", "\udc81", "\x00", ""]
    rows, _ = await store.finish(work, Ending.ANSWERED, [answer("k\ud800", chat=bad, text=bad)])
    assert rows[0].owed.text.encode()
    assert (await store.owed(NET, bad, 0, 9))[0].owed.text == rows[0].owed.text
    store.sent(rows[0], "n\ud800")
    assert await store.ours(NET, bad, "n\ud800")
    assert await store.owed(NET, bad, 0, 9) == []
    await store.see(f"{NET}:{bad}", bad, "group", [bad])
    await store.set("\ud800", "\ud800")
    assert await store.tell("\ud800", "\ud800")
