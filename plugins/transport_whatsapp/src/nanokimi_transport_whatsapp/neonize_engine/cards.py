"""What a vCard tells of a person: the name and the phone numbers (RFC 6350, and the older forms that phones send)."""

from __future__ import annotations

import quopri
import re
from itertools import islice
from typing import Any

from nanokimi_transport_whatsapp.neonize_engine.words import name, said
from nanokimi_transport_whatsapp.values import Contact

MOST_PHONES = 10

_MOST = 1 << 20
_FOLD = re.compile(r"\r?\n[ \t]")
_LINE = re.compile(r"^(?:[\w-]{1,40}\.)?(FN|TEL)((?:;[^:\r\n]*)?):([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
_ESCAPED = re.compile(r"\\([\\,;:nN])")


def contact_of(part: Any) -> Contact:
    """Read a ``ContactMessage``."""
    card = _FOLD.sub("", said(part.vcard)[:_MOST])
    lines = [(line[1].upper(), line[2], line[3]) for line in islice(_LINE.finditer(card), 4 * MOST_PHONES)]
    full = next((_value(options, value) for kind, options, value in lines if kind == "FN"), "")
    phones = (_phone(options, value) for kind, options, value in lines if kind == "TEL")
    unique = dict.fromkeys(phone for phone in phones if phone)
    return Contact(name=name(part.displayName) or name(full), phones=tuple(islice(unique, MOST_PHONES)))


def _value(options: str, value: str) -> str:
    if "quoted-printable" in options.lower():
        value = quopri.decodestring(value[:4096].encode()).decode(errors="replace")
    return _ESCAPED.sub(lambda sign: " " if sign[1] in "nN" else sign[1], value[:4096])


def _phone(options: str, value: str) -> str:
    number = name(value.removeprefix("tel:"), 40)
    waid = re.search(r";waid=([0-9]{5,16})", options, re.IGNORECASE)
    return number or (f"+{waid[1]}" if waid else "")
