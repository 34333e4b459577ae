"""Where a text may be cut: after a sentence, between words, between two characters of a script without spaces."""

from __future__ import annotations

# ruff: noqa: RUF001  # it is about the punctuation that looks like ours
import re
import unicodedata
from collections.abc import Callable, Iterator

_CJK = (
    "\u2e80-\u2fdf\u3005-\u30ff\u3130-\u318f\u31a0-\u4dbf\u4e00-\u9fff\ua000-\ua4cf"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_FULL_STOPS = "。！？｡"
_COMMAS = "，、；：､"
_CLOSING = "」』）】》〉”’"
_NOT_FIRST = _FULL_STOPS + _COMMAS + _CLOSING + "・ー々ゝゞ…ァィゥェォッャュョぁぃぅぇぉっゃゅょ"
_NOT_LAST = "「『（【《〈“‘"
# The rest of a cut line must not become a heading, a list, a quote, a rule or a code fence.
_HARMLESS = r"(?![-+*#>=|]|```|~~~|\d{1,9}[.)])"

_SENTENCE = re.compile(
    rf"(?<=[.!?…])[\"'”’)\]]*+(?<!\s)\s++{_HARMLESS}|(?<=[{_FULL_STOPS}])[{_CLOSING}]*(?![{_NOT_FIRST}])"
)
_WORD = re.compile(rf"(?<!\s)\s++{_HARMLESS}|(?<=[{_COMMAS}])(?![{_NOT_FIRST}\s])")
_CHARACTER = re.compile(
    rf"(?<=[{_CJK}])(?<![{_NOT_LAST}])(?![{_NOT_FIRST}])|(?<![{_NOT_LAST}\s])(?=[{_CJK}])(?![{_NOT_FIRST}])"
)
_SPACE = re.compile(r"\s+")
_LOOK_AHEAD = 16

Allowed = Callable[[int], bool]


def best_cut(text: str, start: int, stop: int, allowed: Allowed) -> int:
    """Give the best place in ``start < place <= stop`` to cut ``text``, or ``start`` where no place is any good.

    Args:
        text: The text.
        start: Where the piece begins.
        stop: Where it must end at the latest.
        allowed: Says whether a place may be used.
    """
    half = start + (stop - start) // 2
    for kind, least in (
        (_SENTENCE, half),
        (_WORD, half),
        (_CHARACTER, half),
        (_WORD, start),
        (_CHARACTER, start),
        (_SPACE, start),
    ):
        places = reversed(list(_places(kind, text, start, stop)))
        last = next((at for at in places if at <= least or allowed(at)), start)
        if last > least:
            return last
    return start


def _places(kind: re.Pattern[str], text: str, start: int, stop: int) -> Iterator[int]:
    """Where a cut of that kind ends a piece, the white space left out."""
    for match in kind.finditer(text, start, min(len(text), stop + _LOOK_AHEAD)):
        at = match.end() - len(match.group()) + len(match.group().rstrip())
        if start < at <= stop:
            yield at


def forced_cut(text: str, start: int, stop: int) -> int:
    """Give a place at or before ``stop`` to cut a word that is too long, between what a reader takes for characters."""
    for at in range(stop, start, -1):
        if not _joined(text, at) and text[at : at + 1] not in ("`", "~"):
            return at
    return next((at for at in range(stop, start, -1) if not _joined(text, at)), stop)


def _joined(text: str, at: int) -> bool:
    """Whether the characters on both sides of a place make one: an accent, an emoji's parts, a flag."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if after < "\u0300":
        return before == "\u200d"
    if "\u200d" in (before, after) or unicodedata.category(after) in ("Mn", "Mc", "Me"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f" or "\u1160" <= after <= "\u11ff":
        return True
    if "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff":
        return True
    return _is_flag(after) and _flags_before(text, at) % 2 == 1


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flags_before(text: str, at: int) -> int:
    first = at
    while first > max(0, at - 64) and _is_flag(text[first - 1]):
        first -= 1
    return at - first
