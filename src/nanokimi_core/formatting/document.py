"""From Markdown to rendered lines, by the markup that the network understands."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from nanokimi_core.formatting.lines import Line
from nanokimi_core.formatting.source import source_lines, text_lines

if TYPE_CHECKING:
    from nanokimi_core.formatting import Markup


def document(text: str, markup: Markup, limit: int) -> Sequence[Line]:
    """Give the lines of an answer, rendered for a network whose longest message has ``limit`` characters.

    An answer that is nested too deep to be read, or nothing but markup, stays as it was written.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\N{REPLACEMENT CHARACTER}")
    if markup == "markdown":
        return source_lines(text, limit)
    from nanokimi_core.formatting.blocks import rendered
    from nanokimi_core.formatting.parser import TooDeep, parse

    whatsapp = markup == "whatsapp"
    with suppress(TooDeep):
        lines = rendered(parse(text), text, whatsapp=whatsapp)
        if any(line.fence or line.text.strip() for line in lines):
            return lines
    return source_lines(text, limit) if whatsapp else text_lines(text, limit)
