"""Sends that raise, hang, or lose their line before or after the network has accepted what they carry."""

from __future__ import annotations

from collections import Counter
from itertools import cycle

import pytest

from faults.peer import Fault, messages
from faults.report import report
from faults.rig import Rig

CHATS = 10
PER_CHAT = 50
FAULTY = 60
SINGLY = {"max_batch": 1, "send_timeout": "1s", "send_attempts": 1000}


def faults(rig: Rig, count: int, *kinds: Fault) -> dict[str, Fault]:
    """Choose answers of which the first copy fails, as many in each way."""
    texts = [message.id for chat in range(CHATS) for message in messages(f"c{chat}", 1, PER_CHAT)]
    return dict(zip(rig.chance.sample(texts, count), cycle(kinds), strict=False))


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("how", "kinds"),
    [
        ("raise", [Fault.NOT_SENT, Fault.RAISED, Fault.RAISED_AFTER]),
        ("hang", [Fault.HUNG, Fault.HUNG_AFTER]),
        ("lose their line", [Fault.CUT, Fault.CUT_AFTER]),
    ],
    ids=["raise", "hang", "cut"],
)
def test_of_500_answers_whose_sends_fail_each_is_shown_once_and_in_order(
    rig: Rig, how: str, kinds: list[Fault]
) -> None:
    peer = rig.wire(concurrent=True, reconnects=True)
    peer.faults = faults(rig, FAULTY, *kinds)
    accepted = sum(fault.accepted for fault in peer.faults.values())
    rig.configure(limits=SINGLY)
    for number in range(1, PER_CHAT + 1):
        peer.offer(message for chat in range(CHATS) for message in messages(f"c{chat}", number, 1))
    rig.service.start()
    counters = rig.finish(90)

    assert not peer.faults, "all of them have happened"
    assert peer.times_answered() == Counter(peer.offered), rig
    assert Counter(one for note in rig.notes() for one in note.ids) == Counter(peer.offered)
    assert len(peer.keys) == len({(copy.key, copy.text) for copy in peer.received}) == CHATS * PER_CHAT
    for chat in range(CHATS):
        assert peer.order()[f"c{chat}"] == [each.id for each in messages(f"c{chat}", 1, PER_CHAT)]
    again = len(peer.received) - len(peer.keys)
    assert again >= accepted, "what was accepted unheard came again, under its key"
    assert not peer.told(), rig
    assert "/nanokimi_core/" not in rig.service.logs, "a traceback of the core's own"
    assert counters["answered"] == CHATS * PER_CHAT
    assert (counters["owed"], counters["undelivered"]) == (0, 0)
    lines = f", over {peer.connections} connections" if peer.connections > 1 else ""
    report(f"{FAULTY} sends of {CHATS * PER_CHAT} {how}: all shown once, {again} sent twice under one key{lines}")


@pytest.mark.timeout(180)
def test_a_run_that_a_cut_line_ends_is_followed_by_another_that_owes_nothing_and_doubles_nothing(rig: Rig) -> None:
    peer = rig.wire(concurrent=True)
    peer.faults = {f"c{chat}.{2 + chat}": Fault.CUT_AFTER for chat in range(3)}
    rig.configure(limits=SINGLY)
    for number in range(1, 11):
        peer.offer(message for chat in range(CHATS) for message in messages(f"c{chat}", number, 1))
    rig.service.start()
    counters = rig.finish(90)

    assert not peer.faults
    assert 2 <= peer.connections <= 4
    assert peer.times_answered() == Counter(peer.offered), rig
    assert Counter(one for note in rig.notes() for one in note.ids) == Counter(peer.offered)
    assert counters["answered"] == CHATS * 10
