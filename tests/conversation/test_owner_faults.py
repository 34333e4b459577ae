"""What the owner hears of a plugin's fault: the cause, and no path of the machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nanokimi_core import Inbox
from nanokimi_core.places import unplaced
from testbed.fakes import MemoryTransport, bench, until


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Falling(MemoryTransport):
    """Falls over once, and then works."""

    async def run(self, inbox: Inbox) -> None:
        if self.runs == 0:
            self.runs += 1
            raise LookupError("no shelf 7")
        await super().run(inbox)


@pytest.mark.anyio
async def test_the_owner_hears_the_cause_of_a_fault_and_only_the_log_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = bench(tmp_path, {"owner": "net:boss"}, net=Falling())
    async with given.running():
        await until(lambda: any("no shelf 7" in text for text in given.net.texts("boss")))
        (told,) = [text for text in given.net.texts("boss") if "no shelf 7" in text]
    assert "LookupError: no shelf 7;" in told
    assert "/" not in told
    assert re.search(r"LookupError: no shelf 7, at /\S+\.py:\d+ \(Falling\.run\)", caplog.text)


def test_only_places_are_left_out_of_what_the_owner_hears() -> None:
    at = "OSError: busy, at 10:30, at /a b/post.py:7 (Post.run)"
    said = f'plugin "post" failed: it gave Post (/a b/post.py:31), then {at}; mend'
    assert unplaced(said) == 'plugin "post" failed: it gave Post, then OSError: busy, at 10:30; mend'
