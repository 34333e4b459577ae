"""Messages as text for a database: JSON with only those fields that differ from their defaults."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from nanokimi_core.messages import Attachment, Inbound

_escaped = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_DEFAULTS = {one.name: one.default for one in fields(Inbound) if one.default is not MISSING}
_ALIASES = ("sender_aliases", "chat_aliases")


def storable(text: str) -> str:
    """Give a text that UTF-8 can hold: lone surrogates become their escapes, so different texts stay different."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def packed(value: object) -> str:
    """Write JSON that UTF-8 can hold and that gives exactly the same value when read, lone surrogates included."""
    try:
        return to_json(value).decode()
    except PydanticSerializationError:  # a lone surrogate
        return _escaped(value)


def encode_message(message: Inbound) -> str:
    """Write a message as JSON."""
    given: dict[str, Any] = {
        "id": message.id,
        "chat": message.chat,
        "sender": message.sender,
        "text": message.text,
    }
    for name, default in _DEFAULTS.items():
        value = getattr(message, name)
        if value is not default and value != default:
            given[name] = _pack(name, value)
    return packed(given)


def decode_message(text: str) -> Inbound:
    """Read what ``encode_message`` wrote."""
    given = json.loads(text)
    for name in _ALIASES:
        if name in given:
            given[name] = frozenset(given[name])
    if "at" in given:
        given["at"] = datetime.fromisoformat(given["at"])
    if "attachments" in given:
        given["attachments"] = unpack_attachments(given["attachments"])
    message = object.__new__(Inbound)  # the constructor sets each field by a call of its own
    message.__dict__.update(_DEFAULTS, **given)
    return message


def pack_attachments(attachments: Iterable[Attachment]) -> list[list[Any]]:
    """Turn attachments into what JSON knows."""
    return [[one.name, one.media_type, str(one.path), one.size] for one in attachments]


def unpack_attachments(given: Iterable[Iterable[Any]]) -> tuple[Attachment, ...]:
    """Read what ``pack_attachments`` made."""
    return tuple(Attachment(name, media_type, Path(path), size) for name, media_type, path, size in given)


def _pack(name: str, value: Any) -> Any:
    if name in _ALIASES:
        return sorted(value)
    if name == "at":
        return value.isoformat()
    return pack_attachments(value) if name == "attachments" else value
