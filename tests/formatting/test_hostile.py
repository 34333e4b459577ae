"""Texts that are made to break a parser: they are shown, whole, and soon."""

from __future__ import annotations

import pytest

from nanokimi_core.formatting import Markup, parts

SIZE = 20_000
HOSTILE = {
    "asterisks": "*" * SIZE,
    "asterisks after a letter": "a" + "*" * SIZE,
    "opened emphasis": "*a " * (SIZE // 3),
    "crossed emphasis": "*a_ " * (SIZE // 4),
    "emphasis in words": "a**b" * (SIZE // 4),
    "escaped marks": r"\*a\* " * (SIZE // 6),
    "brackets": "[" * SIZE,
    "images": "![" * (SIZE // 2),
    "open links": "[a](" * (SIZE // 4),
    "nested links": "[" * 300 + "a" + "](x)" * 300,
    "nested images": "![" * 300 + "a" + "](x)" * 300,
    "backticks": "`" * SIZE,
    "backticks of all lengths": " ".join("`" * count for count in range(1, 280)),
    "quotes": ">" * SIZE,
    "spaced quotes": "> " * (SIZE // 2),
    "deep lists": "\n".join(" " * (2 * depth) + "- a" for depth in range(190)),
    "lists in one line": "- " * (SIZE // 2),
    "quotes and lists": "> - " * (SIZE // 4),
    "fences": "```\n" * (SIZE // 4),
    "a fence with a long name": "```" + "a" * SIZE + "\ncode",
    "angle brackets": "<" * SIZE,
    "comments": "<!--" * (SIZE // 4),
    "ampersands": "&" * SIZE,
    "backslashes": "\\" * SIZE,
    "a wide table": "|" + "a|" * 200 + "\n|" + "-|" * 200 + "\n" + "|x|\n" * 150,
    "an address and brackets": "http://" + ")" * SIZE,
    "full stops": "." * SIZE,
    "full stops and quotation marks": '."' * (SIZE // 2),
    "spaces before a dash": ("a" + " " * 3_000 + "-") * 12,
    "accents": "a" + "\u0301" * SIZE,
    "flags": "\U0001f1e6" * SIZE,
    "joined emoji": "\u200d👩" * (SIZE // 2),
    "nul": "\0" * SIZE,
    "empty lines": "a" + "\n" * SIZE + "*b*",
    "tabs": "\t" * SIZE + "x",
    "lone surrogates": "*\ud83d*\udc69" * (SIZE // 4),
    "one bold text": "**" + "word " * (SIZE // 5) + "x**",
}
SAID = {
    "brackets",
    "images",
    "quotes",
    "spaced quotes",
    "deep lists",
    "quotes and lists",
    "comments",
    "open links",
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("markup", ["plain", "markdown", "whatsapp"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_cut_to_the_limit_in_bounded_time(text: str, markup: Markup) -> None:
    for limit in (50, 4000):
        messages = parts(text, markup=markup, limit=limit)
        assert all(0 < len(message) <= limit for message in messages)
        assert messages


@pytest.mark.parametrize("name", sorted(SAID))
def test_what_is_no_markup_or_nested_too_deep_is_shown_as_it_was_written(name: str) -> None:
    shown = "\n".join(parts(HOSTILE[name], markup="plain", limit=2 * SIZE))
    assert shown.split() == HOSTILE[name].split()


def test_many_brackets_cost_the_links_and_nothing_else() -> None:
    shown = "".join(parts("[a](b) " + "[" * 5_001 + " **c**", markup="plain", limit=10_000))
    assert shown == "[a](b) " + "[" * 5_001 + " c"
