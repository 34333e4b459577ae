"""What comes from outside and is put into sentences: names, causes, other people's words."""

from __future__ import annotations

import unicodedata

from nanokimi_core.logs import redact

LONGEST = 500
"""Characters of a value at the most."""
LONGEST_NAME = 60
"""Characters of a name at the most."""

_OTHERS = frozenset({"name", "people", "excerpt"})
_SHORT = {"name": LONGEST_NAME, "people": 4 * LONGEST_NAME, "excerpt": 120, "chat": 120, "id": 40}
_HARMLESS = str.maketrans({**dict.fromkeys('"«»“”„‟″`', "'"), "[": "(", "]": ")", "<": "(", ">": ")"})
_JOINERS = frozenset("\u200c\u200d")  # a part of emoji, and of words in some scripts
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def tidy(value: object, longest: int = LONGEST) -> str:
    """Give a value as one line without anything that steers a screen: controls, changes of direction, the unseen.

    It is cut to ``longest`` characters, the last of them an ellipsis then.
    """
    text = str(value)[: 4 * longest]
    line = " ".join("".join(map(_visible, text)).split())
    return line if len(line) <= longest and len(str(value)) <= 4 * longest else line[: longest - 1].rstrip() + "…"


def tidy_value(placeholder: str, value: object) -> str:
    """Give a value as it goes into a sentence: tidy, and without known secrets.

    What other people chose, names and excerpts, can't close its quotes either, and can't be a link.
    """
    line = tidy(redact(str(value)), _SHORT.get(placeholder, LONGEST))
    if placeholder in _OTHERS:
        return line.translate(_HARMLESS)
    return line.rstrip(".") if placeholder == "cause" else line


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    return character if character in _JOINERS or unicodedata.category(character) not in _INVISIBLE else ""
