"""Reading what the library said, from the spool, into our values.

Nothing but ``ValueError`` is raised, whatever a stranger sent; what isn't understood is named, not dropped. Passed over
in silence are: statuses, broadcasts and channels; keys, settings and notices of the protocol; albums' announcements
(their pictures follow); the better copy of a picture that came already; pins; and what could not be decrypted, which
the library asks the sender for again.
"""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import Any

from google.protobuf.message import DecodeError

from nanokimi_transport_whatsapp.engine import Read, SecretOf
from nanokimi_transport_whatsapp.neonize_engine.content import content_of, main_field, unwrapped
from nanokimi_transport_whatsapp.neonize_engine.context import context_of, expires_in, mentions_in, quoted_in
from nanokimi_transport_whatsapp.neonize_engine.events import EVENTS, Head, edit_word
from nanokimi_transport_whatsapp.neonize_engine.keeping import fetchable, quotable
from nanokimi_transport_whatsapp.neonize_engine.people import call_place, place_of
from nanokimi_transport_whatsapp.neonize_engine.protos import happenings
from nanokimi_transport_whatsapp.neonize_engine.records import CALL_OFFER, MESSAGE, UNDECRYPTABLE, unpack, was_kept
from nanokimi_transport_whatsapp.neonize_engine.secrets import secret_in
from nanokimi_transport_whatsapp.neonize_engine.words import network_id, said
from nanokimi_transport_whatsapp.values import Unsupported, Who

NOTHING = Read(None)

UNREADABLE = "-unreadable"
"""Ends the id of a message that the phone alone can show: should it come after all, it isn't taken for a duplicate."""

_PHONE_ONLY = "a message that can be seen on the phone only, such as one that is seen once"
_LATEST = 253_402_214_400.0
"""Seconds; a day before the year 10000, which no calendar here has."""

_SECOND_COPIES = frozenset({"HD_IMAGE_DUAL_UPLOAD", "HD_VIDEO_DUAL_UPLOAD", "HEVC_VIDEO_DUAL_UPLOAD"})
"""``MessageAssociation.AssociationType`` of a picture that was sent before in lesser quality."""


def read(raw: bytes, secret_of: SecretOf, me: Who | None = None) -> Read:
    """Say what a record of the spool comes to.

    Args:
        raw: As ``records.pack`` made it.
        secret_of: Gives the secrets of earlier messages, for what is encrypted with them.
        me: The account, with both its names; tells the chat with itself, and whom a reaction is for.

    Raises:
        ValueError: It is no event of the library's, or one without an id, a chat or a sender.
    """
    code, data = unpack(raw)
    kind, reader = _READERS[code]
    found = reader(_parsed(kind(happenings()), data), secret_of, me)
    if found.message is None or not was_kept(raw):
        return found
    return replace(found, message=found.message.model_copy(update={"offline": True}))


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ValueError("this is no event of the WhatsApp library") from error


def _head(info: Any, secret_of: SecretOf, me: Who | None, ending: str = "") -> Head | None:
    place = place_of(info.MessageSource, info.Pushname, me)
    if place is None or said(info.Category) == "peer":
        return None
    return Head(
        id=_id(info.ID) + ending,
        place=place,
        at=_moment(info.Timestamp / 1000),
        edit=edit_word(info),
        me=me,
        secret_of=secret_of,
    )


def _message(event: Any, secret_of: SecretOf, me: Who | None) -> Read:
    head = _head(event.Info, secret_of, me)
    inner, met = unwrapped(event.Message if event.HasField("Message") else event.Raw)
    if head is None or any(_second_copy(message) for message in met):
        return NOTHING
    field = main_field(inner)
    if field in EVENTS:
        return Read(EVENTS[field](head, getattr(inner, field)))
    content = content_of(inner)
    if content is None:
        return NOTHING
    context = context_of(inner)
    message = head.message(
        content=content,
        mentions=mentions_in(context),
        quoted=quoted_in(context),
        expires=expires_in(context),
    )
    secrets = (secret_in(one.messageContextInfo) for one in met)
    return Read(
        message,
        media=fetchable(inner),
        quotable=quotable(inner),
        secret=next((secret for secret in secrets if secret), None),
    )


def _unreadable(event: Any, secret_of: SecretOf, me: Who | None) -> Read:
    """Name a message of which this device got nothing; what could not be decrypted is on its way again.

    The library passes on whether a message is withheld, but not that it is one to be seen once (whatsmeow's
    ``UnavailableType``), so the words leave room for others.
    """
    head = _head(event.Info, secret_of, me, UNREADABLE)
    if head is None or not event.IsUnavailable:
        return NOTHING
    return Read(head.message(content=Unsupported(what=_PHONE_ONLY)))


def _call(event: Any, secret_of: SecretOf, me: Who | None) -> Read:
    meta = event.basicCallMeta
    place = call_place(meta, me)
    if place is None:
        return NOTHING
    at = _moment(float(meta.timestamp))  # seconds, unlike a message's
    head = Head(id=f"call-{_id(meta.callID)}", place=place, at=at, edit="", me=me, secret_of=secret_of)
    return Read(head.message(content=Unsupported(what="a call")))


_READERS = {
    CALL_OFFER: (attrgetter("CallOffer"), _call),
    UNDECRYPTABLE: (attrgetter("UndecryptableMessage"), _unreadable),
    MESSAGE: (attrgetter("Message"), _message),
}


def _second_copy(message: Any) -> bool:
    association = message.messageContextInfo.messageAssociation
    kinds = association.DESCRIPTOR.enum_types_by_name["AssociationType"].values_by_number
    kind = kinds.get(association.associationType)
    return kind is not None and kind.name in _SECOND_COPIES


def _id(value: Any) -> str:
    written = network_id(value)
    if not written:
        raise ValueError("this event has no id that can be used")
    return written


def _moment(seconds: float) -> float:
    return min(max(seconds, 0.0), _LATEST)
