"""What the library tells about its link, in our words. Nothing here calls the library."""

from __future__ import annotations

from typing import Any, Literal

from nanokimi_transport_whatsapp.neonize_engine import protos
from nanokimi_transport_whatsapp.neonize_engine.people import named
from nanokimi_transport_whatsapp.neonize_engine.words import name as fit_name
from nanokimi_transport_whatsapp.neonize_engine.words import said
from nanokimi_transport_whatsapp.values import Link, Typing, Who

ME = 0
"""``neonize.events.EVENT_TO_INT`` numbers the events. The library sends this one, the account, unasked."""

PAIRED, CONNECTED, WEAK, RESTORED, LOGGED_OUT, REPLACED, BANNED, REFUSED, OUTDATED, STREAM_ERROR, DISCONNECTED = range(
    2, 13
)
TYPING = 19
OFFLINE_DONE = 27

STATES = frozenset({*range(2, 13), OFFLINE_DONE})

FIRST_CODE_SECONDS = 60
"""How long the first QR code counts (whatsmeow's qrchan.go); the five after it count 20 seconds each."""

REASONS = {
    "GENERIC": 400,
    "LOGGED_OUT": 401,
    "TEMP_BANNED": 402,
    "MAIN_DEVICE_GONE": 403,
    "CLIENT_OUTDATED": 405,
    "UNKNOWN_LOGOUT": 406,
    "BAD_USER_AGENT": 409,
    "INTERNAL_SERVER_ERROR": 500,
    "EXPERIMENTAL": 501,
    "SERVICE_UNAVAILABLE": 503,
}
"""The server's numbers, which neonize turns into names (whatsmeow's types/events)."""

_LOGGED_OUT = {
    401: "the account was unlinked on the phone",
    403: "the phone's account is locked or logged out",
    406: "the account is banned or was logged out",
}
_NO_REASON = "a reason that the library doesn't know"
_BANS = {
    1: (101, "too many messages to people who don't know the account"),
    2: (102, "too many people blocked the account"),
    3: (103, "too many groups made with people who don't know the account"),
    4: (104, "the same message to too many people"),
    5: (106, "too many messages to a broadcast list"),
}


def account(data: bytes) -> Who | None:
    """Name the account that a ``Device`` is: by its hidden id where it has one, the phone number as the other name."""
    device = protos.happenings().Device.FromString(data)
    phone, hidden = named(device.JID), named(device.LID)
    if not (phone or hidden):
        return None
    return Who(
        id=hidden or phone, alias=phone if hidden else "", name=fit_name(device.PushName or device.BussinessName)
    )


def typing(data: bytes) -> Typing:
    """Read a hint that somebody writes."""
    event = protos.happenings().ChatPresence.FromString(data)
    source = event.MessageSource
    return Typing(chat=named(source.Chat), sender=named(source.Sender), on=event.State == event.COMPOSING)


def of_event(code: int, data: bytes, me: Who | None) -> Link:
    """Read an event of the states.

    Args:
        code: The event's number, one of ``STATES``.
        data: Its protobuf.
        me: The account, as far as it is known.
    """
    if code in (CONNECTED, RESTORED):
        return Link(state="connected", me=me)
    if code == PAIRED:
        return _paired(data, me)
    if code in _PLAIN:
        state, words = _PLAIN[code]
        return Link(state=state, said=words)
    return _READ[code](data)


_PLAIN: dict[int, tuple[Literal["replaced", "outdated", "disconnected", "offline_done"], str]] = {
    REPLACED: ("replaced", "another program connected with this account's session"),
    OUTDATED: ("outdated", "the server doesn't accept this version of the library any more"),
    DISCONNECTED: ("disconnected", "the server closed the connection"),
    OFFLINE_DONE: ("offline_done", ""),
}


def _paired(data: bytes, me: Who | None) -> Link:
    event = protos.happenings().PairStatus.FromString(data)
    if event.Status == event.SUCCESS:
        phone = named(event.ID)
        return Link(state="paired", me=me or (Who(id=phone, name=fit_name(event.BusinessName)) if phone else None))
    words = said(event.Error)
    if "passkey" in words.lower():
        return Link(state="passkey", said=words)
    return Link(state="ended", said=f"the linking failed: {words or 'no reason was given'}")


def _weak(data: bytes) -> Link:
    count = protos.happenings().KeepAliveTimeout.FromString(data).ErrorCount
    return Link(state="weak", said=f"keep-alives without an answer: {count}")


def _logged_out(data: bytes) -> Link:
    code = _reason(protos.happenings().LoggedOut.FromString(data)) or 401
    return Link(state="logged_out", code=code, said=_LOGGED_OUT.get(code, "the account was logged out"))


def _banned(data: bytes) -> Link:
    event = protos.happenings().TemporaryBan.FromString(data)
    code, words = _BANS.get(event.Code, (402, _NO_REASON))
    return Link(state="banned", code=code, said=words, seconds=max(0, event.Expire))


def _refused(data: bytes) -> Link:
    event = protos.happenings().ConnectFailure.FromString(data)
    return Link(state="refused", code=_reason(event), said=said(event.Message) or "the server refused the connection")


def _reason(event: Any) -> int:
    """Give the server's number of the reason, which the library turned into a name; 0 where it isn't known."""
    return REASONS.get(protos.happenings().ConnectFailureReason.Name(event.Reason), 0)


def _stream_error(data: bytes) -> Link:
    code = said(protos.happenings().StreamError.FromString(data).Code)
    number = int(code) if code.isascii() and code.isdigit() and len(code) < 6 else 0
    return Link(state="disconnected", code=number, said=f"the server ended the stream with the error {code or '?'}")


_READ = {
    WEAK: _weak,
    LOGGED_OUT: _logged_out,
    BANNED: _banned,
    REFUSED: _refused,
    STREAM_ERROR: _stream_error,
}


def of_login_status(status: str) -> Link | None:
    """Read a word of whatsmeow's QR channel (qrchan.go); ``None`` where nothing follows from it."""
    if status.startswith("passkey"):
        return Link(state="passkey", said="the account asks for a passkey to be linked")
    return _STATUSES.get(status)


_STATUSES = {
    "timeout": Link(state="codes_over", said="nobody scanned a code in time, or the server closed the connection"),
    "error": Link(state="ended", said="the linking failed: the phone's answer could not be used"),
    "err-client-outdated": Link(state="outdated", said=_PLAIN[OUTDATED][1]),
    "err-unexpected-state": Link(state="refused", said="the server refused to let a device be linked"),
}

LAST_STATUSES = frozenset({"success", *_STATUSES})
"""Words after which no QR code comes any more."""


def of_return(words: str) -> Link:
    """Read what the library's main call returned with.

    Where the server gives a number that neonize doesn't know, it fails to tell the event and returns with an error
    that names the event instead: that is as final as the event is.
    """
    if "TemporaryBan" in words:
        return Link(state="banned", code=402, said=_NO_REASON)
    if "ConnectFailure" in words:
        return Link(
            state="refused", said="the server refused the connection for a reason that the library doesn't know"
        )
    return Link(state="ended", said=words or "the library ended without a word")
