"""What a message holds, read from WhatsApp's protobuf into our values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from google.protobuf.unknown_fields import UnknownFieldSet

from nanokimi_transport_whatsapp.neonize_engine.cards import contact_of
from nanokimi_transport_whatsapp.neonize_engine.kinds import QUIET, WORDS, phrase, words_in
from nanokimi_transport_whatsapp.neonize_engine.words import degrees, media_type, name, text, whole_number
from nanokimi_transport_whatsapp.values import Contacts, Content, Location, Media, Poll, Text, Unsupported

MOST_LISTED = 50
"""Options of a poll, or contacts."""

_DEPTH = 8
_WRAPPED = "WAWebProtobufsE2E.FutureProofMessage"
_SENT = "WAWebProtobufsE2E.DeviceSentMessage"
_MOST_SIZE, _MOST_SECONDS = 1 << 50, 1 << 30

What = Literal["image", "video", "audio", "voice", "document", "sticker"]


def main_field(message: Any) -> str:
    """Name the field of a ``Message`` that is its content; empty where there is none."""
    return next((field.name for field, _ in message.ListFields() if field.name not in QUIET), "")


def unwrapped(message: Any) -> tuple[Any, list[Any]]:
    """Take a message out of its wrappers: disappearing, seen once, a document with a caption, an edit, and so on.

    Returns:
        The innermost ``Message``, and all that were met on the way with it, from the outermost.
    """
    met = [message]
    while len(met) < _DEPTH:
        field = main_field(message)
        part = getattr(message, field) if field and field != "conversation" else None
        if part is None or part.DESCRIPTOR.full_name not in (_WRAPPED, _SENT) or not part.HasField("message"):
            break
        message = part.message
        met.append(message)
    return message, met


def content_of(message: Any) -> Content | None:
    """Read what an unwrapped ``Message`` holds; ``None`` where there is nothing in it for anybody."""
    field = main_field(message)
    if not field:
        return _newer(message)
    if field == "conversation":
        return Text(text=text(message.conversation))
    part = getattr(message, field)
    if field in WORDS:
        written = "\n".join(words_in(part, WORDS[field]))
        return Text(text=text(written)) if written else Unsupported(what=phrase(field, part))
    return _READERS.get(field, _named)(field, part)


def as_words(content: Content | None) -> str:
    """Write a content in one text, as it is quoted: ``[image] caption``."""
    match content:
        case None:
            return ""
        case Text():
            return content.text
        case Media():
            return f"[{content.what}{content.name and ' ' + content.name}] {content.caption}".strip()
        case Location():
            return f"[location] {content.name} {content.address}".strip()
        case Contacts():
            return f"[contact] {', '.join(one.name for one in content.contacts)}".strip()
        case Poll():
            return f"[poll] {content.question}".strip()
        case Unsupported():
            return f"[{content.what}]"


def _newer(message: Any) -> Unsupported | None:
    """Name a message of a kind that this library doesn't know yet, unless it is the extra of a key."""
    unknown = sorted(entry.field_number for entry in islice(UnknownFieldSet(message), MOST_LISTED))
    known = {field.name for field, _ in message.ListFields()} - {"messageContextInfo"}
    if not unknown or known:
        return None
    return Unsupported(what=f"a newer kind of message, number {unknown[0]}")


# ------------------------------------------------------------------ files
def _media(what: What, otherwise: str) -> Callable[[str, Any], Media]:
    def read(field: str, part: Any) -> Media:
        has = part.DESCRIPTOR.fields_by_name
        return Media(
            what="voice" if what == "audio" and part.PTT else what,
            media_type=media_type(part.mimetype, otherwise),
            caption=text(part.caption) if "caption" in has else "",
            name=(name(part.fileName) or name(part.title)) if "fileName" in has else "",
            size=whole_number(part.fileLength, _MOST_SIZE),
            seconds=whole_number(part.seconds, _MOST_SECONDS) if "seconds" in has else 0,
        )

    return read


# ------------------------------------------------------------------ the others
def _text(field: str, part: Any) -> Text:
    return Text(text=text(part.text))


def _location(field: str, part: Any) -> Content:
    live = field == "liveLocationMessage"
    latitude, longitude = degrees(part.degreesLatitude, 90), degrees(part.degreesLongitude, 180)
    if latitude is None or longitude is None:
        return Unsupported(what="a location that can't be read")
    return Location(
        latitude=latitude,
        longitude=longitude,
        name=name(part.caption if live else part.name),
        address="" if live else name(part.address),
        live=live or bool(part.isLive),
    )


def _contact(field: str, part: Any) -> Contacts:
    return Contacts(contacts=(contact_of(part),))


def _contacts(field: str, part: Any) -> Contacts:
    return Contacts(contacts=tuple(contact_of(one) for one in islice(part.contacts, MOST_LISTED)))


def _poll(field: str, part: Any) -> Poll:
    return Poll(
        question=text(part.name, 1000),
        options=tuple(name(option.optionName) for option in islice(part.options, MOST_LISTED)),
        many=part.selectableOptionsCount != 1,
    )


def _event(field: str, part: Any) -> Unsupported:
    what = phrase(field, part)
    if part.isCanceled:
        what = what.replace("an event", "an event, called off", 1)
    try:
        begins = datetime.fromtimestamp(part.startTime, UTC) if part.startTime else None
    except (ValueError, OverflowError, OSError):
        begins = None
    return Unsupported(what=f"{what}; begins {begins:%Y-%m-%d %H:%M} UTC" if begins else what)


def _named(field: str, part: Any) -> Unsupported:
    return Unsupported(what=phrase(field, part))


_VIDEO = _media("video", "video/mp4")
MEDIA: dict[str, Callable[[str, Any], Media]] = {
    "imageMessage": _media("image", "image/jpeg"),
    "videoMessage": _VIDEO,
    "ptvMessage": _VIDEO,
    "audioMessage": _media("audio", "audio/ogg"),
    "documentMessage": _media("document", "application/octet-stream"),
    "stickerMessage": _media("sticker", "image/webp"),
}
"""Fields that hold a file."""

_READERS: dict[str, Callable[[str, Any], Content]] = {
    **MEDIA,
    "extendedTextMessage": _text,
    "locationMessage": _location,
    "liveLocationMessage": _location,
    "contactMessage": _contact,
    "contactsArrayMessage": _contacts,
    **dict.fromkeys(
        (f"pollCreationMessage{version}" for version in ("", "V2", "V3", "V5", "V6")),  # V4 is a wrapper
        _poll,
    ),
    "eventMessage": _event,
}
