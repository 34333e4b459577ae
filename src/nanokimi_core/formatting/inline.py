"""What stands inside a block: from the parser's tokens to lines of text with spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markdown_it.token import Token

from nanokimi_core.formatting.accidents import without_accidents
from nanokimi_core.formatting.lines import Line, Span

_MARKS = {"strong_open": "*", "em_open": "_", "s_open": "~"}
_CLOSING = {"strong_close", "em_close", "s_close"}


def inline_lines(tokens: Iterable[Token], *, whatsapp: bool, bold: bool = False) -> list[Line]:
    """Give the lines of a paragraph or heading, those without any text left out.

    Args:
        tokens: What is in it.
        whatsapp: Whether spans get WhatsApp's marks; else they get none.
        bold: Whether all of it is bold.
    """
    writer = _Writer(whatsapp)
    if bold:
        writer.begin("*")
    writer.write(tokens)
    if bold:
        writer.end()
    writer.end_line()
    return writer.lines


def inline_text(tokens: Sequence[Token]) -> str:
    """Give the same as bare text in one line."""
    if len(tokens) == 1 and tokens[0].type == "text":
        return tokens[0].content.strip()
    return " ".join(line.text for line in inline_lines(tokens, whatsapp=False))


class _Writer:
    def __init__(self, whatsapp: bool) -> None:
        self.lines: list[Line] = []
        self._whatsapp = whatsapp
        self._pieces: list[str] = []
        self._length = 0
        self._spans: list[tuple[int, int, str]] = []  # start, end (or -1), mark
        self._open: list[tuple[int, str]] = []  # number of the span (or -1), mark
        self._verbatim: list[tuple[int, int]] = []  # code and addresses
        self._links: list[tuple[str, list[str]]] = []  # where to, what the text is so far

    def write(self, tokens: Iterable[Token]) -> None:
        for token in tokens:
            if mark := _MARKS.get(token.type):
                self.begin(mark)
            elif token.type in _CLOSING:
                self.end()
            elif token.type in ("softbreak", "hardbreak"):
                self.end_line()
            elif token.type == "code_inline":
                self._code(token.content)
            elif token.type == "link_open":
                self.begin("")
                self._links.append((str(token.attrs.get("href", "")), []))
            elif token.type == "link_close":
                self._end_link()
            elif token.type == "image":
                self._image(token.children or (), str(token.attrs.get("src", "")))
            else:
                self._add(token.content, verbatim=token.type == "address")

    def begin(self, mark: str) -> None:
        """Begin a span; bold in bold is no second one."""
        marked = mark if self._whatsapp else ""
        if mark and (not marked or any(mark == other for _, other in self._open)):
            self._open.append((-1, ""))
            return
        self._open.append((len(self._spans), marked))
        self._spans.append((self._length, -1, marked))

    def end(self) -> None:
        """End the innermost span."""
        number, mark = self._open.pop()
        if number >= 0:
            self._spans[number] = (self._spans[number][0], self._length, mark)

    def end_line(self) -> None:
        """End a line; spans that are open go on in the next."""
        spans = [Span(start, self._length if end < 0 else end, mark) for start, end, mark in self._spans]
        line = _tidy("".join(self._pieces), spans, self._verbatim, whatsapp=self._whatsapp)
        if line is not None:
            self.lines.append(line)
        for _, label in self._links:
            label.append(" ")
        self._pieces, self._length, self._verbatim, self._spans = [], 0, [], []
        going_on = [mark for number, mark in self._open if number >= 0]
        numbers = iter(range(len(going_on)))
        self._open = [(next(numbers) if number >= 0 else -1, mark) for number, mark in self._open]
        self._spans = [(0, -1, mark) for mark in going_on]

    def _add(self, text: str, *, verbatim: bool = False) -> None:
        text = text.replace("\n", " ").replace("\r", " ")
        if verbatim:
            self._verbatim.append((self._length, self._length + len(text)))
        self._pieces.append(text)
        self._length += len(text)
        for _, label in self._links:
            label.append(text)

    def _code(self, content: str) -> None:
        mark = "`"
        if "`" in content:
            mark = "" if "```" in content or "`" in (content[0], content[-1]) else "```"
        self._open.append((len(self._spans), mark if self._whatsapp else ""))
        self._spans.append((self._length, -1, self._open[-1][1]))
        self._add(content, verbatim=bool(mark))
        self.end()

    def _end_link(self) -> None:
        where, pieces = self._links.pop()
        label = "".join(pieces).strip()
        address = where.removeprefix("mailto:")
        if label in (where, address):
            self._verbatim.append((max(0, self._length - len(label)), self._length))
        elif where:
            self._add(" (" if label else "")
            self._add(address, verbatim=True)
            self._add(")" if label else "")
        self.end()

    def _image(self, alternative: Sequence[Token], where: str) -> None:
        label = inline_text(alternative)
        self.begin("")
        if label and where and label != where:
            self._add(f"{label} (")
            self._add(where, verbatim=True)
            self._add(")")
        else:
            self._add(where or label, verbatim=bool(where))
        self.end()


def _tidy(text: str, spans: Sequence[Span], verbatim: list[tuple[int, int]], *, whatsapp: bool) -> Line | None:
    """Make a line of what was written; None for a blank one."""
    body = text.strip()
    if not body:
        return None
    offset = len(text) - len(text.lstrip())
    kept = [tight for span in spans if (tight := _tight(body, span, offset)) and not _useless(body, tight)]
    if not whatsapp:
        return Line(body, tuple(kept))
    body, shifted = without_accidents(body, kept, [(start - offset, end - offset) for start, end in verbatim])
    return Line(body, tuple(shifted))


def _tight(text: str, span: Span, offset: int) -> Span | None:
    """Give a span without white space at its ends, counted from the text's beginning; None for an empty one."""
    start, end = max(0, span.start - offset), max(0, min(len(text), span.end - offset))
    covered = text[start:end]
    start += len(covered) - len(covered.lstrip())
    end -= len(covered) - len(covered.rstrip())
    return Span(start, end, span.mark) if start < end else None


def _useless(text: str, span: Span) -> bool:
    """Whether WhatsApp would show the marks themselves, because a letter or a digit touches them."""
    if span.mark not in ("*", "_", "~"):
        return False
    return text[span.start - 1 : span.start].isalnum() or text[span.end : span.end + 1].isalnum()
