"""Markdown as the agent wrote it, as lines that know which code block they are in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from nanokimi_core.formatting.lines import Fence, Line, Span

_KEPT = re.compile(
    r"`[^`\n]{1,500}`"  # code
    r"|!?\[[^\[\]\n]{0,500}\]\([^()\s]{0,500}\)"  # links
    r"|\*\*[^*\n]{1,500}\*\*|\*[^*\s][^*\n]{0,500}\*"  # emphasis
)
_HEADING = re.compile(r" {0,3}#{1,6}\s")
_QUOTE = re.compile(r"(?: {0,3}> ?)+")
_MARK = re.compile(r"[^>\s]")


def source_lines(text: str, limit: int) -> list[Line]:
    """Give the lines of a Markdown text, in which code blocks can be closed and opened again.

    Args:
        text: The text, its lines ended by line feeds.
        limit: The length of the longest message; a code block whose own marks take most of it counts as text.
    """
    written = text.split("\n")
    fences = list(_fences(text))
    if len(text) <= limit and all(_is_closed(written[start:end], markup) for start, end, markup, _ in fences):
        return [Line(line) for line in written]
    lines = []
    at = 0
    for start, end, markup, info in fences:
        lines += _texts(written[at:start], limit)
        lines += _fenced(written[start:end], markup, info, limit)
        at = end
    lines += _texts(written[at:], limit)
    return _with_gaps(lines)


def text_lines(text: str, limit: int) -> list[Line]:
    """Give the lines of a text for a network that knows no code blocks."""
    return _with_gaps(_texts(text.split("\n"), limit))


def _fences(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Give the first line, the line after the last, the marks and the language of every code block."""
    if "```" not in text and "~~~" not in text:
        return
    from nanokimi_core.formatting.parser import block_tokens

    for token in block_tokens(text):
        if token.type == "fence" and token.map:
            yield token.map[0], token.map[1], token.markup, token.info


def _texts(written: list[str], limit: int) -> list[Line]:
    return [_text(line, limit) for line in written]


def _text(written: str, limit: int) -> Line:
    quote = _QUOTE.match(written)
    prefix = quote.group() if quote else ""
    heading = _HEADING.match(written) is not None
    line = Line(written[len(prefix) :], prefix=prefix, again=prefix, clings=heading)
    if len(written) <= limit:
        return line
    return replace(line, spans=tuple(Span(*match.span()) for match in _KEPT.finditer(line.text)))


def _fenced(written: list[str], markup: str, info: str, limit: int) -> list[Line]:
    before = written[0].partition(markup)[0]
    container = _MARK.sub(" ", before)
    quote = "> " * container.count(">")
    closed = _is_closed(written, markup)
    fence = Fence(
        opening=written[0],
        closing=written[-1] if closed else container + markup,
        reopening=quote + markup + info,
        reclosing=quote + markup,
    )
    if fence.room > limit // 2:
        return _texts(written, limit)
    inside = written[1:-1] if closed else written[1:]
    while not closed and len(inside) > 1 and not inside[-1].strip(" >"):
        inside.pop()
    return [_code(line, container, quote, fence) for line in inside or [container]]


def _code(written: str, container: str, quote: str, fence: Fence) -> Line:
    at = 0
    for mark in container:
        if at < len(written) and written[at] == mark:
            at += 1
    return Line(written[at:], prefix=written[:at], again=quote, fence=fence)


def _is_closed(written: list[str], markup: str) -> bool:
    end = written[-1].strip(" >\t")
    return len(written) > 1 and len(end) >= len(markup) and set(end) == {markup[0]}


def _with_gaps(lines: list[Line]) -> list[Line]:
    """Count empty lines outside code as gaps."""
    kept, gap = [], 0
    for line in lines:
        if line.fence is None and not line.prefix and not line.text.strip():
            gap += 1
        else:
            kept.append(replace(line, gap=gap) if gap else line)
            gap = 0
    return kept
