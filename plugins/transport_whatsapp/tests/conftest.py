"""The figures at the end of the run."""

from __future__ import annotations

import pytest
from whatsapp_testbed.figures import LINES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if LINES:
        terminalreporter.section("measured on WhatsApp")
        for line in LINES:
            terminalreporter.write_line(line)
