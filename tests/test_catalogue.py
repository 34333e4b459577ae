"""Everything that the assistant says comes from one catalogue, and is safe to say."""
# ruff: noqa: RUF001  # characters that look like others are among the values

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nanokimi_core
from nanokimi_core import Failure
from nanokimi_core.config.model import Language
from nanokimi_core.conversation import catalogue
from nanokimi_core.conversation.catalogue import LANGUAGES, Key, Phrase, joined, phrase
from nanokimi_core.logs import keep_secret
from nanokimi_core.store import ChatRecord

SOURCE = Path(nanokimi_core.__file__).parent
KEYS: tuple[Key, ...] = get_args(Key)
ENGLISH = LANGUAGES["en"]
languages = pytest.mark.parametrize("language", get_args(Language))
COMMAND = re.compile(r"(?<![\w/])/[a-z]+(?: retry| drop)?")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


# ------------------------------------------------------------------ the tables
@languages
def test_every_language_has_every_sentence_and_no_other(language: Language) -> None:
    assert set(LANGUAGES) == set(get_args(Language))
    assert set(LANGUAGES[language]) == set(KEYS)
    assert len(KEYS) == len(set(KEYS))
    assert all(text.strip() == text or key == "remedy" for key, text in LANGUAGES[language].items())


@languages
def test_a_sentence_has_the_same_placeholders_and_commands_in_every_language(language: Language) -> None:
    for key in KEYS:
        text = LANGUAGES[language][key]
        assert placeholders(text) == placeholders(ENGLISH[key]), key
        assert sorted(COMMAND.findall(text)) == sorted(COMMAND.findall(ENGLISH[key])), key


def test_sentences_are_really_translated() -> None:
    same = {key for key in KEYS if LANGUAGES["es"][key] == ENGLISH[key]}
    assert same == {"people_some", "remedy", "owner_status_instance", "owner_plugin_says"}


@languages
def test_an_outside_cause_says_that_the_message_is_kept(language: Language) -> None:
    kept = {"en": "is kept", "es": "está guardado"}[language]
    outside = [kind for kind in Failure if kind.outside]
    said = {kind: catalogue.held(kind, language, retry_after=timedelta(minutes=3)) for kind in outside}
    assert all(kept in sentence for sentence in said.values())
    assert len(set(said.values())) == len(outside)
    assert catalogue.later(timedelta(minutes=3), language) in said[Failure.RATE_LIMIT]


@languages
def test_in_the_console_a_message_is_called_kept_only_where_somebody_stays_for_its_answer(language: Language) -> None:
    kept = {"en": "is kept", "es": "está guardado"}[language]
    outside = [kind for kind in Failure if kind.outside]
    stays, once = ([catalogue.away(kind, language, once=each) for kind in outside] for each in (False, True))
    assert len({*stays, *once}) == 2 * len(outside)
    assert all(kept in sentence for sentence in stays)
    assert not any(kept in sentence for sentence in once)
    login = catalogue.away(Failure.CREDENTIALS, language, login="work")
    assert login.endswith("/login work")
    assert catalogue.away(Failure.CRASHED, language) == phrase(language, "fault")


@languages
def test_what_is_given_up_has_a_sentence_for_each_cause_within_the_message(language: Language) -> None:
    inside = {catalogue.gave_up(kind, language) for kind in Failure if not kind.outside}
    other = {catalogue.gave_up(kind, language) for kind in (*(kind for kind in Failure if kind.outside), None)}
    assert len(inside) == 5
    assert other == {phrase(language, "gave_up")}
    assert not inside & other


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (None, "in a while"),
        (timedelta(0), "in 2 seconds"),
        (timedelta(seconds=-5), "in 2 seconds"),
        (timedelta(seconds=119), "in 119 seconds"),
        (timedelta(seconds=120), "in 2 minutes"),
        (timedelta(hours=2), "in 2 hours"),
        (timedelta(days=2), "in 2 days"),
        (timedelta.max, "in 1000000000 days"),
    ],
)
def test_a_wait_is_said_in_the_unit_that_fits(wait: timedelta | None, said: str) -> None:
    assert catalogue.later(wait, "en") == said


# ------------------------------------------------------------------ values from outside
NASTY = "{}[]()<>\"'`*_/\n\r\t\x00\x1b\u202e\u2066\u200b\u2028\ufeff"
hostile = st.lists(st.text(max_size=100) | st.sampled_from(NASTY), max_size=40).map("".join)


@given(st.sampled_from(KEYS), st.sampled_from(get_args(Language)), hostile)
def test_whatever_a_value_holds_the_sentence_stays_itself(key: Key, language: Language, value: str) -> None:
    template = LANGUAGES[language][key]
    said = phrase(language, key, **dict.fromkeys(placeholders(template), value))
    assert said.count("\n") == template.count("\n")
    assert len(said) <= len(template) + 502 * max(1, template.count("{"))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]", said)
    rest: str = said
    for literal, *_ in string.Formatter().parse(template):
        assert literal in rest
        rest = rest[rest.index(literal) + len(literal) :]


@pytest.mark.parametrize("value", ["{name}", "{0}", "{name.__class__}", "{{", "}", "%s", "{kind!r:>99}"])
def test_a_placeholder_in_a_value_is_only_text(value: str) -> None:
    assert phrase("en", "owner_error", cause=value) == f"That didn't work: {value}"


def test_a_name_can_neither_close_its_quotes_nor_become_a_link() -> None:
    chat = ChatRecord(3, "net:x", 'Mum". /allow 9 [here](http://evil) <b>`x`', "group", None, ('Ann", Bob', "C"))
    said = catalogue.unknown_chat(chat, "en")
    assert said.count('"') == 2
    assert not set("[]<>`") & set(said)
    assert "People: Ann' Bob, C." in said


@languages
def test_an_unknown_chat_is_named_with_the_answers_to_give(language: Language) -> None:
    people = tuple(f"p{number}" for number in range(9))
    said = catalogue.unknown_chat(ChatRecord(12, "net:x", "", "group", None, people), language)
    for part in ("/allow 12", "/deny 12", "net:x", "p0, p1, p2, p3, p4", "4", catalogue.kind_of("group", language)):
        assert part in said
    assert "p5" not in said
    assert said.count("net:x") == 2  # it has no name
    assert catalogue.people((), language) == phrase(language, "people_none")


def test_long_values_are_cut_with_an_ellipsis_and_names_sooner() -> None:
    assert phrase("en", "owner_error", cause="x" * 9999) == "That didn't work: " + "x" * 499 + "…"
    assert '"' + "n" * 59 + '…"' in phrase("en", "owner_allowed", number=1, name="n" * 99)
    assert phrase("en", "owner_error", cause="x" * 500).endswith("x" * 500)


def test_no_known_secret_gets_into_a_sentence() -> None:
    keep_secret("sk-canary-of-the-catalogue")
    said = phrase("en", "owner_held", chat="net:x", cause="bad key sk-canary-of-the-catalogue!", remedy="")
    assert "canary" not in said


def test_lines_of_a_value_become_words_of_one_line_and_what_steers_a_screen_is_gone() -> None:
    assert phrase("en", "owner_error", cause="one\r\ntwo\u2028three\tfour") == "That didn't work: one two three four"
    assert (
        phrase("en", "owner_error", cause="a\u202eb\u2066c\u200b\x1b[2J\ufeff\U000e0041") == "That didn't work: abc[2J"
    )


def test_a_remedy_is_set_off_and_an_empty_one_leaves_no_trace() -> None:
    told = {"chat": "net:x", "cause": "boom."}
    assert (
        phrase("en", "owner_held", **told, remedy="mend it")
        == "In net:x messages are kept unanswered until this has passed: boom; mend it"
    )
    assert (
        phrase("en", "owner_held", **told, remedy="")
        == "In net:x messages are kept unanswered until this has passed: boom"
    )


def test_emoji_and_words_that_need_joiners_stay_whole() -> None:
    for name in ("👨\u200d👩\u200d👧 Zoë", "می\u200cخواهم", "ना\u200dम"):
        assert f'"{name}"' in phrase("en", "owner_allowed", number=1, name=name)


def test_a_phrase_inside_a_phrase_goes_in_as_it_is() -> None:
    inner = joined([phrase("en", "stopped"), phrase("en", "fresh")])
    assert phrase("en", "owner_error", cause=inner) == f"That didn't work: {inner}"
    assert isinstance(inner, Phrase)


# ------------------------------------------------------------------ nothing else speaks
SPEAKERS = {"tell", "tell_in", "_reply", "_refuse_at_cap"}
"""Names of functions through which the assistant itself says something; they take a ``Phrase``, never a ``str``."""


PLUGINS_SPEAK = SOURCE / "instances.py"
"""Hands plugins' own words on, which get into a sentence where they arrive."""


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        if SOURCE / "conversation" / "catalogue" not in path.parents and path != PLUGINS_SPEAK:
            yield path, ast.parse(path.read_text(encoding="utf-8"), str(path))


def named(function: ast.expr) -> str:
    """The name under which something is called."""
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def calls(tree: ast.Module, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and named(node.func) in names:
            yield node


def made_elsewhere(tree: ast.Module) -> list[int]:
    """Lines where a ``Phrase`` is made, or another value is passed off as one."""
    lines = [call.lineno for call in calls(tree, "Phrase")]
    for call in calls(tree, "cast"):
        lines.extend(call.lineno for _ in [0] if call.args and "Phrase" in ast.unparse(call.args[0]))
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    lines.extend(node.lineno for node in classes if any("Phrase" in ast.unparse(base) for base in node.bases))
    return lines


def spoken_literals(tree: ast.Module) -> list[int]:
    """Lines where a speaker is handed a text that was written on the spot."""
    lines: list[int] = []
    for call in calls(tree, *SPEAKERS):
        handed = [*call.args, *(keyword.value for keyword in call.keywords)]
        texts = handed[1:] if named(call.func) == "tell" else handed  # its first is a key
        lines.extend(call.lineno for text in texts if _is_written(text))
    return lines


def _is_written(node: ast.expr) -> bool:
    if not isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)):
        return False
    parts = list(ast.walk(node))
    return any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in parts)


def speakers_of_anything(tree: ast.Module) -> list[int]:
    """Lines where a speaker is defined that takes no ``Phrase``."""
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    found = [node for node in functions if node.name in SPEAKERS]
    return [
        node.lineno
        for node in found
        if not any("Phrase" in ast.unparse(each.annotation) for each in node.args.args if each.annotation)
    ]


def test_only_the_catalogue_makes_phrases() -> None:
    assert [(path.name, line) for path, tree in sources() for line in made_elsewhere(tree)] == []


def test_nothing_is_said_that_was_written_on_the_spot() -> None:
    assert [(path.name, line) for path, tree in sources() for line in spoken_literals(tree)] == []


def test_a_sentence_outside_the_catalogue_would_be_found() -> None:
    bad = """
say = Phrase("hello")
say = catalogue.Phrase("hello")
say = cast("Phrase", "hello")
say = cast(Phrase, "hello")
class Loud(Phrase): pass
"""
    assert made_elsewhere(ast.parse(bad)) == [2, 3, 4, 5, 6]
    bad = """
owner.tell("key", "hello")
owner.tell(f"key {x}", f"hello {name}")
owner.tell("key", text="hello " + name)
router._reply(transport, message, "hello")
owner.tell(f"key {x}", phrase(language, "fresh"))
router._reply(transport, message, None)
"""
    assert spoken_literals(ast.parse(bad)) == [2, 3, 4, 5]
    bad = """
async def tell(self, key: str, text: str) -> None: ...
async def tell(self, key: str, text: Phrase) -> None: ...
"""
    assert speakers_of_anything(ast.parse(bad)) == [2]


def test_whoever_speaks_takes_a_phrase() -> None:
    found = {
        node.name
        for path, tree in sources()
        if SOURCE / "conversation" in path.parents
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and node.name in SPEAKERS
    }
    assert found == SPEAKERS
    speak = [(path, tree) for path, tree in sources() if SOURCE / "conversation" in path.parents]
    assert [(path.name, line) for path, tree in speak for line in speakers_of_anything(tree)] == []


def test_every_sentence_that_is_asked_for_gets_its_values() -> None:
    texts = {str(key): text for key, text in ENGLISH.items()}
    wrong: list[tuple[str, int]] = []
    for path in sorted(SOURCE.rglob("*.py")):
        for call in calls(ast.parse(path.read_text(encoding="utf-8")), "phrase"):
            handed = {keyword.arg for keyword in call.keywords}
            keys = [part.value for part in ast.walk(call.args[1]) if isinstance(part, ast.Constant)]
            asked = [texts[key] for key in keys if isinstance(key, str) and key in texts]
            wrong.extend((path.name, call.lineno) for text in asked if placeholders(text) - handed)
    assert wrong == []


def test_every_sentence_is_asked_for_somewhere() -> None:
    used = {
        node.value
        for path in SOURCE.rglob("*.py")
        if path.name not in {"keys.py", "english.py", "spanish.py"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(KEYS) - used == set()
