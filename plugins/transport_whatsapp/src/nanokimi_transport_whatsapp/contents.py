"""What a message holds, as text and files."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from nanokimi_core import Attachment
from nanokimi_transport_whatsapp.values import Contact, Contacts, Content, Location, Media, Poll, Text, Unsupported

_LONGEST = 300
_CALLED = {
    "image": "image",
    "video": "video",
    "audio": "audio file",
    "voice": "voice note",
    "document": "document",
    "sticker": "sticker",
}


def text_of(content: Content | None) -> str:
    """Say what a message holds; what isn't text stands in square brackets, a file that is there isn't mentioned."""
    match content:
        case None:
            return ""
        case Text():
            return content.text
        case Media():
            return _media(content)
        case Location():
            return _location(content)
        case Contacts():
            what = "contact" if len(content.contacts) == 1 else "contacts"
            return f"[{what}: {'; '.join(map(_contact, content.contacts))}]"
        case Poll():
            options = " | ".join(map(_line, content.options))
            how = "several may be chosen" if content.many else "one may be chosen"
            return f"[poll: {_line(content.question)}; options: {options}; {how}]"
        case Unsupported():
            return f"[a message of a kind that can't be shown here: {_line(content.what)}]"


def file_of(content: Content | None, folder: Path) -> Attachment | None:
    """Give the file that came with a message, if there is one.

    Args:
        content: Of the message.
        folder: Where such files lie; one that lies elsewhere is none of ours.
    """
    if not isinstance(content, Media) or not content.path or not Path(content.path).is_relative_to(folder):
        return None
    path = Path(content.path)
    try:
        size = path.stat().st_size
    except (OSError, ValueError):  # its message is delivered all the same; the core says what became of the file
        size = content.size
    return Attachment(content.name or _name(content), content.media_type, path, size)


def _name(media: Media) -> str:
    ending = ".ogg" if media.what == "voice" else mimetypes.guess_extension(media.media_type) or ""
    return f"{_CALLED[media.what].replace(' ', '-')}{ending}"


def _media(media: Media) -> str:
    missing = ""
    if not media.path:
        missing = f"[{_CALLED[media.what]}: {_line(media.trouble) or 'it could not be fetched'}]"
    return "\n".join(filter(None, (media.caption, missing)))


def _location(place: Location) -> str:
    what = "live location" if place.live else "location"
    parts = (_degrees(place.latitude), _degrees(place.longitude), _line(place.name), _line(place.address))
    return f"[{what}: {', '.join(filter(None, parts))}]"


def _degrees(angle: float) -> str:
    whole, _, rest = f"{angle:.6f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"


def _contact(contact: Contact) -> str:
    return ", ".join(filter(None, (_line(contact.name), *map(_line, contact.phones))))


def _line(text: str) -> str:
    """Make one line that can't end the brackets around it."""
    return " ".join(text.split()).replace("[", "(").replace("]", ")")[:_LONGEST]
