"""The transport does what the contract wants of one, with a real server behind it."""

from __future__ import annotations

import pytest

from nanokimi_core.testing import TransportSuite
from nanokimi_transport_irc.rig import IrcRig

pytestmark = pytest.mark.ircd


class TestIrc(TransportSuite):
    rig = IrcRig
