"""What comes of a check, whatever the plugin under it does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

import anyio
import anyio.lowlevel
import pytest

from nanokimi_core.testing import CheckFailed, DoesNotApply, expect, saw, until, within
from nanokimi_core.testing.conformance.checks import LOOPS, Check, Finding, Loop, check, run_check

OVER = threading.Event()


class Rig:
    patience: ClassVar[float] = 0.6
    excused: ClassVar[Mapping[str, str]] = {"is excused": "nobody has such a thing"}
    flag: ClassVar[bool] = False
    is_set: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self.left = folder / "left"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.left.touch()


@check("transport")
async def passes(rig: Rig) -> None:
    """It passes."""


@check("transport")
async def is_excused(rig: Rig) -> None:
    """Not asked of everybody."""
    saw("it was asked")


@check("transport", "flag", "method")
async def needs_more(rig: Rig) -> None:
    """Needs a flag that isn't set, and a method that isn't there."""
    saw("it was asked")


@check("transport", "is_set")
async def needs_what_is_there(rig: Rig) -> None:
    """Needs a flag that is set."""
    saw("it was asked")


@check("transport")
async def does_not_apply(rig: Rig) -> None:
    """Finds nothing to look at."""
    raise DoesNotApply("the plugin claims nothing")


@check("transport")
async def sees_something(rig: Rig) -> None:
    """It wants four."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        expect(2 + 2 == 5, "it saw four")


@check("transport")
async def is_swallowed(rig: Rig) -> None:
    """A plugin swallows what the check says."""
    with suppress(Exception):
        saw("it was seen all the same")


@check("transport")
async def raises(rig: Rig) -> None:
    """A plugin raises."""
    raise ValueError("a fault")


@check("transport")
async def exits(rig: Rig) -> None:
    """A plugin ends the process."""
    sys.exit(3)


@check("transport")
async def waits(rig: Rig) -> None:
    """A plugin waits for ever."""
    await anyio.sleep_forever()


@check("transport")
async def cannot_be_cancelled(rig: Rig) -> None:
    """A plugin can't be cancelled."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shielded)
        await anyio.lowlevel.checkpoint()
        with within(0.1, "it went on"):
            await anyio.sleep_forever()


async def shielded() -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()


@check("transport")
async def blocks(rig: Rig) -> None:
    """A plugin blocks."""
    OVER.wait()


@check("transport")
async def comes_true_in_time(rig: Rig) -> None:
    """Something comes to be so."""
    times: Iterator[bool] = iter([False, False, True])

    async def so() -> bool:
        return next(times)

    await until(so, 10, "it never was")


@pytest.fixture(autouse=True, scope="module")
def end_what_blocks() -> Iterator[None]:
    yield
    OVER.set()


def found(asked: Check, folder: Path, loop: Loop) -> Finding:
    return run_check(asked, Rig, folder, loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("asked", "outcome", "said"),
    [
        (passes, "passed", ""),
        (comes_true_in_time, "passed", ""),
        (is_excused, "not applicable", "nobody has such a thing"),
        (needs_more, "not applicable", "the rig has no flag, the rig has no method"),
        (needs_what_is_there, "failed", "it was asked"),
        (does_not_apply, "not applicable", "the plugin claims nothing"),
        (sees_something, "failed", "it saw four"),
        (is_swallowed, "failed", "it was seen all the same"),
        (waits, "failed", "the check was not over after 0.6 s"),
        (cannot_be_cancelled, "failed", "it went on; what was running then could not be ended"),
    ],
    ids=lambda value: value.name if isinstance(value, Check) else "",
)
def test_what_comes_of_a_check(asked: Check, outcome: str, said: str, loop: Loop, tmp_path: Path) -> None:
    finding = found(asked, tmp_path, loop)
    assert (finding.outcome, finding.saw) == (outcome, said)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_plugin_raises_is_said_with_file_and_line(loop: Loop, tmp_path: Path) -> None:
    finding = found(raises, tmp_path, loop)
    assert finding.outcome == "failed"
    assert finding.saw.startswith("ValueError: a fault, at ")
    assert "test_checks.py:" in finding.saw
    assert (tmp_path / "left").exists()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_plugin_that_ends_the_process_ends_its_check(loop: Loop, tmp_path: Path) -> None:
    finding = found(exits, tmp_path, loop)
    assert finding.outcome == "failed"
    assert "SystemExit: 3" in finding.saw


@pytest.mark.parametrize("loop", LOOPS)
def test_a_plugin_that_blocks_is_left_behind_and_named_with_file_and_line(loop: Loop, tmp_path: Path) -> None:
    finding = found(blocks, tmp_path, loop)
    assert finding.outcome == "failed"
    assert "the event loop is blocked at" in finding.saw
    assert "test_checks.py:" in finding.saw


def test_a_finding_says_what_was_wanted_and_what_was_seen(tmp_path: Path) -> None:
    text = str(found(sees_something, tmp_path, "asyncio"))
    assert text == "sees something\n  wanted: It wants four.\n  saw: it saw four"


def test_a_failure_outside_of_a_check_is_an_assertion() -> None:
    with pytest.raises(AssertionError):
        saw("something")
    with pytest.raises(CheckFailed, match="something else"):
        expect(False, "something else")
