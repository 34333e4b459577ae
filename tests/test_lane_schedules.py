"""Lanes under any schedule of arrivals and failures."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import anyio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nanokimi_core.conversation.verdicts import Again, Verdict
from nanokimi_core.store import Work
from testbed.floor import ANSWERED, floor

Plan = list[tuple[int, list[str]]]  # for each message: its chat, and what happens to it before it is done
PLANS = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.sampled_from(["again", "back"]), max_size=2)), min_size=1, max_size=25
)


@given(
    plan=PLANS,
    turns=st.integers(1, 3),
    batch=st.integers(1, 4),
    together=st.integers(1, 5),
    backend=st.sampled_from(["asyncio", "trio"]),
)
@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a lane that stands still takes seconds: no shrinking
    suppress_health_check=list(HealthCheck),
)
def test_whatever_comes_and_fails_each_chat_ends_everything_once_and_in_order(
    plan: Plan, turns: int, batch: int, together: int, backend: str
) -> None:
    async def carry_out(folder: Path) -> None:
        fates = {f"{number:02}": list(fates) for number, (_, fates) in enumerate(plan)}

        async def script(work: Work) -> Verdict:
            await anyio.lowlevel.checkpoint()
            for row in work.rows:
                if fates[row.message.text]:
                    return Again(0, fates[row.message.text].pop() == "again", "once more")
            return ANSWERED

        async with floor(folder, script, max_turns=turns, max_batch=batch) as made:
            for start in range(0, len(plan), together):
                async with anyio.create_task_group() as tasks:
                    for number, (chat, _) in list(enumerate(plan))[start : start + together]:
                        tasks.start_soon(made.say, f"{number:02}", f"c{chat}")
            await made.until(lambda: sum(map(len, made.ended.values())) >= len(plan))
            await made.lanes.settled()
            assert made.most <= turns
            assert made.most_in_a_chat == 1
            assert made.lanes.total == made.lanes.running == len(made.lanes.held) == 0
            assert made.ended == kept(folder / "nanokimi.db")

    with tempfile.TemporaryDirectory() as folder:
        anyio.run(carry_out, Path(folder), backend=backend)


def kept(store: Path) -> dict[str, list[str]]:
    """Give for each chat what was kept, in that order."""
    found: dict[str, list[str]] = defaultdict(list)
    with closing(sqlite3.connect(store)) as connection:
        for (message,) in connection.execute("SELECT message FROM inbox ORDER BY number"):
            chat, _, text = message.partition("-")
            found[chat].append(text)
    return found
