"""Cuts rendered lines into messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from nanokimi_core.formatting.cutting import pieces
from nanokimi_core.formatting.lines import Fence, Line

_ROOM_FOR_MARKUP = 24


def pack(lines: Iterable[Line], limit: int) -> list[str]:
    """Give the messages of at most ``limit`` characters that carry the lines, none of them empty."""
    packer = _Packer(limit)
    for block in _blocks(_fitting(line, limit) for line in lines):
        packer.put_block(block)
    return packer.finish()


def _fitting(line: Line, limit: int) -> Line:
    """Leave out of a line's dress what would take most of a message."""
    if limit < _ROOM_FOR_MARKUP:
        return Line(line.prefix + line.text, gap=line.gap)
    if line.fence and line.fence.room > limit // 2:
        line = replace(line, fence=None)
    if max(len(line.prefix), len(line.again)) > limit // 4:
        return Line(line.prefix + line.text, gap=line.gap, fence=line.fence)
    return line


def _blocks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Put together what no empty line parts, and headings with what they head."""
    block: list[Line] = []
    for line in lines:
        if block and not block[-1].clings and (line.gap or line.fence is not block[-1].fence):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


class _Packer:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: list[str] = []
        self._lines: list[Line] = []
        self._used = 0
        self._begun: Fence | None = None  # a block that an earlier message opened

    def put_block(self, block: list[Line]) -> None:
        """Add a block, cut only if it has no room in a message of its own."""
        if self._place(block):
            return
        if self._used > self._limit // 2:
            self._close()
        for line in block:
            if not self._place([line]):
                self._put_long(line)

    def finish(self) -> list[str]:
        """Close the last message and give all of them."""
        self._close(whole=True)
        return self._messages

    def _place(self, block: list[Line]) -> bool:
        """Add lines to this message, or to the next if they fit there; whether that was possible."""
        if self._used + self._cost(block, self._lines) <= self._limit:
            self._add(block)
            return True
        carried = self._clinging()
        if self._cost([*carried, *block], []) <= self._limit:
            self._close()
        elif self._cost(block, []) <= self._limit:
            self._close(whole=True)
        else:
            return False
        self._add(block)
        return True

    def _put_long(self, line: Line) -> None:
        """Add a line that is longer than a message."""
        dress = max(len(line.prefix), len(line.again)) + (line.fence.room if line.fence else 0)
        first = self._limit - self._used - self._cost([replace(line, text="", spans=())], self._lines)
        if first < (self._limit - dress) // 2:
            self._close()
            first = self._limit - self._used - self._cost([replace(line, text="", spans=())], self._lines)
        for number, piece in enumerate(pieces(line, max(first, 0), self._limit - dress)):
            if number or self._used + self._cost([piece], self._lines) > self._limit:
                self._close(whole=True)
            self._add([piece])

    def _cost(self, block: list[Line], before: list[Line]) -> int:
        """Give how much longer a message that holds ``before`` becomes with a block, closing fences included."""
        cost, last = 0, before[-1] if before else None
        for line in block:
            cost += line.length if line.fence is None else max(line.length, len(line.again) + len(line.text))
            cost += 0 if last is None else 1 + line.gap
            if line.fence and (last is None or line.fence is not last.fence):
                cost += line.fence.room
            last = line
        return cost

    def _add(self, block: list[Line]) -> None:
        self._used += self._cost(block, self._lines)
        self._lines += block

    def _clinging(self) -> list[Line]:
        """Give the headings that end this message, if more than they are in it."""
        count = len(self._lines)
        while count and self._lines[count - 1].clings:
            count -= 1
        return self._lines[count:] if count else []

    def _close(self, *, whole: bool = False) -> None:
        """End this message; headings at its end go to the next, unless it is to stay whole."""
        carried = [] if whole else self._clinging()
        message = self._written(self._lines[: len(self._lines) - len(carried)]).strip("\n").rstrip()
        if message:
            self._messages.append(message)
        self._lines, self._used = [], 0
        self._add(carried)

    def _written(self, lines: list[Line]) -> str:
        written: list[str] = []
        fence: Fence | None = None
        again = False
        for number, line in enumerate(lines):
            if line.fence is not fence:
                written += [_end(fence, again)] if fence else []
                written += [""] * (line.gap if number else 0)
                again, fence = line.fence is self._begun, line.fence
                written += [fence.reopening if again else fence.opening] if fence else []
            else:
                written += [""] * (line.gap if number else 0)
            written.append((line.again if fence and again else line.prefix) + line.marked())
        if fence:
            written.append(_end(fence, again))
            self._begun = fence
        return "\n".join(written)


def _end(fence: Fence, again: bool) -> str:
    return fence.reclosing if again else fence.closing
