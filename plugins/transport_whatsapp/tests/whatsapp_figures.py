"""Figures that tests measure; they are shown at the end of the run, whether or not it passes. A plugin of pytest's."""

from __future__ import annotations

import pytest

LINES: list[str] = []


def report(line: str) -> None:
    """Show a line at the end of the run."""
    LINES.append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if LINES:
        terminalreporter.section("measured on WhatsApp")
        for line in LINES:
            terminalreporter.write_line(line)
