"""Sentences: a key, a language and values become a ``Phrase``, which nothing else can make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nanokimi_core.conversation.catalogue.english import ENGLISH
from nanokimi_core.conversation.catalogue.keys import Key
from nanokimi_core.conversation.catalogue.spanish import SPANISH
from nanokimi_core.conversation.catalogue.values import tidy_value

if TYPE_CHECKING:
    from nanokimi_core.config.model import Language

LANGUAGES: Mapping[Language, Mapping[Key, str]] = {"en": ENGLISH, "es": SPANISH}


class Phrase(str):
    """Something that the assistant says by itself. Only the catalogue makes one, so whoever asks for a ``Phrase`` in
    its signature can be handed no text of another origin.
    """  # noqa: D205

    __slots__ = ()


def phrase(language: Language, key: Key, **values: object) -> Phrase:
    """Say something.

    Args:
        language: The chat's.
        key: What.
        values: For the sentence's placeholders. Each becomes one line of bounded length without control characters,
            changes of direction or known secrets; nothing in it is taken for a placeholder. Phrases go in as they are,
            and an empty ``remedy`` leaves no trace.

    Raises:
        KeyError: A placeholder has no value. The tests look at every call for that.
    """
    told = {name: _inserted(language, name, value) for name, value in values.items()}
    return Phrase(LANGUAGES[language][key].format_map(told))


def joined(phrases: Iterable[Phrase]) -> Phrase:
    """Put phrases below each other."""
    return Phrase("\n".join(phrases))


def _inserted(language: Language, name: str, value: object) -> str:
    if isinstance(value, Phrase):
        return value
    told = tidy_value(name, value)
    if name == "remedy" and told:
        return LANGUAGES[language]["remedy"].format_map({"remedy": told})
    return told
