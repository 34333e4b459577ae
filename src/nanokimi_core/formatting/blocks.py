"""From the parser's tokens to rendered lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from markdown_it.token import Token

from nanokimi_core.formatting.accidents import unfenced
from nanokimi_core.formatting.inline import inline_lines, inline_text
from nanokimi_core.formatting.lines import Fence, Line
from nanokimi_core.formatting.tables import aligned, joined

_RULE = "———"
_BACKTICKS = "```"


@dataclass
class _Container:
    """A quote or a list's item that the lines are in."""

    mark: str
    again: str = ""
    begun: bool = False

    def take(self) -> str:
        """Give what stands before the next line."""
        if self.begun and not self.again:
            return " " * len(self.mark)
        self.begun = True
        return self.mark


def rendered(tokens: Sequence[Token], text: str, *, whatsapp: bool) -> list[Line]:
    """Give the lines of a parsed text.

    Args:
        tokens: What the parser made of it.
        text: The text itself, which shows where empty lines are.
        whatsapp: Whether to write WhatsApp's marks, else none.
    """
    renderer = _Renderer(text.split("\n"), whatsapp)
    walk = iter(tokens)
    for token in walk:
        renderer.put(token, walk)
    return renderer.lines


class _Renderer:
    def __init__(self, written: list[str], whatsapp: bool) -> None:
        self.lines: list[Line] = []
        self._written = written
        self._whatsapp = whatsapp
        self._containers: list[_Container] = []
        self._numbers: list[int | None] = []  # of the lists that are open: the next item's number, or None
        self._heading = False
        self._read = 0  # source lines that have been rendered

    def put(self, token: Token, following: Iterator[Token]) -> None:
        """Render a token, and with a table those that belong to it."""
        match token.type:
            case "blockquote_open":
                self._containers.append(_Container("> ", again="> "))
            case "bullet_list_open":
                self._numbers.append(None)
            case "ordered_list_open":
                self._numbers.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                self._numbers.pop()
            case "list_item_open":
                self._containers.append(_Container(self._item_mark(token.markup)))
            case "list_item_close" | "blockquote_close":
                self._leave(token)
            case "heading_open" | "heading_close":
                self._heading = token.nesting > 0
            case "inline":
                lines = inline_lines(token.children or (), whatsapp=self._whatsapp, bold=self._heading)
                self._add([replace(line, clings=self._heading) for line in lines], token)
            case "fence" | "code_block":
                self._add_code(token.content.removesuffix("\n").split("\n"), token)
            case "hr":
                self._add([Line(_RULE)], token)
            case "table_open":
                self._add_table(token, list(_rows(following)))

    def _item_mark(self, written: str) -> str:
        number = self._numbers[-1]
        if number is None:
            return "- "
        self._numbers[-1] = number + 1
        return f"{number}. " if self._whatsapp else f"{number}{written} "

    def _leave(self, token: Token) -> None:
        if not self._containers[-1].begun and not self._containers[-1].again:
            self._add([Line("")], token)
        self._containers.pop()

    def _add_table(self, token: Token, rows: list[list[str]]) -> None:
        if self._whatsapp:
            self._add_code(aligned(rows), token)
        else:
            self._add([Line(row) for row in joined(rows)], token)

    def _add_code(self, code: list[str], token: Token) -> None:
        if not self._whatsapp:
            self._add([Line(line) for line in _without_blank_ends(code)], token)
            return
        if any(not container.begun and not container.again for container in self._containers):
            self._add([Line("")], token)
        fence = Fence(_BACKTICKS, _BACKTICKS, _BACKTICKS, _BACKTICKS)
        gap = self._gap(token)
        self.lines += [Line(unfenced(line), fence=fence, gap=0 if number else gap) for number, line in enumerate(code)]

    def _add(self, lines: list[Line], token: Token) -> None:
        again = "".join(container.again for container in self._containers)
        for number, line in enumerate(lines):
            prefix = "".join(container.take() for container in self._containers)
            gap = 0 if number else self._gap(token)
            self.lines.append(replace(line, prefix=prefix if line.text else prefix.rstrip(), again=again, gap=gap))

    def _gap(self, token: Token) -> int:
        """Whether the agent left a line empty before this."""
        if token.map is None:
            return 0
        between = self._written[self._read : token.map[0]]
        self._read = max(self._read, token.map[1])
        return int(any(not line.strip(" \t>") for line in between))


def _without_blank_ends(code: list[str]) -> list[str]:
    filled = [number for number, line in enumerate(code) if line.strip()]
    return code[filled[0] : filled[-1] + 1] if filled else []


def _rows(following: Iterator[Token]) -> Iterator[list[str]]:
    """Give the cells of a table up to its end."""
    row: list[str] = []
    for token in following:
        if token.type == "table_close":
            return
        if token.type == "tr_open":
            row = []
        elif token.type == "inline":
            row.append(inline_text(token.children or ()))
        elif token.type == "tr_close":
            yield row
