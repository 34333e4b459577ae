"""The conformance suites as pytest runs them."""

from __future__ import annotations

from nanokimi_core.builtin import console
from nanokimi_core.testing import TransportRig, TransportSuite


class ConsoleRig(TransportRig):
    (spec,) = console.nanokimi_transports()


class TestConsole(TransportSuite):
    rig = ConsoleRig
