"""What stands in a line of IRC: names that differ only in case, formatting codes, actions, mentions."""

from __future__ import annotations

import re

from irclib.util.string import ASCII, RFC1459, STRICT_RFC1459, String

_CASEMAPS = {"ascii": ASCII, "rfc1459": RFC1459, "strict-rfc1459": STRICT_RFC1459, "rfc1459-strict": STRICT_RFC1459}
_CODES = re.compile(
    r"\x03(?:\d{1,2}(?:,\d{1,2})?)?|\x04(?:[0-9A-Fa-f]{6}(?:,[0-9A-Fa-f]{6})?)?|[\x00-\x08\x0a-\x1f\x7f]"
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_NICKS = re.compile(r"[^\w\[\]\\`^{|}-]+")
_ACTION = "\x01ACTION "


def fold(name: str, casemapping: str = "rfc1459") -> str:
    r"""Give a channel or nick in the form that is the same however it is typed.

    A server says in its line 005 how it compares; by RFC 1459 also ``[]\^`` are ``{}|~``.
    """
    return str(String(name, _CASEMAPS.get(casemapping, ASCII)).lower())


def plain(text: str, nick: str) -> str | None:
    """Give what somebody typed, without formatting codes; ``None`` for what no person has written.

    Args:
        text: Of a PRIVMSG.
        nick: Who wrote it; an action (``/me waves``) reads ``* nick waves``.
    """
    if text.startswith(_ACTION):
        text = f"* {nick} {text.removeprefix(_ACTION)}"
    elif text.startswith("\x01"):  # a question of a client to ours
        return None
    return _CODES.sub("", text).strip() or None


def sendable(text: str) -> str:
    """Give a text as one line that says nothing to clients, only to people."""
    return _CONTROLS.sub(" ", text)


def mentions(text: str, nicks: set[str], casemapping: str) -> bool:
    """Whether one of the folded nicks stands in a text as a word of its own."""
    return any(fold(word, casemapping) in nicks for word in _NOT_IN_NICKS.split(text))
