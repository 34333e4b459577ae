"""Reads the address and the code of a device login out of what an agent's own login prints, in several forms."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from nanokimi_core import ShowCode

_URL = re.compile(r"https?://[^\s\"'<>|]+")
_CODE = r"([A-Za-z0-9]{2,12}(?:-[A-Za-z0-9]{2,12}){0,3})"
_SAID = re.compile(rf"\bcode\b(?:\s+is)?\s*[:=]?\s+{_CODE}(?![\w-])", re.IGNORECASE)
_EXPIRES = re.compile(r"expires? in\s+(\d{1,6})\s*(s|m|h)?", re.IGNORECASE)
_UNITS = {"s": 1, "m": 60, "h": 3600}
_NAMES_OF_CODE = ("user_code", "userCode", "code")
_NAMES_OF_URL = (
    "verification_uri_complete",
    "verificationUriComplete",
    "verification_url",
    "verification_uri",
    "verificationUri",
)
_NAMES_OF_TIME = ("expires_in", "expiresIn")
_DEEPEST = 4
_LONGEST = 24 * 3600


@dataclass
class _Seen:
    url: str = ""
    code: str = ""
    seconds: int | None = None

    @property
    def whole(self) -> bool:
        return bool(self.url and self.code)


class CodeReader:
    """Takes the lines that a login prints, and gives each new code once.

    Args:
        longest: How long the agent waits for a person, at most; no code is good for longer.
    """

    def __init__(self, longest: timedelta) -> None:
        self._ends = datetime.now(UTC) + longest
        self._seen = _Seen()
        self._given = ""

    @property
    def pending(self) -> bool:
        """Whether a code is known whose end may still be said."""
        return self._seen.whole and self._seen.code != self._given

    def take(self, line: str) -> ShowCode | None:
        """Take a line; gives the code when all of it has been said."""
        found = _from_json(line) or _from_text(line)
        self._seen.url = found.url or self._seen.url
        self._seen.code = found.code or self._seen.code
        self._seen.seconds = self._seen.seconds if found.seconds is None else found.seconds
        goes_on = bool(found.url or found.code)
        return None if goes_on and self._seen.seconds is None else self.flush()

    def flush(self) -> ShowCode | None:
        """Give the code that is known, whatever may still be said of it."""
        if not self.pending:
            return None
        seen, self._seen = self._seen, _Seen()
        self._given = seen.code
        ends = self._ends
        if seen.seconds is not None:
            ends = min(ends, datetime.now(UTC) + timedelta(seconds=seen.seconds))
        page = _without_code(seen.url, seen.code)
        return ShowCode(page, seen.code, ends, complete_url=seen.url if page != seen.url else "")


def words(line: str) -> str:
    """Give what a line says to people: a JSON event's message, or the line itself."""
    if line.startswith("{"):
        with suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict) and isinstance(event.get("message"), str):
                return str(event["message"])
    return line


def _from_text(line: str) -> _Seen:
    seen = _Seen()
    if (match := _URL.search(line)) and _is_url(match[0].rstrip(".,;)")):
        seen.url = match[0].rstrip(".,;)")
        seen.code = _code_in(seen.url)
    if match := _SAID.search(_URL.sub(" ", line)):
        said = match[1]
        if any(character.isdigit() for character in said) or said.isupper():
            seen.code = said
    if match := _EXPIRES.search(line):
        seen.seconds = min(int(match[1]) * _UNITS[(match[2] or "s").lower()], _LONGEST)
    return seen


def _from_json(line: str) -> _Seen | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    seen = _Seen()
    for table in _tables(event):
        url = next((table[name] for name in _NAMES_OF_URL if isinstance(table.get(name), str)), "")
        code = next((table[name] for name in _NAMES_OF_CODE if isinstance(table.get(name), str)), "")
        if _URL.fullmatch(url) and _is_url(url):
            seen.url = seen.url or url
        if re.fullmatch(_CODE, code):
            seen.code = seen.code or code
        times = [table[name] for name in _NAMES_OF_TIME if type(table.get(name)) in (int, float)]
        seen.seconds = min(int(times[0]), _LONGEST) if times and times[0] > 0 else seen.seconds
    seen.code = seen.code or _code_in(seen.url)
    return seen


def _tables(value: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping) and depth < _DEEPEST:
        yield value
        for inner in value.values():
            yield from _tables(inner, depth + 1)


def _is_url(text: str) -> bool:
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _code_in(url: str) -> str:
    found = [value for name, value in parse_qsl(urlsplit(url).query) if name in _NAMES_OF_CODE]
    return found[0] if found and re.fullmatch(_CODE, found[0]) else ""


def _without_code(url: str, code: str) -> str:
    """Give the page alone, where the code is its whole query."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    if [value for _, value in query] != [code]:
        return url
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
