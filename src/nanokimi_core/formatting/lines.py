"""What a rendered text is made of: lines that know where they may be cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a line's text that should stay in one message, such as bold words or a link.

    Args:
        start: Its first character.
        end: The character after its last one.
        mark: What the network wants on both sides of it, perhaps nothing.
    """

    start: int
    end: int
    mark: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Fence:
    """What stands around the lines of a code block; one object for one block.

    Args:
        opening: The line before its first line.
        closing: The line after its last line.
        reopening: The line before its lines in a further message.
        reclosing: The line after them there.
    """

    opening: str
    closing: str
    reopening: str
    reclosing: str

    @property
    def room(self) -> int:
        """What the fence takes of a message, at most."""
        return max(len(self.opening), len(self.reopening)) + max(len(self.closing), len(self.reclosing)) + 2


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a rendered text.

    Args:
        text: Its characters without any markup.
        spans: What belongs together in it, properly nested, the outer before the inner.
        prefix: What stands before it: marks of lists and quotes.
        again: What stands before what is left of it in a further message.
        gap: How many empty lines stand before it, if it isn't the first of its message.
        fence: The code block that it is in.
        clings: It belongs to what comes next, as a heading does.
    """

    text: str
    spans: tuple[Span, ...] = ()
    prefix: str = ""
    again: str = ""
    gap: int = 0
    fence: Fence | None = None
    clings: bool = False

    @property
    def length(self) -> int:
        """Its length in a message, marks and prefix included."""
        return len(self.prefix) + len(self.text) + 2 * sum(len(span.mark) for span in self.spans)

    def marked(self) -> str:
        """Give the text with its marks, without the prefix."""
        if not any(span.mark for span in self.spans):
            return self.text
        pieces, at = [], 0
        for place, mark in _marks(self.spans):
            pieces += [self.text[at:place], mark]
            at = place
        return "".join([*pieces, self.text[at:]])


def _marks(spans: Iterable[Span]) -> list[tuple[int, str]]:
    """Where which mark stands: at one place the inner spans end first, and the outer ones begin first."""
    events = [(span.start, 1, number, span.mark) for number, span in enumerate(spans)]
    events += [(span.end, 0, -number, span.mark) for number, span in enumerate(spans)]
    return [(place, mark) for place, _, _, mark in sorted(events)]
