"""What a friend's client has got, as the fields of ``received.Received``."""

from __future__ import annotations

import base64
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from neonize import events as known
from neonize.exc import NeonizeError

_FILES: Final = {
    "imageMessage": "image",
    "videoMessage": "video",
    "audioMessage": "audio",
    "documentMessage": "document",
    "stickerMessage": "sticker",
}
_OTHERS: Final = {
    "locationMessage": "location",
    "contactMessage": "contact",
    "pollCreationMessage": "poll",
    "pollCreationMessageV2": "poll",
    "pollCreationMessageV3": "poll",
    "secretEncryptedMessage": "secret_edit",
}
_RECEIPTS: Final = {"": "delivered", "inactive": "delivered"}
_PLAIN: Final = {
    "Connected": "connected",
    "Disconnected": "disconnected",
    "LoggedOut": "logged_out",
    "StreamReplaced": "replaced",
    "TemporaryBan": "banned",
    "ClientOutdated": "outdated",
    "ConnectFailure": "refused",
}
_REVOKE, _EDIT = 0, 14


def described(client: Any, event: Any) -> dict[str, Any] | None:
    """Describe an event; ``None`` for one that nobody would miss, such as a group's keys alone."""
    if isinstance(event, known.MessageEv):
        content = _content(client, event.Message)
        return None if content is None else _origin(event.Info.MessageSource, event.Info.ID) | content
    if isinstance(event, known.ReceiptEv):
        names = type(event).DESCRIPTOR.fields_by_name["Type"].enum_type.values_by_number
        kind = names[event.Type].name.lower()
        return _origin(event.MessageSource) | {
            "kind": "receipt",
            "text": _RECEIPTS.get(kind, kind),
            "targets": list(event.MessageIDs),
        }
    if isinstance(event, known.ChatPresenceEv):
        return _origin(event.MessageSource) | {"kind": "typing", "text": _typing(event)}
    if isinstance(event, known.UndecryptableMessageEv):
        return _origin(event.Info.MessageSource, event.Info.ID) | {"kind": "sealed"}
    return {"kind": _PLAIN.get(type(event).__name__, "other")}


def _origin(source: Any, message_id: str = "") -> dict[str, Any]:
    sender, other = _address(source.Sender), _address(source.SenderAlt)
    return {
        "id": message_id,
        "chat": _address(source.Chat),
        "sender": sender,
        "sender_phone": other if other.endswith("@s.whatsapp.net") else "",
        "from_me": source.IsFromMe,
    }


def _content(client: Any, message: Any) -> dict[str, Any] | None:
    whole = {"message": MessageToDict(message)}
    present = {field.name: value for field, value in message.ListFields()}
    if "conversation" in present:
        return whole | {"kind": "text", "text": message.conversation}
    if "extendedTextMessage" in present:
        part = message.extendedTextMessage
        return whole | {"kind": "text", "text": part.text} | _context(part.contextInfo)
    if "reactionMessage" in present:
        part = message.reactionMessage
        return whole | {"kind": "reaction", "text": part.text, "target": part.key.ID}
    if "protocolMessage" in present:
        return whole | _protocol(message.protocolMessage)
    for name, kind in _FILES.items():
        if name in present:
            return whole | _file(client, message, kind, present[name])
    for name, kind in _OTHERS.items():
        if name in present:
            return whole | {"kind": kind, "name": getattr(present[name], "name", "")}
    ignorable = {"senderKeyDistributionMessage", "messageContextInfo"}
    return None if not set(present) - ignorable else whole | {"kind": "other"}


def _protocol(part: Any) -> dict[str, Any]:
    if part.type == _EDIT:
        edited = part.editedMessage
        text = edited.conversation or edited.extendedTextMessage.text
        return {"kind": "edit", "target": part.key.ID, "text": text}
    return {"kind": "revoke" if part.type == _REVOKE and part.key.ID else "other", "target": part.key.ID}


def _file(client: Any, message: Any, kind: str, part: Any) -> dict[str, Any]:
    try:
        data = client.download_any(message)
        failed = {}
    except NeonizeError as error:
        data, failed = b"", {"name": f"download failed: {error}"}
    return {
        "kind": "voice" if kind == "audio" and part.PTT else kind,
        "text": getattr(part, "caption", ""),
        "data": base64.b64encode(data).decode(),
        "mime": part.mimetype,
        "name": getattr(part, "fileName", ""),
        **_context(part.contextInfo),
        **failed,
    }


def _context(context: Any) -> dict[str, Any]:
    quoted = context.quotedMessage
    return {
        "quoted_id": context.stanzaID,
        "quoted_sender": context.participant,
        "quoted_text": quoted.conversation or quoted.extendedTextMessage.text,
        "mentions": list(context.mentionedJID),
        "expiration": context.expiration,
    }


def _typing(event: Any) -> str:
    fields = type(event).DESCRIPTOR.fields_by_name
    state = str(fields["State"].enum_type.values_by_number[event.State].name).lower()
    media = str(fields["Media"].enum_type.values_by_number[event.Media].name).lower()
    if "paused" in state:
        return "paused"
    return "recording" if "audio" in media else "composing"


def _address(jid: Any) -> str:
    return f"{jid.User}@{jid.Server}" if jid.User else str(jid.Server)
