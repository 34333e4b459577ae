"""Strings and numbers of a stranger, made fit to be carried on: bounded, and without what could do harm."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

MOST_TEXT = 65_536
"""Characters of a text; WhatsApp's own clients write no more."""

MOST_NAME = 200
"""Characters of a name."""

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ID = re.compile(r"[!-~]{1,128}")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+_-]{0,63}/[a-z0-9][a-z0-9.+_-]{0,126}")


def said(value: Any) -> str:
    """Give a protobuf's string as text; one that isn't UTF-8 comes as bytes from the protobuf library."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def text(value: Any, most: int = MOST_TEXT) -> str:
    """Give a text, cut with a note where it is longer than ``most`` characters."""
    whole = said(value)
    return whole if len(whole) <= most else f"{whole[:most]}\n[cut here: it has {len(whole)} characters]"


def name(value: Any, most: int = MOST_NAME) -> str:
    """Give a name: one line, without control characters and marks that turn the writing round."""
    head = said(value)[: 4 * most]
    kept = (" " if sign.isspace() else sign for sign in head if _shown(sign))
    return " ".join("".join(kept).split())[:most]


def _shown(sign: str) -> bool:
    return sign.isspace() or (unicodedata.category(sign) not in {"Cc", "Cs"} and sign not in _BIDI)


def network_id(value: Any) -> str:
    """Give a message's id; empty where it is none."""
    written = said(value)
    return written if _ID.fullmatch(written) else ""


def media_type(value: Any, otherwise: str) -> str:
    """Give a media type without its parameters."""
    bare = said(value)[:256].partition(";")[0].strip().lower()
    return bare if _MEDIA_TYPE.fullmatch(bare) else otherwise


def whole_number(value: Any, most: int) -> int:
    """Give a count, between 0 and ``most``."""
    return max(0, min(int(value), most))


def degrees(value: Any, most: float) -> float | None:
    """Give a coordinate between ``-most`` and ``most``; ``None`` where it is none."""
    number = float(value)
    return number if math.isfinite(number) and abs(number) <= most else None
