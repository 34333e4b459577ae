"""A look from another thread at whether an event loop still turns, and where it stands when it doesn't."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType

import anyio

LONGEST = 1.0
"""Seconds for which an event loop may stand still."""
_BEAT = 0.02


class Lookout:
    """What was seen.

    Attributes:
        blocked: Where the event loop stood still for too long, as ``file:line (function)``; empty where it never did.
    """

    def __init__(self) -> None:
        self.blocked = ""
        self._loop = threading.get_ident()
        self._beats = 0
        self._over = threading.Event()

    async def beat(self) -> None:
        """Show that the event loop turns, until cancelled."""
        while True:
            self._beats += 1
            await anyio.sleep(_BEAT)

    def watch(self) -> None:
        """Look at it from another thread; a time in which this thread can't look either doesn't count."""
        seen, silent = 0, 0.0
        while not self._over.wait(_BEAT):
            silent = silent + _BEAT if self._beats == seen else 0.0
            seen = self._beats
            if silent > LONGEST:
                self.blocked = self.blocked or place(sys._current_frames().get(self._loop))

    def end(self) -> None:
        """Look no more."""
        self._over.set()


def place(frame: FrameType | None) -> str:
    """Name the innermost place that isn't the standard library's."""
    library = str(Path(threading.__file__).parent)
    while frame is not None and frame.f_back is not None and frame.f_code.co_filename.startswith(library):
        if "site-packages" in frame.f_code.co_filename:
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})" if frame is not None else "?"


@asynccontextmanager
async def lookout() -> AsyncIterator[Lookout]:
    """Look from now on until the end of the block."""
    it = Lookout()
    thread = threading.Thread(target=it.watch, name="lookout", daemon=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(it.beat)
        thread.start()
        try:
            yield it
        finally:
            it.end()
            tasks.cancel_scope.cancel()
    thread.join()
