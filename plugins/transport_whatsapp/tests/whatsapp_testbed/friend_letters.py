"""What a friend sends, built by hand: the library's helpers for text guess mentions and fetch links."""

from __future__ import annotations

import base64
import os
import time
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf.json_format import ParseDict
from neonize.proto import Neonize_pb2
from neonize.proto.waCommon.WACommon_pb2 import MessageKey
from neonize.proto.waE2E import WAWebProtobufsE2E_pb2 as letters
from neonize.utils.enum import ChatPresence, ChatPresenceMedia, MediaType, Presence, ReceiptType, VoteType

_MEDIA: Final = {
    "image": MediaType.MediaImage,
    "sticker": MediaType.MediaImage,
    "video": MediaType.MediaVideo,
    "voice": MediaType.MediaAudio,
    "audio": MediaType.MediaAudio,
    "document": MediaType.MediaDocument,
}
_FIELDS: Final = {"voice": "audioMessage"}
_MESSAGE_EDIT = 14
_SECRET_EDIT = 2


class Desk:
    """Does what the parent asks for, one thing after the other."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._secrets: dict[str, bytes] = {}

    def do(self, asked: dict[str, Any]) -> Any:
        """Do one thing.

        Raises:
            NeonizeError: The library could not.
            LookupError: Nobody knows how.
        """
        what = asked.pop("do")
        doing = getattr(self, f"do_{what}", None)
        if doing is None:
            raise LookupError(f"a friend can't do {what!r}")
        return doing(**asked)

    def do_pair(self, phone: str) -> str:
        return str(self._client.PairPhone(phone, True))

    def do_text(self, chat: str, text: str, *, secret: bool = False, **extras: Any) -> str:
        message = _text(text, extras)
        key = os.urandom(32) if secret else b""
        if key:
            message.messageContextInfo.messageSecret = key
        sent = self._send(chat, message)
        self._secrets[sent] = key
        return sent

    def do_texts(self, chat: str, texts: list[str]) -> list[str]:
        return [self._send(chat, _text(text, {})) for text in texts]

    def do_file(self, chat: str, kind: str, data: str, **extras: Any) -> str:
        content = base64.b64decode(data)
        there = self._client.upload(content, _MEDIA[kind])
        message = letters.Message()
        part = getattr(message, _FIELDS.get(kind, f"{kind}Message"))
        part.URL, part.directPath, part.mediaKey = there.url, there.DirectPath, there.MediaKey
        part.fileEncSHA256, part.fileSHA256 = there.FileEncSHA256, there.FileSHA256
        part.fileLength = extras.get("length", len(content))
        part.mimetype = extras["mime"]
        if extras.get("text"):
            part.caption = extras["text"]
        if kind == "document":
            part.fileName = extras["name"]
        if kind in {"voice", "audio"}:
            part.PTT, part.seconds = kind == "voice", extras["seconds"]
        _fill_context(part.contextInfo, extras)
        return self._send(chat, message)

    def do_location(self, chat: str, latitude: float, longitude: float, name: str) -> str:
        place = letters.LocationMessage(degreesLatitude=latitude, degreesLongitude=longitude, name=name)
        return self._send(chat, letters.Message(locationMessage=place))

    def do_contact(self, chat: str, name: str, number: str) -> str:
        card = f"BEGIN:VCARD\nVERSION:3.0\nFN:{name}\nTEL;type=CELL;waid={number}:+{number}\nEND:VCARD"
        contact = letters.ContactMessage(displayName=name, vcard=card)
        return self._send(chat, letters.Message(contactMessage=contact))

    def do_poll(self, chat: str, text: str, options: list[str]) -> str:
        return self._send(chat, self._client.build_poll_vote_creation(text, options, VoteType.SINGLE))

    def do_message(self, chat: str, message: dict[str, Any]) -> str:
        return self._send(chat, ParseDict(message, letters.Message()))

    def do_edit(self, chat: str, target: str, text: str, me: str, *, encrypted: bool, wrapped: bool) -> str:
        edited = letters.Message(conversation=text)
        if not encrypted:
            return str(self._client.edit_message(_address(chat), target, edited).ID)
        key = MessageKey(remoteJID=chat, fromMe=True, ID=target)
        content = edited
        if wrapped:
            change = letters.ProtocolMessage(
                key=key, type=_MESSAGE_EDIT, editedMessage=edited, timestampMS=int(time.time() * 1000)
            )
            content = letters.Message(protocolMessage=change)
        if not (secret := self._secrets.get(target)):
            raise LookupError(f"message {target} was sent without a secret")
        vector = os.urandom(12)
        sealed = AESGCM(_edit_key(secret, target, me)).encrypt(vector, content.SerializeToString(), None)
        envelope = letters.SecretEncryptedMessage(
            targetMessageKey=key, encPayload=sealed, encIV=vector, secretEncType=_SECRET_EDIT
        )
        return self._send(chat, letters.Message(secretEncryptedMessage=envelope))

    def do_revoke(self, chat: str, target: str) -> str:
        return str(self._client.revoke_message(_address(chat), self._client.get_me().JID, target).ID)

    def do_react(self, chat: str, target: str, author: str, text: str) -> str:
        key = MessageKey(remoteJID=chat, fromMe=not author, ID=target)
        if chat.endswith("@g.us") and author:
            key.participant = author
        now = int(time.time() * 1000)
        reaction = letters.ReactionMessage(key=key, text=text, senderTimestampMS=now)
        return self._send(chat, letters.Message(reactionMessage=reaction))

    def do_typing(self, chat: str, *, on: bool, voice: bool) -> None:
        state = ChatPresence.CHAT_PRESENCE_COMPOSING if on else ChatPresence.CHAT_PRESENCE_PAUSED
        media = ChatPresenceMedia.CHAT_PRESENCE_MEDIA_AUDIO if voice else ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT
        self._client.send_chat_presence(_address(chat), state, media)

    def do_presence(self, *, on: bool) -> None:
        self._client.send_presence(Presence.AVAILABLE if on else Presence.UNAVAILABLE)

    def do_read(self, chat: str, target: str, author: str) -> None:
        self._client.mark_read(target, chat=_address(chat), sender=_address(author), receipt=ReceiptType.READ)

    def do_logout(self) -> None:
        self._client.logout()

    def _send(self, chat: str, message: Any) -> str:
        return str(self._client.send_message(_address(chat), message).ID)


def _text(text: str, extras: dict[str, Any]) -> Any:
    """A text as the apps write it: plain where nothing hangs on it."""
    if not any(extras.values()):
        return letters.Message(conversation=text)
    part = letters.ExtendedTextMessage(text=text)
    _fill_context(part.contextInfo, extras)
    return letters.Message(extendedTextMessage=part)


def _fill_context(context: Any, extras: dict[str, Any]) -> None:
    context.mentionedJID.extend(extras.get("mention", ()))
    if extras.get("expiration"):
        context.expiration = extras["expiration"]
    if reply := extras.get("reply"):
        context.stanzaID, context.participant = reply["id"], reply["sender"]
        context.quotedMessage.conversation = reply["text"]


def _address(text: str) -> Any:
    user, _, server = text.rpartition("@")
    return Neonize_pb2.JID(User=user, Server=server, Device=0, RawAgent=0, Integrator=0, IsEmpty=False)


def _edit_key(secret: bytes, message_id: str, author: str) -> bytes:
    """The key of an encrypted edit, as whatsmeow's ``msgsecret.go`` derives it: author and editor are one person."""
    purpose = f"{message_id}{author}{author}Message Edit".encode()
    return HKDF(hashes.SHA256(), 32, None, purpose).derive(secret)
