"""The transport's conformance suite: a good transport passes it, a broken one fails what is meant for its fault."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import Spec
from nanokimi_core.testing import TransportSuite
from nanokimi_core.testing.conformance.checks import LOOPS, Check, Finding, Loop, run_check
from nanokimi_core.testing.conformance.transport.suite import TRANSPORT_CHECKS

from . import broken_lives, broken_receiving, broken_sending
from .transports import Pigeon, PigeonConfig, PigeonRig

FAULTS = {**broken_receiving.FAULTS, **broken_sending.FAULTS, **broken_lives.FAULTS}
BY_NAME = {check.name: check for check in TRANSPORT_CHECKS}
LOOP_OF: dict[type[Pigeon], Loop] = {broken: LOOPS[number % len(LOOPS)] for number, broken in enumerate(FAULTS)}

Case = tuple[type[Pigeon], Loop]

ALONE = ("leaves nothing behind", "keeps its secrets")  # they look at the whole process
HASTY = 1.5  # seconds: what a check waits for in vain it waits for as long
LENGTHY: dict[type[Pigeon], float] = {broken_lives.LooksThingsUp: 20.0}  # the fault itself takes its time
PATIENT, VERY_PATIENT = 9.0, 30.0


class TestPigeon(TransportSuite):
    rig = PigeonRig


class TestPigeonOfARestlessNetwork(TransportSuite):
    rig = type("RestlessRig", (PigeonRig,), {"restless": True})


def rig_of(broken: type[Pigeon], seconds: float) -> type[PigeonRig]:
    class BrokenRig(PigeonRig):
        spec = Spec("pigeon", broken, config=PigeonConfig)
        patience = seconds

    return BrokenRig


class Looks:
    """Runs of checks against broken transports.

    Most of their time is waiting, so the first look is had at some at once. On a busy machine that is no proof of
    anything: what isn't as it should be is looked at again by the tests, which run one after the other.

    Args:
        folder: For all of them.
        asked: Which broken transports to look at, on which loops.
    """

    def __init__(self, folder: Path, asked: set[Case]) -> None:
        self._folder = folder
        self._numbers = count()
        self.meant: dict[Case, Finding] = {}
        here = [broken for broken, loop in asked if loop == LOOP_OF[broken]]
        self.others: dict[type[Pigeon], list[Finding]] = {broken: [] for broken in here}
        self._look_for_what_is_meant(asked)
        self._look_for_anything_else()

    def look(self, check: Check, broken: type[Pigeon], loop: Loop, seconds: float) -> Finding:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return run_check(check, rig_of(broken, seconds), folder, loop)

    def _look_for_what_is_meant(self, asked: set[Case]) -> None:
        def first(case: Case) -> None:
            broken, loop = case
            self.meant[case] = self.look(BY_NAME[FAULTS[broken]], broken, loop, LENGTHY.get(broken, HASTY))

        alone = [case for case in asked if FAULTS[case[0]] in ALONE]
        for case in alone:
            first(case)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(first, asked.difference(alone)))

    def _look_for_anything_else(self) -> None:
        def first(case: tuple[type[Pigeon], Check]) -> None:
            broken, check = case
            self.others[broken].append(self.look(check, broken, LOOP_OF[broken], PATIENT))

        cases = [(each, check) for each in self.others for check in TRANSPORT_CHECKS if check.name != FAULTS[each]]
        alone = [case for case in cases if case[1].name in ALONE or case[0] is broken_lives.OneLineForAll]
        for case in alone:
            first(case)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(first, [case for case in cases if case not in alone]))


@pytest.fixture(scope="module")
def looks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looks]:
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    params: list[dict[str, Any]] = [item.callspec.params for item in items if "looks" in item.fixturenames]
    asked: set[Case] = {(each["broken"], each["loop"]) for each in params}
    yield Looks(tmp_path_factory.mktemp("broken"), asked)
    broken_lives.clean()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("broken", FAULTS)
def test_a_broken_transport_fails_the_check_that_is_meant_for_its_fault(
    broken: type[Pigeon], loop: Loop, looks: Looks
) -> None:
    finding = looks.meant[broken, loop]
    for seconds in (PATIENT, VERY_PATIENT):
        if finding.outcome != "failed" or finding.saw.startswith("the check was not over"):
            finding = looks.look(finding.check, broken, loop, seconds)
    assert finding.outcome == "failed"


@pytest.mark.parametrize(("broken", "loop"), LOOP_OF.items())
def test_a_broken_transport_fails_no_check_that_is_not_meant_for_its_fault(
    broken: type[Pigeon], loop: Loop, looks: Looks
) -> None:
    failed = [finding for finding in looks.others[broken] if finding.outcome == "failed"]
    for _ in range(2):
        again = [looks.look(finding.check, broken, loop, VERY_PATIENT) for finding in failed]
        failed = [finding for finding in again if finding.outcome == "failed"]
    assert failed == []


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("broken", broken_lives.BROAD)
def test_a_transport_that_fails_in_everything_ends_its_checks_too(
    broken: type[Pigeon], loop: Loop, tmp_path: Path
) -> None:
    finding = run_check(BY_NAME[broken_lives.BROAD[broken]], rig_of(broken, 1.5), tmp_path, loop)
    assert finding.outcome == "failed"


@pytest.mark.parametrize(
    ("broken", "check", "seconds", "saw"),
    [
        (broken_lives.Blocking, "shows what is sent", 1.5, "the event loop is blocked at"),
        (broken_lives.LooksThingsUp, "lets others work", 20.0, "the event loop was blocked for more than 1 s at"),
    ],
)
def test_a_blocked_event_loop_is_named_with_file_and_line(
    broken: type[Pigeon], check: str, seconds: float, saw: str, tmp_path: Path
) -> None:
    finding = run_check(BY_NAME[check], rig_of(broken, seconds), tmp_path, "asyncio")
    assert f"{saw} {broken_lives.__file__}:" in finding.saw


def test_each_check_finds_a_fault() -> None:
    assert {*FAULTS.values(), *broken_lives.BROAD.values()} == set(BY_NAME)
