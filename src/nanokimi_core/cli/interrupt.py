"""Ctrl-C while modules are imported and at the very end, where an exception would show as a traceback."""

from __future__ import annotations

import os
import signal
from types import FrameType


def end_silently() -> None:
    """From now on Ctrl-C ends the process with 130 at once; where it was ignored, it stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def interrupt_again() -> None:
    """From now on Ctrl-C raises ``KeyboardInterrupt`` again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)
