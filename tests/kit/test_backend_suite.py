"""The backend suite: a backend that keeps its contract passes it, and one with a fault fails the check meant for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.broken_backends import BROKEN
from kit.good_backends import ParleyRig
from nanokimi_core.testing import BackendSuite
from nanokimi_core.testing.conformance.backend import BACKEND_CHECKS
from nanokimi_core.testing.conformance.checks import LOOPS, Finding, Loop, run_check
from nanokimi_core.testing.echo_rig import EchoRig


class TestParley(BackendSuite):
    rig = ParleyRig


class TestEcho(BackendSuite):
    rig = EchoRig


def failed(rig: type[ParleyRig], folder: Path, loop: Loop) -> list[Finding]:
    findings = []
    for number, check in enumerate(BACKEND_CHECKS):
        (folder / str(number)).mkdir()
        findings.append(run_check(check, rig, folder / str(number), loop))
    return [finding for finding in findings if finding.outcome == "failed"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_backend_with_one_fault_fails_the_check_meant_for_it_and_no_other(
    fault: str, loop: Loop, tmp_path: Path
) -> None:
    rig, meant = BROKEN[fault]
    findings = failed(rig, tmp_path, loop)
    assert [finding.check.name for finding in findings] == [meant], "\n".join(map(str, findings))
