"""The transport's conformance suite: a good transport passes it, a broken one fails what is meant for its fault."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
ALONE = [BY_NAME["leaves nothing behind"], BY_NAME["keeps its secrets"]]  # they look at the whole process
AT_ONCE = 24

Case = tuple[type[Pigeon], Loop]


class TestPigeon(TransportSuite):
    rig = PigeonRig


class TestPigeonOfARestlessNetwork(TransportSuite):
    rig = type("RestlessRig", (PigeonRig,), {"restless": True})


def rig_of(broken: type[Pigeon], seconds: float) -> type[PigeonRig]:
    class BrokenRig(PigeonRig):
        spec = Spec("pigeon", broken, config=PigeonConfig)
        patience = seconds

    return BrokenRig


class Runs:
    """Runs of all checks against each broken transport that was asked for; most of their time is waiting."""

    def __init__(self, cases: list[Case], folder: Path, pool: ThreadPoolExecutor) -> None:
        self._folder = folder
        self._findings: dict[Case, list[Finding]] = {case: [] for case in cases}
        self._runs: dict[Case, list[Future[Finding]]] = {case: [] for case in cases}
        for case in cases:
            alone = TRANSPORT_CHECKS if case[0] is broken_lives.OneLineForAll else ALONE
            self._findings[case] = [self._run(check, case, 6.0) for check in alone]
        for case in cases:
            found = [finding.check for finding in self._findings[case]]
            rest = [check for check in TRANSPORT_CHECKS if check not in found]
            self._runs[case] = [pool.submit(self._run, check, case, 12.0) for check in rest]

    def _run(self, check: Check, case: Case, seconds: float, *more: str) -> Finding:
        broken, loop = case
        folder = self._folder / "-".join([broken.__name__, loop, check.name, *more])
        folder.mkdir()
        return run_check(check, rig_of(broken, seconds), folder, loop)

    def of(self, case: Case, meant: str) -> list[Finding]:
        """Give what came of a case; what else has failed is looked at again, with nothing beside it."""
        findings = self._findings[case] + [run.result() for run in self._runs[case]]
        doubtful = [each for each in findings if each.outcome == "failed" and each.check.name != meant]
        sure = [each for each in findings if each not in doubtful]
        return sure + [self._run(each.check, case, 30.0, "again") for each in doubtful]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    cases: list[Any] = [
        (item.callspec.params["broken"], item.callspec.params["loop"]) for item in items if "runs" in item.fixturenames
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield Runs(cases, tmp_path_factory.mktemp("broken"), pool)
        pool.shutdown(cancel_futures=True)
    broken_lives.clean()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("broken", FAULTS)
def test_a_broken_transport_fails_just_the_check_that_is_meant_for_its_fault(
    broken: type[Pigeon], loop: Loop, runs: Runs
) -> None:
    findings = runs.of((broken, loop), FAULTS[broken])
    failed = {finding.check.name: finding.saw for finding in findings if finding.outcome == "failed"}
    assert set(failed) == {FAULTS[broken]}, failed


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("broken", broken_lives.BROAD)
def test_a_transport_that_fails_in_everything_ends_its_checks_too(
    broken: type[Pigeon], loop: Loop, tmp_path: Path
) -> None:
    finding = run_check(BY_NAME[broken_lives.BROAD[broken]], rig_of(broken, 1.5), tmp_path, loop)
    assert finding.outcome == "failed"


def test_a_blocked_event_loop_is_named_with_file_and_line(tmp_path: Path) -> None:
    finding = run_check(BY_NAME["shows what is sent"], rig_of(broken_lives.Blocking, 3.0), tmp_path, "asyncio")
    assert "the event loop is blocked at" in finding.saw


def test_each_check_finds_a_fault() -> None:
    assert {*FAULTS.values(), *broken_lives.BROAD.values()} == set(BY_NAME)
