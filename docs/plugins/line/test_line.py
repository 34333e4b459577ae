from nanokimi_line_rig import LineRig

from nanokimi_core.testing import TransportSuite


class TestLine(TransportSuite):
    rig = LineRig
