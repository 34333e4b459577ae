"""Conformance suites for pytest: a class to derive from, and a rig to name.

    class TestPost(TransportSuite):
        rig = PostRig

Each check that applies to the rig becomes a test, on every event loop that the plugin runs on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from nanokimi_core.testing.conformance.auth.suite import AUTH_CHECKS
from nanokimi_core.testing.conformance.backend.suite import BACKEND_CHECKS
from nanokimi_core.testing.conformance.checks import Check, Loop, run_check
from nanokimi_core.testing.conformance.rigs import AuthRig, BackendRig, Rig, TransportRig
from nanokimi_core.testing.conformance.transport.suite import TRANSPORT_CHECKS


class _Suite:
    rig: ClassVar[type[Rig[Any]]]
    checks: ClassVar[tuple[Check, ...]]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make a test of each check that applies, on each loop; no excuse from what is no check."""
        if "check" in metafunc.fixturenames:
            if unknown := sorted(set(self.rig.excused) - {check.name for check in self.checks}):
                said = f"{self.rig.__name__}.excused names {', '.join(map(repr, unknown))}: there is no such check"
                pytest.fail(f"{said}; take the name out, or write it as the check has it", pytrace=False)
            applying = [check for check in self.checks if not check.lacking(self.rig)]
            metafunc.parametrize("check", applying, ids=[check.name for check in applying])
            metafunc.parametrize("loop", self.rig.loops)

    def test_conforms(self, check: Check, loop: Loop, tmp_path: Path) -> None:
        """Run a check; a failure says what was wanted and what was seen."""
        finding = run_check(check, self.rig, tmp_path, loop)
        if finding.outcome == "failed":
            pytest.fail(str(finding), pytrace=False)
        if finding.outcome == "not applicable":
            pytest.skip(finding.saw)


class TransportSuite(_Suite):
    """What the contract wants of a transport."""

    rig: ClassVar[type[TransportRig]]
    checks = TRANSPORT_CHECKS


class BackendSuite(_Suite):
    """What the contract wants of a backend."""

    rig: ClassVar[type[BackendRig]]
    checks = BACKEND_CHECKS


class AuthSuite(_Suite):
    """What the contract wants of an auth plugin."""

    rig: ClassVar[type[AuthRig]]
    checks = AUTH_CHECKS
