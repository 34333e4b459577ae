"""From the agent's Markdown to what a network can show: rendered to its markup, cut to its longest message.

Nearly every message that passes here is short and holds no markup: those are told apart by one search and go through
as they are. The Markdown parser is loaded for the first text that needs it.
"""

from __future__ import annotations

import re
import sys
from typing import Literal

Markup = Literal["plain", "markdown", "whatsapp"]

__all__ = ["Markup", "parts", "render"]

_SUSPECT = re.compile(r"[*_~`\[<&\\#>|\0\r\n\t=+-]|^\s|^\d")
_NEEDS_PARSER = re.compile(
    r"[*_~`\[<&\\>\0\r\t]"  # inside a line
    r"|^[ ]{0,3}(?:[#=+-]|\d{1,9}[.)])"  # headings, rules, lists
    r"|^[ ]{0,3}[|:]"  # the line beneath a table's head, where it doesn't begin with a dash
    r"|^[^\S\n]|[^\S\n]$"  # indented code, hard breaks
    r"|\n\s*\n[^\S\n]*\n",  # more than one blank line
    re.MULTILINE,
)


def parts(text: str, *, markup: Markup, limit: int) -> list[str]:
    """Give the messages that carry an answer, in their order; none for blank text.

    Messages are cut between blocks where that is possible, else between lines, sentences or words, and inside a word
    only where it is longer than a message. A code block that goes on in the next message is closed and opened again.

    Args:
        text: The agent's answer in Markdown. What isn't valid Markdown is shown as it stands, raw HTML too.
        markup: What the network understands. ``markdown`` keeps the text as the agent wrote it.
        limit: The length of the longest message, in characters. Below 24 no markup is kept, for want of room.

    Raises:
        ValueError: ``limit`` isn't positive.
    """
    if limit < 1:
        raise ValueError(f"a message can't have at most {limit} characters; give a positive limit")
    if len(text) <= limit and (_SUSPECT.search(text) is None or _NEEDS_PARSER.search(text) is None):
        return [trimmed] if (trimmed := text.strip()) else []
    if not text.strip():
        return []
    from nanokimi_core.formatting.document import document
    from nanokimi_core.formatting.packing import pack

    return pack(document(text, markup, limit), limit)


def render(text: str, markup: Markup) -> str:
    """Give an answer as one message, however long."""
    return "".join(parts(text, markup=markup, limit=sys.maxsize))
