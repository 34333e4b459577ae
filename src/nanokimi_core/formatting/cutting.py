"""Cuts one line that is longer than a message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nanokimi_core.formatting.breaks import best_cut, forced_cut
from nanokimi_core.formatting.lines import Line, Span


def pieces(line: Line, first: int, room: int) -> Iterator[Line]:
    """Cut a line between its sentences, words or, in a word longer than a message, characters.

    A span that has room in one message is left whole; one that hasn't is closed and opened again.

    Args:
        line: The line.
        first: The room for the first piece's text with its marks, in characters; perhaps too little for any.
        room: The room for every further piece.
    """
    text, at, free = line.text, 0, first
    waiting, near = list(reversed(line.spans)), list[Span]()
    begun = False
    while at < len(text):
        near = [span for span in near if span.end > at]
        while waiting and waiting[-1].start <= at + free:
            near.append(waiting.pop())
        stop = _stop(text, at, free, near)
        if stop < len(text):
            stop = _cut(text, at, stop, near, room, must=free >= room)
        if stop > at:
            piece = replace(line, text=text[at:stop].rstrip(), spans=_clipped(text, near, at, stop))
            yield replace(piece, prefix=line.again, gap=0) if begun else piece
            begun = True
            at = _after_space(text, stop)
        free = room


def _stop(text: str, at: int, free: int, near: list[Span]) -> int:
    """Where a piece must end at the latest, so that its marks have room too."""
    stop = min(len(text), at + free)
    if len(text) - at <= free:
        marks = sum(2 * len(span.mark) for span in near)
        return stop if len(text) - at + marks <= free else at + max(free - marks, 0)
    for span in near:
        if max(span.start, at) < stop:
            stop -= 2 * len(span.mark)
    return max(stop, at)


def _cut(text: str, at: int, stop: int, near: list[Span], room: int, *, must: bool) -> int:
    """Choose where a piece ends; it may be nothing where the next message has more room."""
    whole = [span for span in near if span.end - span.start + 2 * len(span.mark) <= room]
    best = best_cut(text, at, stop, lambda place: not any(span.start < place < span.end for span in whole))
    if best > at or not must:
        return best
    inside = best_cut(text, at, stop, lambda _: True)
    return inside if inside > at else forced_cut(text, at, max(stop, at + 1))


def _clipped(text: str, near: list[Span], at: int, stop: int) -> tuple[Span, ...]:
    """What of the spans lies in a piece, counted from its beginning, without white space at its ends."""
    end = at + len(text[at:stop].rstrip())
    clipped = []
    for span in near:
        first, last = _after_space(text, max(span.start, at)), min(span.end, end)
        last = first + len(text[first:last].rstrip())
        if first < last:
            clipped.append(Span(first - at, last - at, span.mark))
    return tuple(clipped)


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
