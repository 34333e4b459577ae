"""Figures that tests measure; they are shown at the end of the run, whether or not it passes."""

from __future__ import annotations

LINES: list[str] = []


def report(line: str) -> None:
    """Show a line at the end of the run."""
    LINES.append(line)
