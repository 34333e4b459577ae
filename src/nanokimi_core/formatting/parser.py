"""The Markdown parser: CommonMark with strikethrough and tables, raw HTML shown as text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_DEEPEST = 60  # levels; the parser leaves out what is nested deeper
_MANY_BRACKETS = 5_000  # beyond it, looking for links takes too long
_LONGEST_RUN = 32  # more marks in a row aren't emphasis, and cost a token each

_SCHEME = re.compile(r"(?<![A-Za-z0-9])https?$", re.IGNORECASE)
_ADDRESS = re.compile(r"://[^\s<>\[\]`\"|\\]+")
_LABEL = re.compile(r"\[((?:[^\[\]\\]|\\.)+)\]")
_RUN = re.compile(r"([*_~\[])\1*")
_CJK = "\u2e80"  # where the scripts begin that write words without spaces


class TooDeep(Exception):
    """The text is nested deeper than the parser reads."""


class _Parser(MarkdownIt):
    """Leaves addresses as they were written: people read them."""

    def normalizeLink(self, url: str) -> str:  # noqa: N802  # the library's name
        return url

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802  # the library's name
        return link


def parse(text: str) -> list[Token]:
    """Give the tokens of a Markdown text.

    Raises:
        TooDeep: It nests lists or quotes so deep that the parser would leave some of it out.
    """
    links, env = text.count("[") <= _MANY_BRACKETS, dict[str, Any]()
    tokens = _parser(links=links, targets=True).parse(text, env)
    if env.get("references") and not _used(env["references"], text):
        tokens = _parser(links=links, targets=False).parse(text)  # else these lines would not be shown
    if any(token.level >= _DEEPEST - 1 for token in tokens):
        raise TooDeep
    return tokens


def block_tokens(text: str) -> list[Token]:
    """Give the tokens of a text's blocks, what is in them unread."""
    return _blocks_only().parse(text)


def _used(targets: Iterable[str], text: str) -> bool:
    """Whether each link target that has a line of its own is also pointed at."""
    seen = Counter(normalizeReference(label) for label in _LABEL.findall(text))
    return all(seen[target] > 1 for target in targets)


@cache
def _parser(*, links: bool, targets: bool) -> MarkdownIt:
    parser = _Parser("commonmark", {"html": False, "maxNesting": _DEEPEST}).enable(["strikethrough", "table"])
    parser.inline.ruler.before("escape", "bare_address", _bare_address)
    parser.inline.ruler.before("strikethrough", "literal_run", _literal_run)
    parser.disable([*(() if links else ("link", "image")), *(() if targets else ("reference",))])
    return parser


@cache
def _blocks_only() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST})
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _bare_address(state: StateInline, silent: bool) -> bool:
    """Keep an address in running text whole, so that its underscores are no emphasis."""
    if state.src[state.pos] != ":" or not (scheme := _SCHEME.search(state.pending[-6:])):
        return False
    if not (match := _ADDRESS.match(state.src, state.pos, state.posMax)):
        return False
    rest = _without_closing(match.group())
    if len(rest) <= len("://"):
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme.group())]
        state.push("address", "", 0).content = scheme.group() + rest
    state.pos += len(rest)
    return True


def _without_closing(address: str) -> str:
    """Leave out what ends the sentence or the emphasis around an address rather than the address."""
    end, unopened = len(address), address.count(")") - address.count("(")
    while address[end - 1] in "*_~.,;:!?'" or (address[end - 1] == ")" and unopened > 0):
        unopened -= address[end - 1] == ")"
        end -= 1
    return address[:end]


def _literal_run(state: StateInline, silent: bool) -> bool:
    """Leave marks as text that aren't meant as emphasis: ``2*3*4``, ``x**2``, a line of asterisks."""
    if not (match := _RUN.match(state.src, state.pos, state.posMax)):
        return False
    if len(match.group()) <= _LONGEST_RUN and not _is_operator(state.src, match.start(), match.end()):
        return False
    if not silent:
        state.pending += match.group()
    state.pos = match.end()
    return True


def _is_operator(text: str, start: int, end: int) -> bool:
    """Whether asterisks stand between numbers or names; two of them between letters are emphasis in a word."""
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if text[start] != "*" or not all(side.isalnum() and side < _CJK for side in (before, after)):
        return False
    return end - start == 1 or before.isdigit() or after.isdigit()
