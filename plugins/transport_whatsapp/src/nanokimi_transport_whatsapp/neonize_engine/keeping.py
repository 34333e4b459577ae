"""What is kept of a message for later, as the library's own bytes: to fetch its file, and to quote it."""

from __future__ import annotations

from typing import Any

from nanokimi_transport_whatsapp.neonize_engine.content import MEDIA, main_field
from nanokimi_transport_whatsapp.neonize_engine.protos import contents
from nanokimi_transport_whatsapp.neonize_engine.words import said

MOST_QUOTABLE = 16 * 1024
"""Bytes."""

_MOST_BYTES = 64
"""Keys and checksums have 32; what is longer is a thumbnail, or the sidecar of a stream."""

_MOST_WORDS = 2000
_WORDS = frozenset({"text", "caption", "description", "contentText"})
_SIMPLE = frozenset({*MEDIA, "extendedTextMessage", "locationMessage", "liveLocationMessage"})
"""Kinds whose own fields say all that is needed; what hangs on them is decoration."""


def fetchable(message: Any) -> bytes | None:
    """Give the part of an unwrapped ``Message`` with its file's key and place; ``None`` where it has no file."""
    field = main_field(message)
    if field not in MEDIA:
        return None
    part = getattr(message, field)
    if not part.mediaKey or not (part.directPath or part.URL):
        return None
    # The library fetches a video note only under the name of a video.
    kept = _slim(message, field, "videoMessage" if field == "ptvMessage" else field)
    return bytes(kept.SerializePartialToString())


def quotable(message: Any) -> bytes | None:
    """Give an unwrapped ``Message`` as a later answer quotes it: without its own quote, thumbnails, and long ends."""
    field = main_field(message)
    if not field:
        return None
    kept = _slim(message, field, field)
    if field == "conversation":
        kept.conversation = said(message.conversation)[:_MOST_WORDS]
    else:
        _shorten(getattr(kept, field))
    data = bytes(kept.SerializePartialToString())
    return data if len(data) <= MOST_QUOTABLE else None


def _slim(message: Any, field: str, into: str) -> Any:
    kept = contents().Message()
    if field == "conversation":
        return kept
    part = getattr(kept, into)
    part.CopyFrom(getattr(message, field))
    for one, value in part.ListFields():
        heavy = isinstance(value, bytes) and len(value) > _MOST_BYTES and one.type == one.TYPE_BYTES
        hangs_on = field in _SIMPLE and one.type == one.TYPE_MESSAGE
        if heavy or hangs_on or one.name == "contextInfo":
            part.ClearField(one.name)
    part.DiscardUnknownFields()
    return kept


def _shorten(part: Any) -> None:
    for one, value in part.ListFields():
        if one.name in _WORDS and one.type == one.TYPE_STRING and len(value) > _MOST_WORDS:
            setattr(part, one.name, said(value)[:_MOST_WORDS])
