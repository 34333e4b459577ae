"""Events of the WhatsApp library, built of its own protobuf classes, as a stock client gives them."""

from __future__ import annotations

from typing import Any

from nanokimi_transport_whatsapp.engine import Read
from nanokimi_transport_whatsapp.neonize_engine.protos import common, contents, happenings
from nanokimi_transport_whatsapp.neonize_engine.reading import read
from nanokimi_transport_whatsapp.neonize_engine.records import CALL_OFFER, MESSAGE, UNDECRYPTABLE, pack
from nanokimi_transport_whatsapp.values import Message, Who

E2E = contents()
N = happenings()
Key = common().MessageKey

ALICE, ALICE_PHONE = "100000000000001@lid", "15550000001@s.whatsapp.net"
OWN, OWN_PHONE = "200000000000002@lid", "15550000002@s.whatsapp.net"
BOB = "300000000000003@lid"
GROUP = "120363000000000001@g.us"
ME = Who(id=OWN_PHONE, alias=OWN)
ID = "3EB0AAAAAAAAAAAAAAAA"
AT = 1_790_000_000


def jid(written: str = "", device: int = 0) -> Any:
    """Build a JID; all its fields are required."""
    user, _, server = written.rpartition("@")
    return N.JID(User=user, RawAgent=0, Device=device, Integrator=0, Server=server, IsEmpty=not written)


def source(
    chat: str = ALICE, sender: str = ALICE, sender_alt: str = ALICE_PHONE, recipient_alt: str = "", mine: bool = False
) -> Any:
    """Build where an event comes from: Alice's direct chat, unless told."""
    return N.MessageSource(
        Chat=jid(chat),
        Sender=jid(sender, 3),
        IsFromMe=mine,
        IsGroup=chat.endswith("g.us"),
        SenderAlt=jid(sender_alt, 3),
        RecipientAlt=jid(recipient_alt),
        BroadcastListOwner=jid(),
    )


def info(where: Any = None, *, network_id: str = ID, edit: str = "", push: str = "Alice", category: str = "") -> Any:
    """Build what every message says of itself."""
    return N.MessageInfo(
        MessageSource=where or source(),
        ID=network_id,
        ServerID=0,
        Type="text",
        Pushname=push,
        Timestamp=AT * 1000,
        Category=category,
        Multicast=False,
        MediaType="",
        Edit=edit,
    )


def in_group(sender: str = ALICE, sender_alt: str = "") -> Any:
    """Build where a message of the group comes from."""
    return source(GROUP, sender, sender_alt or (ALICE_PHONE if sender == ALICE else ""))


def event(message: Any, **more: Any) -> Any:
    """Build the event of a message; whatsmeow gives the message twice."""
    return N.Message(
        Info=info(**more),
        Message=message,
        Raw=message,
        IsEphemeral=False,
        IsViewOnce=False,
        IsViewOnceV2=False,
        IsViewOnceV2Extension=False,
        IsDocumentWithCaption=False,
        IsLottieSticker=False,
        IsEdit=False,
        UnavailableRequestID="",
        RetryCount=0,
    )


def record(message: Any, **more: Any) -> bytes:
    """Build the spool's record of a message."""
    return pack(MESSAGE, event(message, **more).SerializeToString())


def record_of_call(origin: str = ALICE, caller: str = ALICE, other: str = ALICE_PHONE) -> bytes:
    """Build the spool's record of a call; its time is in seconds."""
    parts = {"from": jid(origin), "callCreator": jid(caller, 3), "callCreatorAlt": jid(other)}
    meta = N.BasicCallMeta(timestamp=AT, callID="CALL1", **parts)
    remote = N.CallRemoteMeta(remotePlatform="android", remoteVersion="2")
    offer = N.CallOffer(basicCallMeta=meta, callRemoteMeta=remote, data=N.Node(Tag="offer", Nil=True))
    return pack(CALL_OFFER, offer.SerializeToString())


def record_undecryptable(*, unavailable: bool, **more: Any) -> bytes:
    """Build the spool's record of a message that could not be read."""
    lost = N.UndecryptableMessage(Info=info(**more), IsUnavailable=unavailable, DecryptFailMode=1)
    return pack(UNDECRYPTABLE, lost.SerializeToString())


def no_secret(chat: str, sender: str, network_id: str) -> bytes | None:
    """Know no secrets."""
    return None


def reading(message: Any, **more: Any) -> Read:
    """Read a message of the library's."""
    return read(record(message, **more), no_secret, ME)


def message_of(message: Any, **more: Any) -> Message:
    """Read a message of the library's that must come to one of ours."""
    found = reading(message, **more).message
    assert found is not None
    return found


def content(message: Any, **more: Any) -> Any:
    """Read what a message of the library's holds."""
    return message_of(message, **more).content


def wrapped(field: str, message: Any) -> Any:
    """Put a message into one of WhatsApp's wrappers."""
    return E2E.Message(**{field: E2E.FutureProofMessage(message=message)})


def text(words: str, **context: Any) -> Any:
    """Build a text, with a context where one is given."""
    part = E2E.ExtendedTextMessage(text=words)
    if context:
        part.contextInfo.CopyFrom(E2E.ContextInfo(**context))
    return E2E.Message(extendedTextMessage=part)


FILE = {
    "mediaKey": b"k" * 32,
    "directPath": "/v/t62/x.enc",
    "fileSHA256": b"s" * 32,
    "fileEncSHA256": b"e" * 32,
    "fileLength": 12345,
}
"""What all parts with a file have."""


def image(**more: Any) -> Any:
    """Build a picture."""
    return E2E.Message(imageMessage=E2E.ImageMessage(mimetype="image/jpeg", **FILE, **more))
