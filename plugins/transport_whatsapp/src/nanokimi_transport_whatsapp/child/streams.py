"""The process' own stdin and stdout are for the wire alone; libraries print where they like."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

_PIECE = 65_536


class TooLong(ValueError):
    """A line that is longer than any value."""


@dataclass(frozen=True)
class Streams:
    """File descriptors that no library knows: ``requests`` to read lines from, ``events`` to write them to."""

    requests: int
    events: int


def take_streams() -> Streams:
    """Put the wire onto descriptors of its own, stdout onto stderr, and nothing onto stdin.

    To be called before any library is loaded: Go prints on descriptor 1.
    """
    streams = Streams(requests=os.dup(0), events=os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return streams


def lines(descriptor: int, longest: int) -> Iterator[bytes]:
    """Give the lines that come in, without their ends, until the other side is gone.

    Raises:
        TooLong: One is longer than ``longest`` bytes.
    """
    held = b""
    while piece := _read(descriptor):
        *whole, rest = piece.split(b"\n")
        if whole:
            whole[0], held = held + whole[0], b""
            yield from whole
        held += rest
        if len(held) > longest:
            raise TooLong(f"a line is longer than {longest} bytes")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _PIECE)
    except ConnectionResetError:
        return b""
