"""A store that can't be written stops intake loudly: the log and the owner hear of it, once, and the process stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core.errors import NotAccepted
from testbed.fakes import Bench, ScriptedBackend, bench, check_sums, joining, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Let the store take nothing into its inbox or its outbox."""
    with closing(sqlite3.connect(folder / "data" / "nanokimi.db", isolation_level=None)) as connection:
        for table in ("inbox", "outbox"):
            connection.execute(
                f"CREATE TRIGGER no_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        try:
            yield
        finally:
            for table in ("inbox", "outbox"):
                connection.execute(f"DROP TRIGGER no_{table}")


async def refused(given: Bench, times: int) -> None:
    for _ in range(times):
        with pytest.raises(NotAccepted, match="net brings can't be kept"):
            await given.net.say("hello", number="1")


async def test_the_owner_and_the_log_hear_once_that_nothing_can_be_kept_and_again_when_it_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "nanokimi")
    given = bench(tmp_path, {"owner": "net:boss"}, brain=ScriptedBackend(joining))
    async with given.running():
        for outage in (1, 2):
            with refusing(tmp_path):
                await refused(given, 3)
                await until(lambda outage=outage: len(given.net.texts("boss")) == outage)  # type: ignore[misc]
                await anyio.sleep(0.02)
            errors = [record for record in caplog.records if record.levelname == "ERROR"]
            assert len(errors) == len(given.net.texts("boss")) == outage
            assert "store" in given.net.texts("boss")[-1]
            await given.net.say("hello", number=f"after {outage}")
            assert "can be written again" in caplog.text
            await until(lambda outage=outage: len(given.net.texts("desk")) == outage)  # type: ignore[misc]
        assert not given.assistant.stopping
        assert given.net.runs == 1
