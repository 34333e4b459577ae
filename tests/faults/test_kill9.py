"""``kill -9`` at random moments, over a peer that delivers again what was not acknowledged."""

from __future__ import annotations

import statistics
import time
from collections import Counter

import pytest

from faults.peer import Peer, messages
from faults.report import report
from faults.rig import Rig, Rows

KILLS = 44
CHATS = 20
PER_CHAT = 150  # in 20 chats of the network with keys: 3,000
PLAIN_CHATS = 5
PHASES = ("received", "claimed", "prompted", "committed", "sent")
PATIENCE = {"max_attempts": 100, "send_attempts": 1000, "max_waiting": 5000, "max_warm": 8}


class Killing:
    """The run: what is offered in each life, when that life ends, and what was on its way then."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.keyed = rig.wire("keyed", slow=0.003)
        self.plain = rig.wire("plain", slow=0.003, dedupes=False)
        rig.configure(limits=PATIENCE, entering=0.006, thinking=0.01)
        self.offered = 0
        self.kills: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.unnoted = 0
        self.delays: list[float] = []

    def offer(self, upto: int) -> None:
        """Let every chat have said so many messages."""
        for peer, name, chats in ((self.keyed, "k", CHATS), (self.plain, "p", PLAIN_CHATS)):
            for number in range(self.offered + 1, upto + 1):
                peer.offer(message for chat in range(chats) for message in messages(f"{name}{chat}", number, 1))
        self.offered = upto

    def live(self) -> None:
        """One life, ended at a random moment."""
        chance = self.rig.chance
        process = self.rig.service.start()
        how = chance.choice(("clock", "acknowledged", "answered", "answered"))
        if how == "clock":
            time.sleep(chance.uniform(0, 1.2))
        elif how == "acknowledged" and (left := self.keyed.unacknowledged):
            goal = self.keyed.acknowledged + chance.randint(1, left)
            self.keyed.until("acknowledged", lambda: self.keyed.acknowledged >= goal)
        elif left := len(self.keyed.unanswered):
            aim = self.keyed.answered + chance.randint(1, left)
            self.keyed.until("answered", lambda: self.keyed.answered >= aim)
        time.sleep(chance.uniform(0, 0.01))
        self.rig.service.kill()
        for peer in (self.keyed, self.plain):
            peer.quiet()
        self.look(process)

    def look(self, process: int) -> None:
        """Note in which phases messages were, and how soon this life had gone on."""
        rows = self.rig.rows()
        notes = self.rig.notes()
        found = phases(rows, {one for note in notes if note.process == process for one in note.ids}, self)
        self.messages.update(found)
        self.kills.update(phase for phase in PHASES if found[phase])
        self.unnoted += sum(1 for key in rows.keys("owed") if key in self.plain.keys)
        moments = [copy.at for peer in (self.keyed, self.plain) for copy in peer.received if copy.at > self.started]
        moments += [note.at for note in notes if note.process == process]
        if moments:
            self.delays.append(min(moments) - self.started)

    @property
    def started(self) -> float:
        return self.rig.service.started


def phases(rows: Rows, prompted: set[str], run: Killing) -> Counter[str]:
    """Count the messages and answers that were on their way when the process died, by how far they had come."""
    at_peer = run.keyed.keys | run.plain.keys
    claimed = rows.messages("claimed")
    owed = rows.keys("owed")
    return Counter(
        received=len(rows.messages("pending")),
        claimed=sum(1 for one in claimed if one not in prompted),
        prompted=sum(1 for one in claimed if one in prompted),
        committed=sum(1 for key in owed if key not in at_peer),
        sent=sum(1 for key in owed if key in at_peer),
    )


def assert_right(peer: Peer, name: str, chats: int) -> None:
    """Each message has one answer, in its own chat and in order, which stays the same when it is sent again."""
    answers = {(copy.key, copy.chat, copy.text) for copy in peer.received}
    assert len(answers) == len(peer.keys)
    assert Counter(one for _, _, text in answers for one in text.split()) == Counter(peer.offered)
    assert all(one.rpartition(".")[0] == chat for _, chat, text in answers for one in text.split())
    for chat in range(chats):
        assert peer.order()[f"{name}{chat}"] == [each.id for each in messages(f"{name}{chat}", 1, PER_CHAT)]


@pytest.mark.timeout(300)
def test_kill_9_at_any_moment_loses_nothing_and_shows_nothing_twice_where_keys_are_used(rig: Rig) -> None:
    run = Killing(rig)
    for life in range(1, KILLS + 1):
        run.offer(PER_CHAT * life // KILLS)
        run.live()
    rig.service.start()
    counters = rig.finish(90)

    twice = {peer: sum(times - 1 for times in peer.times_answered().values()) for peer in (run.keyed, run.plain)}
    again = len(run.plain.received) - len(run.plain.keys)
    report(
        f"kill -9: {KILLS} kills over {len(run.keyed.offered)} messages with keys: 0 lost, {twice[run.keyed]} seen "
        f"twice; over {len(run.plain.offered)} without: 0 lost, {twice[run.plain]} seen twice in {again} answers "
        f"({run.unnoted} answers were at the network and not yet noted as sent)"
    )
    report("kills that met a message " + ", ".join(f"{p} {run.kills[p]} ({run.messages[p]})" for p in PHASES))
    report(
        f"from a process's start to its first turn or answer: median {statistics.median(run.delays):.2f} s, "
        f"at most {max(run.delays):.2f} s"
    )
    assert twice[run.keyed] == 0, rig
    assert 0 <= again <= run.unnoted, rig
    assert_right(run.keyed, "k", CHATS)
    assert_right(run.plain, "p", PLAIN_CHATS)
    assert counters["accepted"] == counters["answered"] == PER_CHAT * (CHATS + PLAIN_CHATS)
    assert counters["owed"] == counters["undelivered"] == 0
    assert all(run.kills[phase] for phase in PHASES), run.kills
    assert "Traceback" not in rig.service.logs
