"""Looks at broken plugins, for the tests of the suites: each is to fail the check that is meant for it, and no other.

Most of a check's time is waiting, so some are run at once. On a busy machine what comes of that is no proof: whatever
isn't as it should be is looked at again, alone and with more patience, when the tests ask for it one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from nanokimi_core.testing.conformance.checks import LOOPS, Check, Finding, Loop, run_check

Broken = TypeVar("Broken")
RigOf = Callable[[Broken, float], type[Any]]

HASTY = 1.5
"""Seconds of patience for a check that is to fail: most wait for something in vain, and a third of this."""
PATIENT, VERY_PATIENT = 9.0, 30.0


def loops_of(faults: Iterable[Broken]) -> list[tuple[Broken, Loop]]:
    """Give each a loop by turns: what is not meant to fail is looked at on one of the two."""
    return [(broken, LOOPS[number % len(LOOPS)]) for number, broken in enumerate(faults)]


def asked_for(request: pytest.FixtureRequest) -> set[tuple[Any, Loop]]:
    """Give the broken plugins and loops of the tests in the fixture's module that will run."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    params: list[dict[str, Any]] = [item.callspec.params for item in items if "looks" in item.fixturenames]
    return {(each["broken"], each["loop"]) for each in params}


class Looks(Generic[Broken]):
    """Looks at the broken plugins of one kind; the first are had when it is made.

    Args:
        folder: For their rigs.
        checks: The suite.
        meant: The broken plugins, each with the name of the check that is meant for it.
        rig_of: Makes a broken plugin's rig, with a patience.
        asked: Which broken plugins to look at, on which loops.
        alone: Names of checks with which nothing else may run, for they look at the whole process.
        lonely: Broken plugins beside which nothing else may run.
        lengthy: Patience for those whose fault itself takes its time.
        at_once: How many checks are run at once.
    """

    def __init__(
        self,
        folder: Path,
        checks: Sequence[Check],
        meant: Mapping[Broken, str],
        rig_of: RigOf[Broken],
        asked: Collection[tuple[Broken, Loop]],
        *,
        alone: Collection[str] = (),
        lonely: Collection[Broken] = (),
        lengthy: Mapping[Broken, float] | None = None,
        at_once: int = 4,
    ) -> None:
        self._folder, self._numbers = folder, count()
        self._rig_of, self._alone, self._lonely, self._at_once = rig_of, alone, lonely, at_once
        hasty = lengthy or {}
        named = {check.name: check for check in checks}
        found = self._first([(named[meant[each]], each, loop, hasty.get(each, HASTY)) for each, loop in asked])
        self._meant = {(broken, loop): finding for broken, loop, finding in found}
        here = [case for case in loops_of(meant) if case in asked]
        others = [(check, each, loop, PATIENT) for each, loop in here for check in checks if check.name != meant[each]]
        self._others: dict[Broken, list[Finding]] = {broken: [] for broken, _ in here}
        for broken, _, finding in self._first(others):
            self._others[broken].append(finding)

    def meant(self, broken: Broken, loop: Loop) -> Finding:
        """Give what came of the check that is meant for a broken plugin."""
        finding = self._meant[broken, loop]
        for seconds in (PATIENT, VERY_PATIENT):
            if finding.outcome != "failed" or finding.saw.startswith("the check was not over"):
                finding = self._look(finding.check, broken, loop, seconds)
        return finding

    def others_failed(self, broken: Broken, loop: Loop) -> list[Finding]:
        """Give what failed besides, and failed again each time that it was run alone."""
        failed = [finding for finding in self._others[broken] if finding.outcome == "failed"]
        for _ in range(2):
            again = [self._look(finding.check, broken, loop, VERY_PATIENT) for finding in failed]
            failed = [finding for finding in again if finding.outcome == "failed"]
        return failed

    def _look(self, check: Check, broken: Broken, loop: Loop, seconds: float) -> Finding:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return run_check(check, self._rig_of(broken, seconds), folder, loop)

    def _first(self, cases: list[tuple[Check, Broken, Loop, float]]) -> list[tuple[Broken, Loop, Finding]]:
        def look(case: tuple[Check, Broken, Loop, float]) -> tuple[Broken, Loop, Finding]:
            return case[1], case[2], self._look(*case)

        alone = [case for case in cases if case[0].name in self._alone or case[1] in self._lonely]
        with ThreadPoolExecutor(self._at_once) as pool:
            return [*map(look, alone), *pool.map(look, [case for case in cases if case not in alone])]
