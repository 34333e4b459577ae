"""Signals at random moments, and a second process, while messages flow."""

from __future__ import annotations

import signal
import time
from collections import Counter

from faults.peer import messages
from faults.report import report
from faults.rig import Rig

LIVES = 24
CHATS = 6
AT_ONCE = 3
CODES = {
    (signal.SIGTERM,): {0},
    (signal.SIGINT,): {130},
    (signal.SIGHUP, signal.SIGTERM): {0},
    (signal.SIGTERM, signal.SIGTERM): {0, -signal.SIGTERM},  # the second may come when all is done
}


def test_signals_at_any_moment_end_it_as_they_should_and_nothing_is_lost_or_doubled(rig: Rig) -> None:
    peer = rig.wire(slow=0.002)
    rig.configure(limits={"stop_timeout": "5s", "max_attempts": 100}, thinking=0.02, entering=0.01)
    seen: Counter[str] = Counter()
    for life in range(LIVES):
        for chat in range(CHATS):
            peer.offer(messages(f"c{chat}", life * AT_ONCE + 1, AT_ONCE))
        rig.service.start()
        rig.service.until_said(" runs (nanokimi ")
        plan = list(CODES)[life % len(CODES)]
        time.sleep(rig.chance.uniform(0, 0.4))
        for number in plan:
            if rig.service.running:
                rig.service.signal(number)
            time.sleep(rig.chance.uniform(0, 0.03))
        code = rig.service.ended()
        seen[f"{'+'.join(each.name for each in plan)} {code}"] += 1
        assert code in CODES[plan], (plan, rig)
        peer.quiet()
    rig.service.start()
    counters = rig.finish()
    report(f"signals at random moments, and exit codes: {', '.join(f'{each} ({n})' for each, n in seen.items())}")

    assert set(peer.times_answered().values()) == {1}, rig
    for chat in range(CHATS):
        assert peer.order()[f"c{chat}"] == [each.id for each in messages(f"c{chat}", 1, LIVES * AT_ONCE)]
    assert not peer.told(), peer
    assert "Traceback" not in rig.service.logs
    assert counters["accepted"] == counters["answered"] == len(peer.offered)


def test_sighup_while_messages_flow_leaves_the_process_and_its_work_alone(rig: Rig) -> None:
    peer = rig.wire()
    rig.configure(thinking=0.01)
    process = rig.service.start()
    rig.service.until_said("wire is connected")
    for number in range(1, 21):
        peer.offer(message for chat in range(CHATS) for message in messages(f"c{chat}", number, 1))
        rig.service.signal(signal.SIGHUP)
    peer.until_answered()
    assert rig.service.process.pid == process
    rig.finish()
    assert peer.times_answered() == Counter(peer.offered)
    assert "Traceback" not in rig.service.logs


def test_a_second_process_on_one_folder_says_who_holds_it_and_leaves_its_work_alone(rig: Rig) -> None:
    peer = rig.wire()
    rig.configure(thinking=0.01)
    process = rig.service.start()
    rig.service.until_said("wire is connected")
    for number in range(1, 4):
        peer.offer(messages("c", (number - 1) * 20 + 1, 20))
        second = rig.site.run("run")
        assert second.returncode == 4, second.stderr
        assert second.stderr.endswith(
            f"nanokimi: the data folder {rig.site.data} is in use by process {process}; "
            "stop that process, or choose another folder with NANOKIMI_HOME\n"
        )
        assert "Traceback" not in second.stderr
    rig.finish()
    assert peer.connections == 1
    assert peer.order()["c"] == [each.id for each in messages("c", 1, 60)]
    assert set(peer.times_answered().values()) == {1}
