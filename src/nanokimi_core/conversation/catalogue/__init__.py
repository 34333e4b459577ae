"""Everything that the assistant says to people by itself, in every language; nothing else may say a thing.

A sentence is chosen by its key and made by ``phrase``. To add a language, write one more table like ``english.py``.
"""

from nanokimi_core.conversation.catalogue.keys import Key
from nanokimi_core.conversation.catalogue.phrases import LANGUAGES, Phrase, joined, phrase
from nanokimi_core.conversation.catalogue.sentences import (
    away,
    gave_up,
    held,
    kind_of,
    later,
    login_code,
    people,
    unknown_chat,
)

__all__ = [
    "LANGUAGES",
    "Key",
    "Phrase",
    "away",
    "gave_up",
    "held",
    "joined",
    "kind_of",
    "later",
    "login_code",
    "people",
    "phrase",
    "unknown_chat",
]
