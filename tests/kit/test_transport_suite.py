"""The transport's conformance suite: a good transport passes it, each broken one fails what is meant for its fault."""

from __future__ import annotations

from nanokimi_core.testing import TransportSuite

from .transports import PigeonRig


class TestPigeon(TransportSuite):
    rig = PigeonRig
