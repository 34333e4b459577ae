"""``kill -9`` at random moments, over a network that keeps nothing and brings nothing again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from faults.irc import IrcRun, Said
from faults.report import report
from faults.rig import Rig

pytestmark = pytest.mark.ircd

KILLS = 12
NICKS = ("ana", "bo", "cleo")
CHANNELS = ("#one", "#two")
LONGEST_LIFE = 0.8


@pytest.fixture
def run(rig: Rig) -> Iterator[IrcRun]:
    made = IrcRun(rig, NICKS, CHANNELS)
    try:
        yield made
    finally:
        made.close()


def live(run: IrcRun) -> None:
    """One life, ended at a random moment; now and then before it is connected."""
    run.rig.service.start()
    if run.rig.chance.random() < 0.85:
        run.rig.service.until_said("irc is connected")
    time.sleep(run.rig.chance.uniform(0, LONGEST_LIFE))
    run.kill()


def answered_all(run: IrcRun) -> bool:
    rows = run.rig.live_rows()
    return not (rows.messages("pending") or rows.messages("claimed") or rows.keys("owed"))


def gaps(accepted: list[str], written: list[str]) -> int:
    """Count the stretches of what somebody wrote that were not accepted."""
    kept = [text in accepted for text in written]
    return sum(1 for before, now in zip([True, *kept], kept, strict=False) if before and not now)


@pytest.mark.timeout(300)
def test_what_was_accepted_from_irc_is_answered_in_order_and_twice_only_where_a_kill_left_it_unknown(
    run: IrcRun,
) -> None:
    rig = run.rig
    run.people.start()
    for _ in range(KILLS):
        live(run)
    rig.service.start()
    rig.service.until_said("irc is connected")
    time.sleep(LONGEST_LIFE)
    run.people.stop()
    rig.until("all is answered", lambda: answered_all(run))
    assert rig.service.stop() == 0
    run.people.sync()

    prompted, rows, read = run.prompted(), rig.rows(), run.people.read()
    accepted = [prompted[name] for name in rows.inbox]
    answers: list[Said] = [(chat, text) for chat, line in read for text in line.split()]
    assert Counter(accepted).most_common(1)[0][1] == 1, "a message was accepted twice"
    assert set(answers) == set(accepted), rig

    first = list(dict.fromkeys(answers))
    for (chat, nick), texts in run.people.written.items():
        theirs = [text for there, text in first if there == chat and text in set(texts)]
        kept = [text for there, text in accepted if there == chat and text in set(texts)]
        assert theirs == sorted(theirs, key=texts.index), (chat, nick, rig)
        assert gaps(kept, texts) <= KILLS + 1, (chat, nick, rig)

    twice = Counter(read) - Counter(dict.fromkeys(read, 1))
    written = sum(map(len, run.people.written.values()))
    report(
        f"kill -9 on IRC: {KILLS} kills; {written} lines written, {len(accepted)} accepted and all answered in order, "
        f"{written - len(accepted)} sent while nobody was there; {twice.total()} answers read twice "
        f"({run.unnoted.total()} were at the server and not yet noted as sent)"
    )
    assert twice <= run.unnoted, rig
    counters = rig.counters()
    assert counters["accepted"] == counters["answered"] == len(accepted)
    assert counters["duplicate"] == counters["dead"] == counters["owed"] == counters["undelivered"] == 0
    assert len(accepted) > KILLS
