"""Everything that the assistant says to people by itself, in every language; nothing else may say a thing.

A sentence is chosen by its key and made by ``phrase``. To add a language, write one more table like ``english.py``.
"""

from nanokimi_core.conversation.catalogue.keys import Key
from nanokimi_core.conversation.catalogue.phrases import LANGUAGES, Phrase, joined, phrase
from nanokimi_core.conversation.catalogue.sentences import (
    failure,
    gave_up,
    held,
    kind_of,
    later,
    people,
    unknown_chat,
)

HELP = phrase("en", "help")
FRESH = phrase("en", "fresh")
NOTHING_TO_STOP = phrase("en", "nothing_to_stop")
STOPPED = phrase("en", "stopped")
TOO_MANY_WAITING = phrase("en", "too_many_waiting")
FAULT = phrase("en", "fault")

__all__ = [
    "LANGUAGES",
    "Key",
    "Phrase",
    "failure",
    "gave_up",
    "held",
    "joined",
    "kind_of",
    "later",
    "people",
    "phrase",
    "unknown_chat",
]
