"""WhatsApp's dictionary of words, read out of the installed library: always the version that the client speaks.

The library is Go: a table of words is an array of (address, length) pairs, whose addresses stand in the file's
relocations. Two tables are looked for by the lengths of their first words, and believed by these words themselves.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SINGLE_COUNT, _DOUBLE_COUNT, _DOUBLE_TABLES = 236, 256, 4
_FIRST_SINGLE: Final = ("", "xmlstreamstart", "xmlstreamend", "s.whatsapp.net", "type", "participant", "from")
_FIRST_DOUBLE: Final = ("read-self", "active", "fbns", "protocol")
_RELATIVE: Final = frozenset({8, 1027})
"""The types of relative relocations: of x86_64 and of aarch64."""
_NO_BITS, _WRITABLE = 8, 1


@dataclass(frozen=True)
class Words:
    """The dictionary: words of one byte, and four tables of words of two."""

    single: tuple[str, ...]
    double: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Section:
    kind: int
    flags: int
    address: int
    offset: int
    size: int


def library_path() -> Path:
    """Find the installed library without importing it.

    Raises:
        FileNotFoundError: neonize isn't installed, or without its library.
    """
    spec = importlib.util.find_spec("neonize")
    places = list(spec.submodule_search_locations or ()) if spec else []
    found = [path for place in places for path in sorted(Path(place).glob("neonize-linux-*.so"))]
    if not found:
        raise FileNotFoundError("neonize is not installed here with its library for Linux")
    return found[0]


@functools.cache
def dictionary() -> Words:
    """Read the installed library's dictionary, once in a process (0.1 s)."""
    return _Image(library_path().read_bytes()).words()


class _Image:
    """The library's file, an ELF of 64 bits."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        start = struct.unpack_from("<Q", data, 0x28)[0]
        size, count = struct.unpack_from("<HH", data, 0x3A)
        heads = [struct.unpack_from("<IIQQQQIIQQ", data, start + index * size) for index in range(count)]
        self._sections = [_Section(head[1], head[2], head[3], head[4], head[5]) for head in heads]
        self._pointers = dict(self._relocations())

    def words(self) -> Words:
        single = self._find(_FIRST_SINGLE)
        double = self._find(_FIRST_DOUBLE)
        # the four tables hang on an array of slices (address, length, capacity) that starts with the first of them
        slices = next(place for place, target in self._pointers.items() if target == double and self._is_slice(place))
        return Words(
            self._strings(single, _SINGLE_COUNT),
            tuple(self._strings(self._pointers[slices + 24 * table], _DOUBLE_COUNT) for table in range(_DOUBLE_TABLES)),
        )

    def _relocations(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for section in self._sections:
            if section.kind == 4:  # with addends
                block = self._data[section.offset : section.offset + section.size]
                entries = struct.iter_unpack("<QQq", block[: len(block) // 24 * 24])
                found += [(place, addend) for place, info, addend in entries if info & 0xFFFFFFFF in _RELATIVE]
        return found

    def _is_slice(self, place: int) -> bool:
        offset = self._offset(place + 8)
        return offset is not None and struct.unpack_from("<Q", self._data, offset)[0] == _DOUBLE_COUNT

    def _offset(self, address: int) -> int | None:
        for section in self._sections:
            inside = section.address <= address < section.address + section.size
            if section.kind != _NO_BITS and section.address and inside:
                return section.offset + address - section.address
        return None

    def _string(self, place: int) -> str:
        offset = self._offset(place + 8)
        length = 0 if offset is None else struct.unpack_from("<Q", self._data, offset)[0]
        start = self._offset(self._pointers.get(place, 0))
        return "" if start is None or not length else self._data[start : start + length].decode()

    def _strings(self, place: int, count: int) -> tuple[str, ...]:
        return tuple(self._string(place + 16 * index) for index in range(count))

    def _find(self, first: Sequence[str]) -> int:
        """Find the table that starts with these words."""
        lengths = b"".join(b".{8}" + re.escape(struct.pack("<Q", len(word))) for word in first)
        pattern = re.compile(b"(?=" + lengths + b")", re.DOTALL)
        for section in self._sections:
            if section.kind == _NO_BITS or not section.flags & _WRITABLE:
                continue
            for match in pattern.finditer(self._data, section.offset, section.offset + section.size):
                place = section.address + match.start() - section.offset
                if place % 8 == 0 and self._strings(place, len(first)) == tuple(first):
                    return place
        raise LookupError(f"{library_path()} holds no table of words that starts with {first[1]!r}: update this module")
