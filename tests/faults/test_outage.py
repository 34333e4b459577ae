"""An engine that is away while fifty chats wait."""

from __future__ import annotations

import time
from collections import Counter

from faults.peer import messages
from faults.rig import Rig

CHATS = 50
PER_CHAT = 3
CRASHES = 3


def test_an_outage_of_the_engine_is_told_once_a_chat_costs_no_attempt_and_outlives_a_crash(rig: Rig) -> None:
    peer = rig.wire()
    away = rig.site.folder / "away"
    away.touch()
    rig.configure(away=str(away), limits={"max_attempts": CRASHES + 1, "max_turns": 8})
    names = [f"c{chat}" for chat in range(CHATS)]
    peer.offer(message for name in names for message in messages(name, 1, PER_CHAT - 1))
    rig.service.start()
    peer.until("everybody is told", lambda: len(peer.told()) >= CHATS, 40)
    begun: Counter[str] = Counter(message.id for name in names for message in messages(name, 1, PER_CHAT))
    for _ in range(CRASHES):
        time.sleep(rig.chance.uniform(0, 0.6))
        rig.service.kill()
        peer.quiet()
        begun.update(rig.rows().messages("claimed"))  # it can't be known that they were innocent
        rig.service.start()
        rig.service.until_said("wire is connected")
    peer.offer(message for name in names for message in messages(name, PER_CHAT, 1))
    peer.until("all are taken", lambda: not peer.unacknowledged)
    assert peer.answered == 0
    assert not rig.notes()
    away.unlink()
    counters = rig.finish(90)

    told = Counter(copy.chat for copy in peer.told())
    assert told == Counter(names), rig
    for name in names:
        assert peer.order()[name] == [each.id for each in messages(name, 1, PER_CHAT)]
    assert set(peer.times_answered().values()) == {1}
    rows = rig.rows()
    assert not rows.messages("dead")
    assert all(attempts <= begun[one] for one, (_, _, attempts) in rows.inbox.items()), begun
    assert counters["answered"] == CHATS * PER_CHAT
