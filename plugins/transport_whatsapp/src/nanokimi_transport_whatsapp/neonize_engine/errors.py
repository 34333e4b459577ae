"""What came of a failed call. The library's errors are texts, as whatsmeow words them (errors.go, send.go, upload.go).

The question that matters is whether a message may have gone out all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from nanokimi_transport_whatsapp.engine import EngineError

Kind = Literal["away", "later", "refused", "unknown", "failed"]

LATER_SECONDS = 60.0
"""How long to wait where the server says that it is too much; it names no time."""

TIME_LOCK = "WhatsApp doesn't let this account write first to people (463)"

_ACK = re.compile(r"^server returned error (\d{3})$")
_QUERY = re.compile(r"info query returned status (\d{3})")
_HTTP = re.compile(r"(?:download|upload) failed with status code (\d{3})")

_LATER = frozenset({408, 429})
"""With all of 500 and above."""

_OFFLINE = ("websocket not connected", "websocket disconnected before", "client is nil", "doesn't contain a device JID")
_BEFORE = (
    "failed to get ",
    "failed to fetch ",
    "failed to create sender key",
    "failed to marshal ",
    "failed to encrypt ",
    "failed to prefetch ",
    "can't encrypt ",
    "cipher encryption failed",
)
"""How errors begin that come before the message is handed to the socket."""

_NOT_HANDED = re.compile(r"^failed to send message node: .*(websocket not connected|socket is closed)$")
"""The socket didn't take it. A bare "websocket not connected" is another thing: the message went out, the connection
broke before the answer, and it couldn't be sent for a second time."""

_NOBODY = frozenset({"client is nil", "the store doesn't contain a device JID"})

_NEVER = {
    "no LID found for": 404,
    "you're not participating in that group": 403,
    "that group does not exist": 404,
    "can't send message to unknown server": 400,
    "message recipient must be a user JID": 400,
    "sending to non-status broadcast lists": 400,
}
_USELESS = (
    "no url present",
    "unknown media type",
    "didn't find any attachments",
    "file too short",
    "invalid media hmac",
    "hash of ",
    "invalid checksum length",
    "media download path does not start",
)


def of_sending(said: str) -> EngineError:
    """Judge an error of sending a message."""
    ack = _ACK.match(said)
    if ack:
        return _numbered(int(ack[1]), said)
    never = _never(said)
    if never:
        return never
    if said.startswith(_BEFORE):
        return _undone(said)
    if said in _NOBODY or _NOT_HANDED.match(said):
        return EngineError("away", said)
    return EngineError("unknown", said)


def of_file(said: str) -> EngineError:
    """Judge an error of bringing a file to the server or from it; no message has been sent then."""
    http = _HTTP.search(said)
    if http and http[1] == "401":  # the leave to use the media servers has run out; the next try gets a new one
        return EngineError("later", said, code=401)
    if http:
        return _numbered(int(http[1]), said)
    if any(said.startswith(words) for words in _USELESS):
        return EngineError("refused", said)
    return _undone(said, otherwise="later")


def of_call(said: str) -> EngineError:
    """Judge an error of any other call; nothing depends on whether it was done."""
    return _never(said) or _undone(said)


def _undone(said: str, otherwise: Kind = "failed") -> EngineError:
    query = _QUERY.search(said)
    if query:
        return _numbered(int(query[1]), said)
    if any(words in said for words in _OFFLINE):
        return EngineError("away", said)
    if "timed out" in said:
        return EngineError("later", said)
    return EngineError(otherwise, said)


def _never(said: str) -> EngineError | None:
    code = next((number for words, number in _NEVER.items() if words in said), 0)
    return EngineError("refused", said, code=code) if code else None


def _numbered(code: int, said: str) -> EngineError:
    if code in _LATER or code >= 500:
        return EngineError("later", said, code=code, seconds=LATER_SECONDS)
    if code == 463:
        return EngineError("refused", TIME_LOCK, code=code)
    return EngineError("refused", said, code=code)


@contextmanager
def judged(judge: Callable[[str], EngineError], library: type[Exception]) -> Iterator[None]:
    """Turn the library's exceptions into ours.

    Args:
        judge: One of this module.
        library: The root of its exceptions (``neonize.exc.NeonizeError``).

    Raises:
        EngineError: In place of one of them.
    """
    try:
        yield
    except library as error:
        raise judge(_words(error)) from None


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else type(error).__name__
    return " ".join((said.decode(errors="replace") if isinstance(said, bytes) else str(said)).split())[:500]
