"""One message, or one answer, that kills the whole process each time it is tried."""

from __future__ import annotations

import pytest

from faults.peer import Peer, messages
from faults.rig import Rig

CHATS = 6
PER_CHAT = 8
POISONED = "c2.4"


def everybody_speaks(peer: Peer, poison: str = "") -> set[str]:
    """Let all chats say something at once, one of them something bad in the middle; gives the good messages' ids."""
    said = [message for chat in range(CHATS) for message in messages(f"c{chat}", 1, PER_CHAT)]
    if poison:
        bad = [each for each in messages("c2", 1, PER_CHAT, poison) if each.id == POISONED]
        said = [*bad, *(each for each in said if each.id != POISONED)]
        said.sort(key=lambda each: int(each.id.rpartition(".")[2]))
    peer.offer(said)
    return {each.id for each in said} - {POISONED}


def assert_told_once(peer: Peer, chat: str) -> None:
    (told,) = peer.told()
    assert told.chat == chat
    assert "\n" not in told.text
    assert "poison" not in told.text
    assert "Traceback" not in told.text


def test_a_message_whose_turn_kills_the_process_dies_alone_after_three_attempts(rig: Rig) -> None:
    peer = rig.wire()
    rig.configure(fatal="poison", thinking=0.3)
    good = everybody_speaks(peer, poison="poison")
    codes = rig.keep_running(
        "all others are answered, and the chat is told",
        lambda: not peer.unanswered - {POISONED} and bool(peer.told()),
        starts=6,
    )
    assert codes == [-9, -9, -9], rig
    peer.offer(messages("c2", PER_CHAT + 1, 1))
    peer.until("the chat goes on", lambda: f"c2.{PER_CHAT + 1}" not in peer.unanswered)
    rig.until("nothing is owed", lambda: not rig.live_rows().keys("owed"))
    assert rig.service.stop() == 0
    assert_told_once(peer, "c2")
    assert set(peer.times_answered()) == good | {f"c2.{PER_CHAT + 1}"}
    assert set(peer.times_answered().values()) == {1}
    assert rig.rows().messages("dead") == [POISONED]
    for chat, ids in peer.order().items():
        assert ids == sorted(ids, key=lambda one: int(one.rpartition(".")[2])), chat
    counters = rig.counters()
    assert (counters["dead"], counters["answered"]) == (1, len(good) + 1)


@pytest.mark.parametrize("concurrent", [False, True], ids=["one at a time", "at once"])
def test_an_answer_whose_sending_kills_the_process_dies_alone_after_three_attempts(rig: Rig, concurrent: bool) -> None:
    peer = rig.wire(fatal=POISONED, concurrent=concurrent, slow=0.05)
    rig.configure(limits={"send_attempts": 3, "max_batch": 1})
    good = everybody_speaks(peer)
    codes = rig.keep_running(
        "all others are answered, and the chat is told",
        lambda: not peer.unanswered - {POISONED} and bool(peer.told()),
        starts=6,
    )
    assert codes == [-9, -9, -9], rig
    rig.until("nothing is owed", lambda: not rig.live_rows().keys("owed"))
    assert rig.service.stop() == 0
    assert_told_once(peer, "c2")
    assert set(peer.times_answered()) == good
    assert set(peer.times_answered().values()) == {1}
    assert len(rig.rows().keys("dead")) == 1
    for chat, ids in peer.order().items():
        assert ids == sorted(ids, key=lambda one: int(one.rpartition(".")[2])), chat
    counters = rig.counters()
    assert (counters["dead"], counters["undelivered"], counters["owed"]) == (0, 1, 0)
