"""Who a message is from, and whether it is one to answer."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal
from unicodedata import category, normalize
from unicodedata import name as letter_name

from nanokimi_core.config import ChatRules
from nanokimi_core.messages import Inbound

_UNSPACED = frozenset(
    {"BALINESE", "BOPOMOFO", "CJK", "HIRAGANA", "IDEOGRAPHIC", "JAVANESE", "KATAKANA", "KATAKANA-HIRAGANA", "KHMER"}
    | {"LAO", "MYANMAR", "NEW", "TAI", "THAI", "TIBETAN", "YI"}
)
"""First words of the Unicode names of letters in scripts that set no spaces between words (NEW: New Tai Lue)."""

_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)
_ZERO_WIDTH_SPACE = "\u200b"
_Form = Literal["NFC", "NFKC"]


def chat_ids(transport: str, message: Inbound) -> tuple[str, ...]:
    """Name a message's chat as rules do, ``transport:chat``, its aliases after it."""
    if not message.chat_aliases:
        return (f"{transport}:{message.chat}",)
    return tuple(f"{transport}:{chat}" for chat in (message.chat, *sorted(message.chat_aliases)))


def senders_names(message: Inbound) -> tuple[str, ...]:
    """Give all names under which rules may know a message's sender, for ``ChatRules.may_speak``."""
    return (message.sender, *sorted(message.sender_aliases))


def is_triggered(message: Inbound, rules: ChatRules, assistant: str) -> bool:
    """Whether the assistant answers this message.

    Without a rule: direct chats always, groups when mentioned, and so direct chats of a person's own account.
    """
    trigger = rules.trigger or _usual(message)
    if trigger == "mention":
        return message.mentions_me or names(assistant, message.text)
    return trigger == "always"


def _usual(message: Inbound) -> Literal["always", "mention"]:
    others = message.kind == "group" or (message.shared_account and message.kind != "self")
    return "mention" if others else "always"


def names(assistant: str, text: str) -> bool:
    """Whether the assistant's name stands in a text as a word of its own.

    Upper and lower case are the same, and so are all ways to encode a character (full width, composed or not). Where
    words begin and end follows Unicode's word boundaries (UAX #29), with three differences that names need: an
    apostrophe ends a name (``Kai's``), Korean particles may follow it, and scripts that set no spaces between words
    can stand right beside it, except that katakana runs on in katakana.
    """
    # Composed alone, "Kai™" is a word with a sign; compatibility forms make it "KaiTM", and read what is full width.
    return _stands(_folded(assistant, "NFC"), _fold(text, "NFC")) or (
        not text.isascii() and _stands(_folded(assistant, "NFKC"), _fold(text, "NFKC"))
    )


def _stands(name: str, said: str) -> bool:
    at = said.find(name) if name else -1
    while at >= 0:
        if _begins(said, at) and _ends(said, at + len(name)):
            return True
        at = said.find(name, at + 1)
    return False


def _fold(text: str, form: _Form) -> str:
    """Give a text as it is compared: case folded, composed, the unseen gone, spaces single."""
    if text.isascii():
        return " ".join(text.lower().split())
    seen = _UNSEEN.sub("", text.replace(_ZERO_WIDTH_SPACE, " "))
    folded = normalize("NFD", normalize(form, seen)).casefold()
    # The dotted capital I of Turkish folds to an i with a second dot, which nobody types.
    return " ".join(normalize(form, folded).replace("i\u0307", "i").split())


@lru_cache(maxsize=16)
def _folded(name: str, form: _Form) -> str:
    return _fold(name, form)


def _begins(text: str, at: int) -> bool:
    """Whether a word can begin here: the letter before doesn't run on."""
    return not _one_word(_script_before(text, at), _script(text[at]))


def _ends(text: str, at: int) -> bool:
    """Whether a word can end here: no mark makes its last letter another one, and the next letter doesn't run on."""
    last, following = _script_before(text, at), _script_after(text, at)
    if following == "MARK":
        return not last
    return last == following == "HANGUL" or not _one_word(last, following)


def _script_before(text: str, at: int) -> str:
    """Give the script of the letter before a place, its marks and underscores (which make italics) aside."""
    while at and (text[at - 1] == "_" or _script(text[at - 1]) == "MARK"):
        at -= 1
    return _script(text[at - 1]) if at else ""


def _script_after(text: str, at: int) -> str:
    while at < len(text) and text[at] == "_":
        at += 1
    return _script(text[at]) if at < len(text) else ""


def _one_word(left: str, right: str) -> bool:
    """Whether a character of the one script runs on in one of the other, as parts of one word."""
    if not left or not right:
        return False
    if left == right == "KATAKANA":
        return True
    if left in _UNSPACED or right in _UNSPACED:
        return False
    return (left == "HANGUL") == (right == "HANGUL") or "NUMBER" in (left, right)


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """Give the script of a letter, ``NUMBER``, ``MARK``, or nothing for what is in no word."""
    kind = category(character)[0]
    if kind == "N":
        return "NUMBER"
    if kind == "M":
        return "MARK"
    return letter_name(character, "UNKNOWN").split()[0] if kind == "L" else ""
