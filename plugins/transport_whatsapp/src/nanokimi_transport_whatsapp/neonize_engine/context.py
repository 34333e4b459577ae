"""What a message's ``ContextInfo`` tells: who is called, what is answered, when the chat's messages disappear."""

from __future__ import annotations

from itertools import islice
from typing import Any

from nanokimi_transport_whatsapp.neonize_engine.content import as_words, content_of, main_field, unwrapped
from nanokimi_transport_whatsapp.neonize_engine.people import plain
from nanokimi_transport_whatsapp.neonize_engine.words import network_id, text
from nanokimi_transport_whatsapp.values import Quoted

MOST_MENTIONS = 1024
"""As many as a large group has members."""

MOST_QUOTED = 4096
"""Characters of the text of what is answered."""

_LONGEST = 366 * 24 * 3600


def context_of(message: Any) -> Any | None:
    """Give the ``ContextInfo`` of an unwrapped ``Message``; ``None`` where it has none."""
    field = main_field(message)
    if not field or field == "conversation":
        return None
    part = getattr(message, field)
    return part.contextInfo if "contextInfo" in part.DESCRIPTOR.fields_by_name else None


def mentions_in(context: Any | None) -> tuple[str, ...]:
    """Name who is called."""
    written = () if context is None else islice(context.mentionedJID, MOST_MENTIONS)
    return tuple(dict.fromkeys(one for one in map(plain, written) if one))


def quoted_in(context: Any | None) -> Quoted | None:
    """Give what is answered."""
    answered = "" if context is None else network_id(context.stanzaID)
    if context is None or not answered:
        return None
    inner, _ = unwrapped(context.quotedMessage)
    words = as_words(content_of(inner))
    return Quoted(id=answered, sender=plain(context.participant), text=text(words, MOST_QUOTED))


def expires_in(context: Any | None) -> int:
    """Give the seconds after which the chat's messages disappear; 0 is never."""
    seconds = 0 if context is None else int(context.expiration)
    return seconds if seconds <= _LONGEST else 0
