"""How soon work goes on after a crash."""

from __future__ import annotations

import statistics

import pytest

from faults.peer import messages
from faults.report import report
from faults.rig import Rig

TIMES = 5
LONGEST = 10.0  # seconds; what it really takes is reported


@pytest.mark.parametrize("state", ["a turn that ran", "an answer that was on its way"])
def test_work_goes_on_soon_after_a_crash(rig: Rig, state: str) -> None:
    peer = rig.wire()
    hold = rig.site.folder / "hold"
    rig.configure(hold=str(hold), limits={"max_attempts": 100, "send_attempts": 1000})
    delays = []
    for number in range(1, TIMES + 1):
        if state == "a turn that ran":
            hold.touch()
        else:
            peer.mute = True
        peer.offer(messages("c", number, 1))
        if not rig.service.running:
            rig.service.start()
        turns, copies = len(rig.notes()), len(peer.received)
        if state == "a turn that ran":
            rig.until("the turn runs", lambda: any(f"c.{number}" in note.ids for note in rig.notes()))  # noqa: B023
        else:
            peer.until("the answer is there", lambda: len(peer.received) > copies)  # noqa: B023
        rig.service.kill()
        peer.quiet()
        hold.unlink(missing_ok=True)
        peer.mute = False
        copies = len(peer.received)
        rig.service.start()
        peer.until("work goes on", lambda: len(peer.received) > copies)  # noqa: B023
        delays.append(peer.received[copies].at - rig.service.started)
        assert peer.received[copies].ids == [f"c.{number}"]
        assert len(rig.notes()) >= turns
    rig.finish()
    assert max(delays) < LONGEST
    report(f"from a process's start to the answer after {state}: median {statistics.median(delays):.2f} s of {TIMES}")
