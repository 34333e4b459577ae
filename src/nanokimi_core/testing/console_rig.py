"""The rig of the built-in console: a terminal that somebody types in and reads."""

from __future__ import annotations

import os
import pty
import re
import sys
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import anyio

from nanokimi_core.builtin import console
from nanokimi_core.contracts.transport import Transport
from nanokimi_core.hookspecs import Spec
from nanokimi_core.testing.conformance.checks import until
from nanokimi_core.testing.conformance.rigs import TransportRig

_WHO = "Kai: "
_GREETING = re.compile(r"Write to Kai\..*\n")
_END = b"\x04"  # Ctrl-D


class ConsoleRig(TransportRig):
    """The console in a terminal of its own, which stands for standard input and output meanwhile.

    A read from a terminal can't be called off, so the reader of a run that is over takes one more line. The person at
    this terminal gives it an empty one.

    Args:
        folder: Its own; what people see is written there.
    """

    spec: ClassVar[Spec[Transport]] = console.nanokimi_transports()[0]
    chat = console.CHAT
    excused: ClassVar[Mapping[str, str]] = {
        "lets a refusal out of run": "who has typed the line is told at once that it was lost",
        "leaves nothing behind": "a read from a terminal can't be called off; its thread ends with the next line",
        "keeps nothing in globals": "a process has one standard input",
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._screen = folder / "screen"
        self._others = _readers()

    async def __aenter__(self) -> Self:
        self._keys, self._terminal = pty.openpty()
        settings = termios.tcgetattr(self._terminal)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(self._terminal, termios.TCSANOW, settings)
        self._files = os.fdopen(self._terminal, encoding="utf-8"), self._screen.open("w", encoding="utf-8")
        self._before: tuple[Any, Any] = sys.stdin, sys.stdout
        sys.stdin, sys.stdout = self._files
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._end_readers(_END, lambda reader: True)
        sys.stdin, sys.stdout = self._before
        for file in self._files:
            file.close()
        os.close(self._keys)

    async def write(self, text: str) -> None:
        """Type a line."""
        await self._end_readers(b"\n", lambda reader: reader.over)  # that of the run may not have begun yet
        os.write(self._keys, text.encode() + b"\n")

    async def _end_readers(self, keys: bytes, which: Callable[[Any], bool]) -> None:
        """Type something until none of these threads reads."""

        def ended() -> bool:
            if readers := [each for each in _readers() - self._others if which(each)]:
                os.write(self._keys, keys * len(readers))
            return not readers

        await until(ended, self.patience / 3, "a thread of the console went on reading after its run was over")

    async def shown(self, chat: str) -> Sequence[str]:
        """Read what is on the screen: each answer begins with the assistant's name."""
        screen = await anyio.Path(self._screen).read_text(encoding="utf-8")
        answers = ("\n" + _GREETING.sub("", screen)).split("\n" + _WHO)[1:]
        return [answer.removesuffix("\n") for answer in answers]


def _readers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "console"}
