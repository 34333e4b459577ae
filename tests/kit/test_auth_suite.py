"""The auth suite: a good plugin passes every check, and each of the broken ones fails the one that is meant for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.auths_broken import BROKEN, rig_of
from kit.auths_club import Club, ClubRig
from nanokimi_core.testing import AuthSuite
from nanokimi_core.testing.conformance.auth import AUTH_CHECKS
from nanokimi_core.testing.conformance.checks import LOOPS, Finding, Loop, run_check

# What these look at, others need as well: a plugin without it fails more than one.
SHARED = {"has its methods", "ended credentials are renewed"}


class TestClub(AuthSuite):
    rig = ClubRig


def findings(rig: type[ClubRig], folder: Path, loop: Loop) -> list[Finding]:
    found = []
    for number, check in enumerate(AUTH_CHECKS):
        (own := folder / str(number)).mkdir()
        found.append(run_check(check, rig, own, loop))
    return found


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("broken", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_plugin_fails_the_check_that_is_meant_for_it_and_no_other(
    broken: type[Club], loop: Loop, tmp_path: Path
) -> None:
    failed = {
        found.check.name: found.saw for found in findings(rig_of(broken), tmp_path, loop) if found.outcome == "failed"
    }
    assert set(failed) == {BROKEN[broken]}, failed
    assert len(failed[BROKEN[broken]].split()) > 3


def test_there_is_a_broken_plugin_for_each_check() -> None:
    assert {check.name for check in AUTH_CHECKS} - SHARED == set(BROKEN.values())
