"""Keeps WhatsApp from taking characters of the text for its own marks."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from nanokimi_core.formatting.lines import Span

# WhatsApp has no escape; what is invisible beside a mark keeps it from being one.
_INVISIBLE = "\N{ZERO WIDTH SPACE}"
_MARK = re.compile(r"[*_~`]")
_FENCE = re.compile(r"`(?=``)")
_WORD = re.compile(r"[^\W_]")


def without_accidents(
    text: str, spans: Sequence[Span], verbatim: Sequence[tuple[int, int]]
) -> tuple[str, Sequence[Span]]:
    """Give a line in which no two characters of the text can act as a pair of marks, and its spans there.

    Args:
        text: The line.
        spans: Its real spans.
        verbatim: Stretches to leave as they are, code and addresses, none within another.
    """
    if not _MARK.search(text):
        return text, spans
    kept = sorted(verbatim)
    starts = [start for start, _ in kept]
    found: dict[str, list[int]] = {}
    for match in _MARK.finditer(text):
        number = bisect_right(starts, match.start()) - 1
        if number < 0 or match.start() >= kept[number][1]:
            found.setdefault(match.group(), []).append(match.start())
    real = {span.mark for span in spans}
    places = sorted({at for mark, marks in found.items() for at in _breaking(text, marks, real=mark in real)})
    if not places:
        return text, spans
    pieces = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    shifted = [Span(_shifted(places, span.start), _shifted(places, span.end), span.mark) for span in spans]
    return _INVISIBLE.join(pieces), shifted


def unfenced(code: str) -> str:
    """Give a code block's text without anything that would end it for WhatsApp."""
    return _FENCE.sub("`" + _INVISIBLE, code)


def _breaking(text: str, marks: list[int], *, real: bool) -> set[int]:
    """Where something must stand for marks of one kind to be nothing but text."""
    opening = [at for at in marks if _free(text, at - 1) and not text[at + 1 : at + 2].isspace() and at + 1 < len(text)]
    closing = [at for at in marks if at and not text[at - 1].isspace() and _free(text, at + 1)]
    paired = opening and closing and _WORD.search(text, opening[0], closing[-1])
    if not paired and not real:
        return set()
    return {at + 1 for at in opening} | set(closing)


def _free(text: str, at: int) -> bool:
    return not 0 <= at < len(text) or not text[at].isalnum()


def _shifted(places: list[int], at: int) -> int:
    return at + bisect_left(places, at)
