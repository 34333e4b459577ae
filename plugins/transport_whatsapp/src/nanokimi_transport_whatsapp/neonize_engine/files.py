"""How a file is shown in a chat, and what WhatsApp wants to know of it beforehand."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import Any, Literal

from nanokimi_transport_whatsapp.engine import OutgoingFile

Shown = Literal["image", "video", "voice", "audio", "document"]

VOICE_TYPE = "audio/ogg; codecs=opus"
"""The only type with which phones show a voice note."""

_AUDIO = frozenset({"audio/mpeg", "audio/mp4", "audio/aac", "audio/amr"})
_VIDEO = frozenset({"video/mp4", "video/3gpp"})
_PICTURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}

MOST_PIXELS = 40_000_000
"""Of a picture that a preview is made of; unpacked, it takes four times as many bytes."""
PREVIEW_SIDE = 100
"""Pixels of the longer side."""
MOST_PREVIEW = 16 * 1024
"""Bytes; a preview travels in the message itself."""

_OPUS_RATE = 48_000
_PAGE = struct.Struct("<4sBBq")  # of Ogg: its mark, version, flags, granule position
_PAGE_MARK = b"OggS"


def plain_type(file: OutgoingFile) -> str:
    """Give a file's media type without parameters."""
    return file.media_type.partition(";")[0].strip().lower() or "application/octet-stream"


def shown_as(file: OutgoingFile, captioned: bool) -> Shown:
    """Say how a file is shown: what phones can't play or show in a chat is a document.

    Args:
        file: The file; its first bytes must be what its media type says.
        captioned: A text goes with it. Audio has no place for one, so it becomes a document then.
    """
    media_type = plain_type(file)
    if picture_type(file.data) and media_type.startswith("image/"):
        return "image"
    if media_type in _VIDEO and file.data[4:8] == b"ftyp":
        return "video"
    if captioned:
        return "document"
    if media_type in ("audio/ogg", "audio/opus") and opus_seconds(file.data) is not None:
        return "voice"
    return "audio" if media_type in _AUDIO else "document"


def picture_type(data: bytes) -> str:
    """Give the media type of a picture that phones show; empty where it is none."""
    return next((media_type for mark, media_type in _PICTURES.items() if data.startswith(mark)), "")


def opus_seconds(data: bytes) -> int | None:
    """Give the length of Opus in Ogg, at least 1; ``None`` where it isn't that.

    The last page's granule position counts samples at 48 kHz, with those that are skipped at the beginning (RFC 7845).
    """
    if not data.startswith(_PAGE_MARK):
        return None
    head = data.find(b"OpusHead", 0, 4096)
    if head < 0 or len(data) < head + 12:
        return None
    skipped = int.from_bytes(data[head + 10 : head + 12], "little")
    last = data.rfind(_PAGE_MARK)
    if len(data) < last + _PAGE.size:
        last = data.rfind(_PAGE_MARK, 0, last)
    if last < 0:
        return None
    granule: int = _PAGE.unpack_from(data, last)[3]
    return max(1, round((granule - skipped) / _OPUS_RATE))


@dataclass(frozen=True)
class Look:
    """A picture's size in pixels, as it is shown, and a small JPEG of it; empty where none could be made."""

    width: int = 0
    height: int = 0
    preview: bytes = b""


def look_at(data: bytes) -> Look:
    """Look at a picture. What can't be read comes without size and preview: it is still sent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of a picture that unpacks to gigabytes
            return _looked_at(data)
    except Exception:  # noqa: BLE001  # Pillow raises nearly anything at a broken picture; the picture is sent without
        return Look()


def _looked_at(data: bytes) -> Look:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
        width, height = picture.size
        if width * height > MOST_PIXELS:
            return Look(width, height)
        picture.draft("RGB", (4 * PREVIEW_SIDE, 4 * PREVIEW_SIDE))
        upright: Any = ImageOps.exif_transpose(picture)
        if (upright.width < upright.height) != (width < height):
            width, height = height, width
        upright.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        written = io.BytesIO()
        upright.convert("RGB").save(written, "JPEG", quality=60)
    preview = written.getvalue()
    return Look(width, height, preview if len(preview) <= MOST_PREVIEW else b"")
