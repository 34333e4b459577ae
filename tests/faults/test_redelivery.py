"""A network that delivers everything several times, in any order, to a process that is stopped and started."""

from __future__ import annotations

from collections import Counter

from faults.peer import messages
from faults.rig import Rig

CHATS = 10
PER_CHAT = 30
LIVES = 6


def test_every_message_delivered_up_to_five_times_shuffled_across_restarts_gets_one_turn(rig: Rig) -> None:
    peer = rig.wire(ordered=False)
    rig.configure(thinking=0.003)
    spoken = [message for chat in range(CHATS) for message in messages(f"c{chat}", 1, PER_CHAT)]
    deliveries = [message for message in spoken for _ in range(rig.chance.randint(1, 5))]
    rig.chance.shuffle(deliveries)
    for life in range(LIVES):
        peer.offer(deliveries[life::LIVES])
        rig.service.start()
        goal = peer.acknowledged + rig.chance.randint(1, peer.unacknowledged)
        peer.until("some were taken", lambda goal=goal: peer.acknowledged >= goal)  # type: ignore[misc]  # the goal's type
        assert rig.service.stop() == 0, rig
        peer.quiet()
    rig.service.start()
    counters = rig.finish()

    once = Counter({message.id: 1 for message in spoken})
    assert Counter(one for note in rig.notes() for one in note.ids) == once
    assert peer.times_answered() == once
    assert len(peer.received) == len(peer.keys)
    assert counters["accepted"] == counters["answered"] == len(spoken)
    assert counters["received"] >= len(deliveries)
