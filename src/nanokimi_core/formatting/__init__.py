"""From the agent's Markdown to what a network can show: rendered to its markup, cut to its longest message.

Nearly every message that passes here is short and holds no markup: those are told apart by one search and go through
as they are. The Markdown parser is loaded for the first text that needs it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Literal

Markup = Literal["plain", "markdown", "whatsapp"]
Measure = Literal["characters", "bytes"]
Lines = Literal["many", "one"]
_Cut = Callable[[str, Markup, int], list[str]]

__all__ = ["Lines", "Markup", "Measure", "parts", "render"]

_ATTEMPTS = 8

_SUSPECT = re.compile(r"[*_~`\[<&\\#>|\0\r\n\t=+-]|^\s|^\d")
_NEEDS_PARSER = re.compile(
    r"[*_~`\[<&\\>\0\r\t]"  # inside a line
    r"|^[ ]{0,3}(?:[#=+-]|\d{1,9}[.)])"  # headings, rules, lists
    r"|^[ ]{0,3}[|:]"  # the line beneath a table's head, where it doesn't begin with a dash
    r"|^[^\S\n]|[^\S\n]$"  # indented code, hard breaks
    r"|\n\s*\n[^\S\n]*\n",  # more than one blank line
    re.MULTILINE,
)


def parts(
    text: str, *, markup: Markup, limit: int, measure: Measure = "characters", lines: Lines = "many"
) -> list[str]:
    """Give the messages that carry an answer, in their order; none for blank text.

    Messages are cut between blocks where that is possible, else between lines, sentences or words, and inside a word
    only where it is longer than a message. A code block that goes on in the next message is closed and opened again.

    Args:
        text: The agent's answer in Markdown. What isn't valid Markdown is shown as it stands, raw HTML too.
        markup: What the network understands. ``markdown`` keeps the text as the agent wrote it.
        limit: The length of the longest message, in what ``measure`` counts. Below 24 no markup is kept, for want of
            room.
        measure: ``bytes`` are those of UTF-8.
        lines: ``one`` makes each line that isn't blank a message of its own.

    Raises:
        ValueError: ``limit`` isn't positive.
    """
    if limit < 1:
        raise ValueError(f"a message can't have at most {limit} {measure}; give a positive limit")
    if lines == "one":
        whole = "".join(_parts(text, markup, sys.maxsize))
        return [part for line in whole.splitlines() for part in _measured(_line, line, markup, limit, measure)]
    return _measured(_parts, text, markup, limit, measure)


def render(text: str, markup: Markup) -> str:
    """Give an answer as one message, however long."""
    return "".join(parts(text, markup=markup, limit=sys.maxsize))


def _measured(cut: _Cut, text: str, markup: Markup, limit: int, measure: Measure) -> list[str]:
    """Cut by characters; for bytes by as many as have room, which a quarter always has: none takes more than four."""
    least = max(1, limit // 4)
    characters = limit
    for attempt in range(_ATTEMPTS):
        cut_up = cut(text, markup, characters)
        if measure == "characters" or characters == least:
            break
        longest = max((len(part.encode(errors="surrogatepass")) for part in cut_up), default=0)
        if longest <= limit:
            break
        tighter = characters * limit // longest if attempt < _ATTEMPTS - 2 else least
        characters = max(least, min(characters - 1, tighter))
    return cut_up


def _parts(text: str, markup: Markup, limit: int) -> list[str]:
    if len(text) <= limit and (_SUSPECT.search(text) is None or _NEEDS_PARSER.search(text) is None):
        return [trimmed] if (trimmed := text.strip()) else []
    if not text.strip():
        return []
    from nanokimi_core.formatting.document import document
    from nanokimi_core.formatting.packing import pack

    return pack(document(text, markup, limit), limit)


def _line(text: str, markup: Markup, limit: int) -> list[str]:
    """Cut a line that is rendered already."""
    if len(text) <= limit:
        return [text.rstrip()] if text.strip() else []
    from nanokimi_core.formatting.packing import pack
    from nanokimi_core.formatting.source import text_lines

    return pack(text_lines(text, limit), limit)
