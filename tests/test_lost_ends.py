"""Ends that are rare: a work that another process has taken, and an owner who can't be reached."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import Outbound, Receipt, Undeliverable
from testbed.fakes import MemoryTransport, ScriptedBackend, bench, check_sums, joining, until
from testbed.floor import Gate, floor

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


async def test_a_work_that_another_process_has_taken_is_left_to_it_and_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with floor(tmp_path, gate := Gate(), max_turns=1) as made:
        await made.say("taken", "a")
        await made.say("waits", "b")
        await made.until(lambda: "a" in gate.held)
        with closing(sqlite3.connect(tmp_path / "nanokimi.db", isolation_level=None)) as other:
            other.execute("UPDATE inbox SET holder = 'another process' WHERE state = 1")
        gate.let_all()
        await made.until(lambda: made.ended["b"] == ["waits"])
        await made.lanes.settled()
        assert "its lease was lost" in caplog.text
        with closing(sqlite3.connect(tmp_path / "nanokimi.db")) as other:
            assert other.execute("SELECT holder FROM inbox WHERE state = 1").fetchall() == [("another process",)]


class Blocked(MemoryTransport):
    """A network that takes nothing for one chat any more."""

    async def send(self, message: Outbound) -> Receipt | None:
        if message.chat == "boss":
            self.attempts.append(message)
            raise Undeliverable("blocked")
        return await super().send(message)


async def test_an_owner_who_cannot_be_reached_is_not_told_so_without_end(tmp_path: Path) -> None:
    given = bench(tmp_path, {"owner": "net:boss"}, net=Blocked(), brain=ScriptedBackend(joining))
    async with given.running():
        await given.net.say("hello", "boss")
        await until(lambda: len(given.net.attempts) == 2)  # the answer, and the sentence in its place
        await given.settled()
        await anyio.sleep(0.05)
        await given.settled()
        assert len(given.net.attempts) == 2
        assert (await given.assistant.store.counters())["undelivered"] == 2
