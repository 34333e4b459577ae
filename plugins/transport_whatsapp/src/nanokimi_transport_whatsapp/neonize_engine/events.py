"""Messages that are about an earlier one: edits, revocations, reactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from nanokimi_transport_whatsapp.engine import SecretOf
from nanokimi_transport_whatsapp.neonize_engine.content import content_of, main_field, unwrapped
from nanokimi_transport_whatsapp.neonize_engine.context import context_of, mentions_in
from nanokimi_transport_whatsapp.neonize_engine.people import Place, is_person, names_of, plain
from nanokimi_transport_whatsapp.neonize_engine.protos import contents
from nanokimi_transport_whatsapp.neonize_engine.secrets import EDIT, REACTION, opened
from nanokimi_transport_whatsapp.neonize_engine.words import network_id, said, text
from nanokimi_transport_whatsapp.values import Content, Media, Message, Text, Unsupported, Who

BY_ADMIN, BY_SENDER = "8", "7"
"""What the server writes into ``Info.Edit`` of a revocation (whatsmeow's ``EditAttribute``)."""

_MOST_SIGN = 64
_OTHER_SECRETS = {
    1: "a change of an event",
    3: "a planned message",
    4: "a change of a poll",
    5: "a new option in a poll",
}
"""``SecretEncryptedMessage.SecretEncType`` without its edits of messages."""


@dataclass(frozen=True)
class Head:
    """What an event says beside its content.

    Attributes:
        id: The network's.
        place: Where, and by whom.
        at: Seconds since 1970.
        edit: The server's word on what kind of edit it is.
        me: The account, where it is known.
        secret_of: Gives the secrets of earlier messages.
    """

    id: str
    place: Place
    at: float
    edit: str
    me: Who | None
    secret_of: SecretOf

    def message(self, **more: Any) -> Message:
        """Make the value of this event."""
        place = self.place
        return Message(
            id=self.id,
            chat=place.chat,
            chat_kind=place.kind,
            sender=place.sender,
            from_me=place.from_me,
            at=self.at,
            **more,
        )


def protocol(head: Head, part: Any) -> Message | None:
    """Read a ``ProtocolMessage``: an edit, a revocation, or nothing for anybody."""
    kinds = contents().ProtocolMessage
    # A type that this library doesn't know reads as its first one, which is a revocation.
    revoked = part.type == kinds.REVOKE if part.HasField("type") else head.edit in (BY_ADMIN, BY_SENDER)
    target = network_id(part.key.ID)
    if revoked and target:
        author = _author(head, part.key) if head.edit == BY_ADMIN else head.place.sender
        return head.message(event="revoke", target=target, target_sender=author.id)
    if part.HasField("type") and part.type == kinds.MESSAGE_EDIT:
        return _edit(head, part.key, part.editedMessage)
    return None


def reaction(head: Head, part: Any) -> Message | None:
    """Read a ``ReactionMessage``."""
    return _reaction(head, part.key, Text(text=text(part.text, _MOST_SIGN)))


def encrypted_reaction(head: Head, part: Any) -> Message | None:
    """Read an ``EncReactionMessage``, as the groups of a community's announcements have them."""
    key = part.targetMessageKey
    found = _opened(head, part, REACTION, _author(head, key), contents().ReactionMessage)
    if found is None:
        return _reaction(head, key, Unsupported(what="a reaction that can't be read"))
    return _reaction(head, key, Text(text=text(found.text, _MOST_SIGN)))


def encrypted_change(head: Head, part: Any) -> Message | None:
    """Read a ``SecretEncryptedMessage``: an edit, or what has no form here."""
    if part.secretEncType != contents().SecretEncryptedMessage.MESSAGE_EDIT:
        what = _OTHER_SECRETS.get(part.secretEncType, "secretEncryptedMessage")
        return head.message(content=Unsupported(what=what))
    found = _opened(head, part, EDIT, head.place.sender, contents().Message)
    if found is None:
        return _edit(head, part.targetMessageKey, None)
    inner, _ = unwrapped(found)
    if main_field(inner) == "protocolMessage":
        inner = inner.protocolMessage.editedMessage
    return _edit(head, part.targetMessageKey, inner)


EVENTS: dict[str, Callable[[Head, Any], Message | None]] = {
    "protocolMessage": protocol,
    "reactionMessage": reaction,
    "encReactionMessage": encrypted_reaction,
    "secretEncryptedMessage": encrypted_change,
}
"""Fields of a message that are about an earlier one."""


def _edit(head: Head, key: Any, edited: Any | None) -> Message | None:
    """Make an edit. Only who wrote a message can edit it, whoever the key names."""
    target = network_id(key.ID)
    if not target:
        return None
    inner = None if edited is None else unwrapped(edited)[0]
    content: Content | None = None if inner is None else content_of(inner)
    if isinstance(content, Media):
        content = Text(text=content.caption)
    return head.message(
        event="edit",
        target=target,
        target_sender=head.place.sender.id,
        content=content or Unsupported(what="an edit that can't be read"),
        mentions=() if inner is None else mentions_in(context_of(inner)),
    )


def _reaction(head: Head, key: Any, content: Content) -> Message | None:
    target = network_id(key.ID)
    if not target:
        return None
    return head.message(event="reaction", target=target, target_sender=_author(head, key).id, content=content)


def _author(head: Head, key: Any) -> Who:
    """Find who wrote the message that a ``MessageKey`` names; ``fromMe`` means whoever sent the key."""
    place, me = head.place, head.me
    if key.fromMe:
        return place.sender
    if place.kind != "group":
        named = plain(key.remoteJID)
        if place.from_me:
            return place.chat
        return me or Who(id=named if is_person(named) else "")
    named = plain(key.participant)
    return next((one for one in (place.sender, me) if one and named in names_of(one)), Who(id=named))


def _opened(head: Head, part: Any, use: str, author: Who, kind: Any) -> Any | None:
    target = network_id(part.targetMessageKey.ID)
    if not target or not author.id:
        return None
    place = head.place
    plainly = opened(
        part, use, target=target, chat=place.chat, author=author, by=place.sender, secret_of=head.secret_of
    )
    if plainly is None:
        return None
    try:
        return kind.FromString(plainly)
    except DecodeError:
        return None


def edit_word(info: Any) -> str:
    """Give the server's word on what kind of edit an event is."""
    return said(info.Edit)[:8]
