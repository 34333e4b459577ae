"""How an answer is cut into messages."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanokimi_core.formatting import Markup, Measure, parts, render

MARKUPS: list[Markup] = ["plain", "markdown", "whatsapp"]
FENCE = re.compile(r"^[ >]*(`{3,}|~{3,})", re.MULTILINE)
FENCE_LINE = re.compile(r"^[ >]*(?:(?:[-+*]|\d+\.) +)*(?:`{3,}|~{3,}).*$", re.MULTILINE)
MARKS = re.compile(r"[*_~`>]")

words = st.text("abcdefgXYZ019", min_size=1, max_size=12) | st.sampled_from(["end.", "so?", "a,", "snake_case", "(b)"])
sentences = st.lists(words, min_size=1, max_size=40).map(" ".join)
spans = st.builds(
    lambda mark, text: mark.replace("x", text),
    st.sampled_from(["**x**", "_x_", "~~x~~", "`x`", "[x](https://a.example/b)", "x"]),
    st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=12).map(" ".join),
)
paragraphs = st.lists(spans | sentences, min_size=1, max_size=6).map(" ".join)
code = st.lists(st.lists(words, max_size=12).map(" ".join), min_size=1, max_size=30).map("\n".join)
blocks = st.one_of(
    paragraphs,
    st.lists(paragraphs, min_size=1, max_size=4).map("\n".join),
    st.builds("```{}\n{}\n```".format, st.sampled_from(["", "py", "sh x"]), code),
    st.lists(sentences, min_size=1, max_size=8).map(lambda items: "\n".join(f"- {item}" for item in items)),
    st.lists(sentences, min_size=1, max_size=8).map(lambda items: "\n".join(f"> {item}" for item in items)),
    code.map(lambda text: "- item\n  ```py\n" + "\n".join(f"  {line}" for line in text.split("\n")) + "\n  ```"),
    code.map(lambda text: "> ```\n" + "\n".join(f"> {line}" for line in text.split("\n")) + "\n> ```"),
    sentences.map(lambda text: f"## {text}"),
    st.lists(words, min_size=2, max_size=2).map(lambda row: f"|{'|'.join(row)}|\n|-|-|\n" + f"|{'|'.join(row)}|\n" * 9),
)
documents = st.lists(blocks, min_size=1, max_size=6).map("\n\n".join)
scraps = [
    *"ab1 \n\t*_~`[]()<>#-+=|\\&!.:",
    "中",
    "。",
    "👩",
    "\u200d",
    "\u0301",
    "\0",
    "```",
    "\n\n",
    "https://a.example/",
]
wild = st.lists(st.sampled_from(scraps), max_size=150).map("".join)
limits = st.integers(40, 300)
bounded = settings(max_examples=80, deadline=None)


def essence(text: str) -> str:
    """What is left of a text when marks, fences and white space are not looked at."""
    return "".join(MARKS.sub("", FENCE_LINE.sub("", text)).split())


@bounded
@given(documents | wild, st.sampled_from(MARKUPS), st.integers(1, 200))
def test_no_message_is_empty_or_longer_than_the_limit(text: str, markup: Markup, limit: int) -> None:
    assert all(message.strip() and len(message) <= limit for message in parts(text, markup=markup, limit=limit))


@bounded
@given(documents, st.sampled_from(MARKUPS), limits)
def test_nothing_is_lost_and_nothing_doubled(text: str, markup: Markup, limit: int) -> None:
    assert essence("\n".join(parts(text, markup=markup, limit=limit))) == essence(render(text, markup))


@bounded
@given(wild, limits)
def test_nothing_is_lost_of_what_is_hardly_markdown(text: str, limit: int) -> None:
    characters = re.sub(r"[\s>]", "", "".join(parts(text, markup="plain", limit=limit)))
    assert characters == re.sub(r"[\s>]", "", render(text, "plain"))


@bounded
@given(documents, st.sampled_from(MARKUPS), limits)
def test_no_word_is_cut(text: str, markup: Markup, limit: int) -> None:
    cut = MARKS.sub("", FENCE_LINE.sub("", "\n".join(parts(text, markup=markup, limit=limit)))).split()
    assert cut == MARKS.sub("", FENCE_LINE.sub("", render(text, markup))).split()


@bounded
@given(documents, st.sampled_from(MARKUPS), limits)
def test_fences_are_balanced_in_every_message(text: str, markup: Markup, limit: int) -> None:
    for message in parts(text, markup=markup, limit=limit):
        assert len(FENCE.findall(message)) % 2 == 0, message


@bounded
@given(documents, limits)
def test_whatsapp_marks_are_balanced_in_every_message(text: str, limit: int) -> None:
    for message in parts(text, markup="whatsapp", limit=limit):
        for line in re.sub(r"```\n.*?\n```", "", message, flags=re.DOTALL).split("\n"):
            assert line.count("*") % 2 == line.count("~") % 2 == line.count("`") % 2 == 0, line


@bounded
@given(documents, st.sampled_from(MARKUPS))
def test_what_has_room_in_one_message_is_one_message(text: str, markup: Markup) -> None:
    shown = render(text, markup)
    assert parts(text, markup=markup, limit=max(24, len(shown))) == [shown]


@bounded
@given(documents, limits)
def test_messages_in_markdown_are_not_cut_again(text: str, limit: int) -> None:
    for message in parts(text, markup="markdown", limit=limit):
        assert parts(message, markup="markdown", limit=limit) == [message]


@bounded
@given(st.text("ab \n.,!?(1'|:-\u3000é", max_size=120), st.sampled_from(MARKUPS))
def test_the_short_way_shows_what_the_parser_shows(text: str, markup: Markup) -> None:
    longer = render(f"{text.strip()}\n\n*x*", markup)
    assert longer.rsplit("\n\n", 1)[0].strip() == render(text.strip(), markup) or not text.strip()


@bounded
@given(
    st.lists(st.sampled_from(["e\u0301", "👩\u200d🔬", "👍🏽", "🇩🇪", "x", "한"]), min_size=30, max_size=60).map(
        "".join
    ),
    st.integers(16, 40),
)
def test_no_character_that_a_reader_sees_is_cut(text: str, limit: int) -> None:
    for message in parts(text, markup="plain", limit=limit):
        assert unicodedata.category(message[0]) not in ("Mn", "Sk")
        assert "\u200d" not in (message[0], message[-1])
        assert sum("🇦" <= character <= "🇿" for character in message) % 2 == 0


CUTS: dict[str, tuple[Markup, int, str, list[str]]] = {
    "between paragraphs": ("plain", 70, f"Short.\n\n{'word ' * 13}", ["Short.", ("word " * 13).strip()]),
    "between lines": ("plain", 70, "\n".join(["x" * 30] * 3), ["\n".join(["x" * 30] * 2), "x" * 30]),
    "after a sentence": (
        "plain",
        70,
        f"{'a' * 40} end. {'b' * 10} {'c' * 30}",
        [f"{'a' * 40} end.", f"{'b' * 10} {'c' * 30}"],
    ),
    "between words": ("plain", 70, f"{'a' * 60} {'b' * 60}", ["a" * 60, "b" * 60]),
    "in a long word": ("plain", 70, "x" * 100, ["x" * 70, "x" * 30]),
    "after a full stop without spaces": ("plain", 70, "你好吗。" * 20, ["你好吗。" * 17, "你好吗。" * 3]),
    "between characters": ("plain", 70, "好" * 80, ["好" * 70, "好" * 10]),
    "never before a full stop": ("plain", 70, "好" * 70 + "。", ["好" * 69, "好。"]),
    "a heading stays with its text": (
        "plain",
        70,
        f"{'a' * 50}\n\n# Head\n\n{'b' * 50}",
        ["a" * 50, f"Head\n\n{'b' * 50}"],
    ),
    "a heading goes with the first of its lines": (
        "plain",
        70,
        f"{'a' * 20}\n\n# Head\n\n{'b' * 60}\n{'c' * 60}",
        ["a" * 20, f"Head\n\n{'b' * 60}", "c" * 60],
    ),
    "a line is not cut for its heading": (
        "plain",
        70,
        f"{'a' * 20}\n\n# Head\n\n{'b' * 30} {'b' * 37}\n{'c' * 60}",
        [f"{'a' * 20}\n\nHead", f"{'b' * 30} {'b' * 37}", "c" * 60],
    ),
    "an unclosed fence is closed": ("markdown", 70, "text\n```py\nx\n\n \n", ["text\n```py\nx\n```"]),
    "bold stays whole": ("whatsapp", 70, f"{'a ' * 30}**{'b ' * 15}c**", ["a " * 29 + "a", f"*{'b ' * 15}c*"]),
    "long bold is opened again": ("whatsapp", 70, f"**{'b' * 60} {'c' * 60}**", [f"*{'b' * 60}*", f"*{'c' * 60}*"]),
    "a link stays whole": (
        "plain",
        70,
        f"{'a ' * 25}[to the docs](https://a.example)",
        ["a " * 24 + "a", "to the docs (https://a.example)"],
    ),
    "code stays whole in markdown": (
        "markdown",
        70,
        f"{'a ' * 30}`{'b ' * 15}c`",
        ["a " * 29 + "a", f"`{'b ' * 15}c`"],
    ),
    "a fence is opened again": (
        "markdown",
        80,
        f"```py\n{'a' * 40}\n{'b' * 40}\n```",
        [f"```py\n{'a' * 40}\n```", f"```py\n{'b' * 40}\n```"],
    ),
    "a fence in a list is opened again": (
        "markdown",
        80,
        f"- ```py\n  {'a' * 40}\n    {'b' * 40}\n  ```",
        [f"- ```py\n  {'a' * 40}\n  ```", f"```py\n  {'b' * 40}\n```"],
    ),
    "a fence in a quote is opened again": (
        "markdown",
        80,
        f"> ~~~\n> {'a' * 40}\n> {'b' * 40}\n> ~~~",
        [f"> ~~~\n> {'a' * 40}\n> ~~~", f"> ~~~\n> {'b' * 40}\n> ~~~"],
    ),
    "a long line of code": (
        "whatsapp",
        80,
        f"```\n{'a' * 60} {'b' * 60}\n```",
        [f"```\n{'a' * 60}\n```", f"```\n{'b' * 60}\n```"],
    ),
    "a quote goes on as a quote": ("plain", 70, f"> {'a' * 60} {'b' * 60}", ["> " + "a" * 60, "> " + "b" * 60]),
    "no list by accident": ("markdown", 70, f"{'a ' * 34}b - c d", ["a " * 33 + "a", "b - c d"]),
    "a list is cut between its items": (
        "whatsapp",
        70,
        f"- {'a' * 40}\n- {'b' * 40}",
        ["- " + "a" * 40, "- " + "b" * 40],
    ),
}


@pytest.mark.parametrize(("markup", "limit", "text", "messages"), CUTS.values(), ids=CUTS)
def test_messages_are_cut(markup: Markup, limit: int, text: str, messages: list[str]) -> None:
    assert parts(text, markup=markup, limit=limit) == messages


# --------------------------------------------------------------------- other ways to measure
letters = st.text("ab é中👩 \n", max_size=300)


@bounded
@given(documents | letters, st.sampled_from(MARKUPS), limits)
def test_no_message_has_more_bytes_than_the_network_takes_and_nothing_gets_lost(
    text: str, markup: Markup, limit: int
) -> None:
    cut = parts(text, markup=markup, limit=limit, measure="bytes")
    assert all(len(part.encode()) <= limit for part in cut)
    assert essence("\n".join(cut)) == essence(render(text, markup))


def test_messages_measured_in_bytes_are_filled_as_far_as_they_go() -> None:
    ascii_text, chinese = "word " * 200, "中" * 200
    assert parts(ascii_text, markup="plain", limit=100, measure="bytes") == parts(ascii_text, markup="plain", limit=100)
    cut = parts(chinese, markup="plain", limit=100, measure="bytes")
    assert "".join(cut) == chinese
    assert {len(part.encode()) for part in cut[:-1]} == {99}


@bounded
@given(documents | letters, st.sampled_from(MARKUPS), limits, st.sampled_from(["characters", "bytes"]))
def test_where_messages_have_one_line_each_line_is_a_message_of_its_own(
    text: str, markup: Markup, limit: int, measure: Measure
) -> None:
    cut = parts(text, markup=markup, limit=limit, measure=measure, lines="one")
    assert all(len(part.splitlines()) == 1 and part.strip() for part in cut)
    assert all(len(part.encode() if measure == "bytes" else part) <= limit for part in cut)
    assert essence("\n".join(cut)) == essence(render(text, markup))


def test_one_line_messages_keep_the_lines_of_an_answer() -> None:
    text = "First *point*\n\n- one\n- two\n\n```\nprint(1)\n\n  indented\n```\n"
    assert parts(text, markup="plain", limit=400, lines="one") == [
        "First point",
        "- one",
        "- two",
        "print(1)",
        "  indented",
    ]
