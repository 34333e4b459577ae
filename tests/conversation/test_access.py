"""Who a message is from, and whether it is one to answer."""
# ruff: noqa: RUF001  # characters that look like others are what this is about

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nanokimi_core import Inbound
from nanokimi_core.config import ChatRules, Settings
from nanokimi_core.conversation.access import chat_ids, is_triggered, names, senders_names

RULES = ChatRules(known=True, trigger=None, backend="echo", auth=(), sandbox=None)
HELLO = Inbound("1", "desk", "ana", "hello")

NAMES = [
    "Kai",
    "凯",
    "小凯",
    "ไก่",
    "카이",
    "カイ",
    "Кай",
    "कै",
    "Åse",
    "Weiß",
    "İpek",
    "Σίσυφος",
    "R2D2",
    "Dr. Kai",
    "C++",
]
UNSPACED = ["看", "の", "カ", "ー", "ก", "ກ", "ខ", "က", "བ", "々", "ㄅ"]
BETWEEN = [
    " ",
    "\n",
    "\u3000",
    ",",
    ".",
    "!",
    "¿",
    "'",
    "’",
    "-",
    "@",
    "(",
    "，",
    "。",
    "、",
    "「",
    "…",
    "👍",
    "\u200b",
]
anything = st.text(max_size=20)
name = st.sampled_from(NAMES)
between = st.sampled_from(BETWEEN)


def spellings(text: str) -> list[str]:
    """Ways to write the same name."""
    wide = "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)
    cases = [text, text.upper(), text.lower(), text.casefold(), wide]
    return [unicodedata.normalize(form, case) for case in cases for form in ("NFC", "NFD", "NFKC", "NFKD")]


@given(name, between, between, anything, anything, st.data())
def test_a_name_that_stands_alone_is_found_in_every_spelling_wherever_it_is(
    name: str, left: str, right: str, before: str, after: str, data: st.DataObject
) -> None:
    spelt = data.draw(st.sampled_from(spellings(name)))
    assert names(name, f"{before}{left}{spelt}{right} {after}")


@given(st.sampled_from(["Kai", "Кай", "凯", "小凯", "ไก่", "Åse"]), st.sampled_from(UNSPACED), st.sampled_from(UNSPACED))
def test_scripts_without_spaces_may_stand_right_beside_the_name(name: str, before: str, after: str) -> None:
    assert names(name, f"{before}{name}{after}")
    assert names(name, f"{before}{name}")
    assert names(name, f"{name}{after}")


@given(
    st.sampled_from(["Kai", "Кай", "Åse", "R2D2"]), st.characters(categories=["Lu", "Ll", "Lt", "Nd"]), st.booleans()
)
def test_a_letter_or_digit_of_a_script_with_spaces_makes_the_name_part_of_another_word(
    name: str, letter: str, before: bool
) -> None:
    assume(unicodedata.normalize("NFKC", letter) == letter)
    assert not names(name, letter + name if before else name + letter)


@given(anything, anything)
def test_a_text_without_the_names_letters_never_names_it(before: str, after: str) -> None:
    text = "".join(letter for letter in before + after if not letter.isalnum() and not letter.isnumeric())
    assert not names("Kai", unicodedata.normalize("NFKD", text).translate({ord(c): None for c in "KkAaIi"}))


@given(name, st.text(max_size=50))
def test_naming_is_the_same_for_every_normal_form_of_a_text(name: str, text: str) -> None:
    said = f"{text} {name}"
    assert names(name, unicodedata.normalize("NFD", said)) == names(name, unicodedata.normalize("NFC", said)) is True


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Kai", "请Kai看一下"),
        ("Kai", "Kai야 도와줘"),
        ("Kai", "Kai's idea"),
        ("Kai", "are you there, KAI?"),
        ("Kai", "ＫＡＩ、元気？"),
        ("Kai", "@kai"),
        ("Kai", "Kai\u0301? No. Kai!"),
        ("Kai", "k\u00ada\u200di"),
        ("Kai", "Kai™"),
        ("Kai", "𝐊𝐚𝐢"),
        ("Kai", "I mean _Kai_"),
        ("Kai", "_Kai, please_"),
        ("카이", "카이야도와줘"),
        ("カイ", "カイさん"),
        ("カイ", "ｶｲさん"),
        ("カイ", "ねえカイー"),
        ("ไก่", "สวัสดีไก่ช่วยหน่อย"),
        ("ไก่", "ไก่Kai"),
        ("İpek", "ipek?"),
        ("ipek", "İPEK?"),
        ("Weiß", "WEISS!"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("Dr. Kai", "ask dr.\n  kai"),
        ("C++", "I like c++!"),
        ("C++", "c++\u20e3"),
        ("Kai Two", "kai\u00a0two"),
        ("José", "JOSE\u0301"),
        ("🤖 Kai", "hey 🤖 kai"),
    ],
)
def test_these_name_the_assistant(name: str, text: str) -> None:
    assert names(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Kai", "the kaiser"),
        ("Kai", "Mordekai"),
        ("Kai", "скайп"),
        ("Kai", "Kaiя"),
        ("Kai", "kai2"),
        ("Kai", "snake_kai"),
        ("Kai", "kai_snake"),
        ("Kai", "ka i"),
        ("Kai", "Kai\u0301"),
        ("Kai", ""),
        ("カイ", "スカイツリー"),
        ("카이", "스카이"),
        ("카이", "카이2"),
        ("ก", "กิน"),
        ("कै", "कैसे"),
        ("José", "Jose"),
        ("Dr. Kai", "Dr Kai"),
        ("\u200d", "anything"),
        ("", "anything"),
    ],
)
def test_these_do_not_name_the_assistant(name: str, text: str) -> None:
    assert not names(name, text)


def test_a_long_text_full_of_near_misses_is_read_in_a_moment() -> None:
    assert not names("aaaa", "a" * 100_000)
    assert names("aaaa", "a" * 100_000 + " aaaa")


@pytest.mark.parametrize("kind", ["direct", "group", "self"])
@pytest.mark.parametrize("trigger", ["always", "mention", "never", None])
@pytest.mark.parametrize("meant", ["not", "mentioned", "named"])
def test_the_trigger_decides_and_without_one_groups_want_a_mention(
    kind: Literal["direct", "group", "self"], trigger: Literal["always", "mention", "never"] | None, meant: str
) -> None:
    message = replace(HELLO, kind=kind, mentions_me=meant == "mentioned", text="hi Kai" if meant == "named" else "hi")
    effective = trigger or ("mention" if kind == "group" else "always")
    expected = effective == "always" or (effective == "mention" and meant != "not")
    assert is_triggered(message, replace(RULES, trigger=trigger), "Kai") is expected


@pytest.mark.parametrize("trigger", ["always", "mention", "never", None])
@pytest.mark.parametrize("meant", ["not", "mentioned", "named"])
@pytest.mark.parametrize("kind", ["direct", "group", "self"])
def test_a_persons_own_account_answers_in_no_chat_but_theirs_without_being_called_unless_a_rule_says_so(
    kind: Literal["direct", "group", "self"], trigger: Literal["always", "mention", "never"] | None, meant: str
) -> None:
    text = "hi Kai" if meant == "named" else "hi"
    message = replace(HELLO, kind=kind, mentions_me=meant == "mentioned", text=text, shared_account=True)
    effective = trigger or ("always" if kind == "self" else "mention")
    expected = effective == "always" or (effective == "mention" and meant != "not")
    assert is_triggered(message, replace(RULES, trigger=trigger), "Kai") is expected


def test_a_chat_and_a_sender_are_known_by_every_name_they_have() -> None:
    message = replace(HELLO, chat_aliases=frozenset({"b", "a"}), sender_aliases=frozenset({"49", "lid"}))
    assert chat_ids("net", message) == ("net:desk", "net:a", "net:b")
    assert senders_names(message) == ("ana", "49", "lid")


@pytest.mark.parametrize(
    ("senders", "allowed"),
    [(None, True), (["ana"], True), (["net:49"], True), (["4*"], True), (["bob"], False), ([], False), (["5*"], False)],
)
def test_a_list_of_senders_lets_in_whoever_it_names_under_any_name(senders: list[str] | None, allowed: bool) -> None:
    settings = Settings.model_validate({"chats": {"net:desk": {"senders": senders} if senders is not None else {}}})
    message = replace(HELLO, sender_aliases=frozenset({"49"}))
    assert settings.rules(chat_ids("net", message)).may_speak(senders_names(message)) is allowed
