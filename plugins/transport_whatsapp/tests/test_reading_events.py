"""Edits, revocations and reactions, plain and encrypted, read from the library's events."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from events import (
    ALICE,
    ALICE_PHONE,
    BOB,
    E2E,
    GROUP,
    ME,
    OWN,
    OWN_PHONE,
    Key,
    image,
    in_group,
    message_of,
    reading,
    record,
    source,
    text,
    wrapped,
)

from nanokimi_transport_whatsapp.neonize_engine.reading import read
from nanokimi_transport_whatsapp.neonize_engine.secrets import EDIT, REACTION, key_of
from nanokimi_transport_whatsapp.values import Message, Text, Unsupported

ORIGINAL = "3EB0ORIGINAL"
SECRET = b"s" * 32
NONCE = b"n" * 12
OWN_KEY = Key(remoteJID=OWN_PHONE, fromMe=True, ID=ORIGINAL)


def protocol(kind: int | None, key: Any = OWN_KEY, **more: Any) -> Any:
    part = E2E.ProtocolMessage(key=key, **more)
    if kind is not None:
        part.type = kind
    return E2E.Message(protocolMessage=part)


def edited(message: Any, key: Any = OWN_KEY) -> Any:
    return protocol(E2E.ProtocolMessage.MESSAGE_EDIT, key, editedMessage=message)


def reacted(key: Any, sign: str = "👍") -> Any:
    return E2E.Message(reactionMessage=E2E.ReactionMessage(key=key, text=sign))


def target_of(found: Message) -> tuple[str, str, str]:
    return found.event, found.target, found.target_sender


# ------------------------------------------------------------------ edits
@pytest.mark.parametrize("around", [None, "editedMessage", "ephemeralMessage"])
def test_an_edit_has_the_new_text_and_names_the_message_that_it_changes(around: str | None) -> None:
    change = edited(E2E.Message(conversation="hello edited"))
    found = message_of(wrapped(around, change) if around else change, edit="1", network_id="3EB0NEW")
    assert target_of(found) == ("edit", ORIGINAL, ALICE)
    assert (found.id, found.content) == ("3EB0NEW", Text(text="hello edited"))


def test_an_edit_of_a_caption_is_its_new_words_without_the_file() -> None:
    change = edited(wrapped("documentWithCaptionMessage", image(caption="better")))
    found = reading(change)
    assert found.message is not None
    assert (found.message.content, found.media) == (Text(text="better"), None)


def test_an_edit_can_call_somebody() -> None:
    assert message_of(edited(text("@2 look", mentionedJID=[OWN]))).mentions == (OWN,)


def test_an_edit_of_somebody_else_s_message_does_not_reach_it() -> None:
    found = message_of(edited(text("forged"), Key(participant=BOB, ID=ORIGINAL)), where=in_group())
    assert target_of(found) == ("edit", ORIGINAL, ALICE)


def test_an_edit_to_nothing_readable_is_said_to_be_unreadable() -> None:
    assert message_of(edited(E2E.Message())).content == Unsupported(what="an edit that can't be read")


def test_an_edit_or_a_reaction_or_a_revocation_of_no_message_comes_to_nothing() -> None:
    nothing = Key(fromMe=True)
    for message in (edited(text("x"), nothing), reacted(nothing), protocol(E2E.ProtocolMessage.REVOKE, nothing)):
        assert reading(message).message is None


# ------------------------------------------------------------------ encrypted with the secret of an earlier message
def sealed_edit(
    plainly: Any, *, author: str = ALICE, by: str = ALICE, secret: bytes = SECRET, target: str = ORIGINAL
) -> Any:
    key = key_of(secret, EDIT, target=target, author=author, by=by)
    words = plainly if isinstance(plainly, bytes) else plainly.SerializeToString()
    return E2E.Message(
        secretEncryptedMessage=E2E.SecretEncryptedMessage(
            targetMessageKey=Key(ID=target, fromMe=True),
            encPayload=AESGCM(key).encrypt(NONCE, words, None),
            encIV=NONCE,
            secretEncType=E2E.SecretEncryptedMessage.MESSAGE_EDIT,
        )
    )


def known(chat: str, sender: str, network_id: str) -> bytes | None:
    return SECRET if (chat, sender, network_id) == (ALICE, ALICE, ORIGINAL) else None


def opened(message: Any, secret_of: Any = known, **more: Any) -> Message:
    found = read(record(message, **more), secret_of, ME).message
    assert found is not None
    return found


def test_the_secret_of_a_message_is_handed_over_also_from_within_wrappers() -> None:
    context = E2E.MessageContextInfo(messageSecret=SECRET)
    plain = E2E.Message(conversation="x", messageContextInfo=context)
    outside = E2E.Message(
        ephemeralMessage=E2E.FutureProofMessage(message=E2E.Message(conversation="x")), messageContextInfo=context
    )
    for message in (plain, wrapped("ephemeralMessage", plain), outside):
        assert reading(message).secret == SECRET
    plain.messageContextInfo.messageSecret = b"short"
    assert reading(plain).secret is None


def test_the_key_is_the_one_that_whatsapp_s_clients_derive() -> None:
    # RFC 5869 by hand; the order of the info is that of whatsmeow's msgsecret.go.
    info = f"{ORIGINAL}{ALICE}{ALICE_PHONE}Message Edit".encode()
    extracted = hmac.digest(bytes(32), SECRET, "sha256")
    expected = hmac.digest(extracted, info + b"\x01", "sha256")
    assert key_of(SECRET, EDIT, target=ORIGINAL, author=ALICE, by=ALICE_PHONE) == expected


@pytest.mark.parametrize(
    "inner", [text("new words"), edited(text("new words")), wrapped("ephemeralMessage", text("new words"))]
)
def test_an_encrypted_edit_is_read_with_the_secret_of_what_it_edits(inner: Any) -> None:
    found = opened(sealed_edit(inner))
    assert target_of(found) == ("edit", ORIGINAL, ALICE)
    assert found.content == Text(text="new words")


@pytest.mark.parametrize("author", [ALICE, ALICE_PHONE])
@pytest.mark.parametrize("by", [ALICE, ALICE_PHONE])
@pytest.mark.parametrize("place", [(ALICE, ALICE), (ALICE_PHONE, ALICE_PHONE), (ALICE, ALICE_PHONE)])
def test_an_encrypted_edit_is_read_whichever_names_were_used(author: str, by: str, place: tuple[str, str]) -> None:
    def elsewhere(chat: str, sender: str, network_id: str) -> bytes | None:
        return SECRET if (chat, sender) == place else None

    assert opened(sealed_edit(text("new"), author=author, by=by), elsewhere).content == Text(text="new")


@pytest.mark.parametrize(
    "message",
    [
        sealed_edit(text("x"), secret=b"t" * 32),
        sealed_edit(text("x"), author=BOB),
        sealed_edit(b"no protobuf"),
        sealed_edit(text("x"), target="3EB0UNKNOWN"),
        E2E.Message(
            secretEncryptedMessage=E2E.SecretEncryptedMessage(
                targetMessageKey=Key(ID=ORIGINAL), encPayload=b"", encIV=b"", secretEncType=2
            )
        ),
    ],
)
def test_an_encrypted_edit_that_cannot_be_read_is_said_to_be_one(message: Any) -> None:
    found = opened(message)
    assert (found.event, found.content) == ("edit", Unsupported(what="an edit that can't be read"))
    assert found.target


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (1, "a change of an event"),
        (4, "a change of a poll"),
        (5, "a new option in a poll"),
        (0, "secretEncryptedMessage"),
    ],
)
def test_other_encrypted_changes_are_named(kind: int, what: str) -> None:
    part = E2E.SecretEncryptedMessage(targetMessageKey=Key(ID=ORIGINAL), secretEncType=kind)
    found = opened(E2E.Message(secretEncryptedMessage=part))
    assert (found.event, found.content) == ("message", Unsupported(what=what))


def test_an_encrypted_reaction_is_read_with_the_secret_of_what_it_is_about() -> None:
    def sealed(secret: bytes) -> Any:
        key = key_of(secret, REACTION, target=ORIGINAL, author=BOB, by=ALICE)
        payload = AESGCM(key).encrypt(NONCE, E2E.ReactionMessage(text="🎉").SerializeToString(), None)
        part = E2E.EncReactionMessage(
            targetMessageKey=Key(ID=ORIGINAL, participant=BOB), encPayload=payload, encIV=NONCE
        )
        return E2E.Message(encReactionMessage=part)

    def of_bob(chat: str, sender: str, network_id: str) -> bytes | None:
        return SECRET if (chat, sender, network_id) == (GROUP, BOB, ORIGINAL) else None

    found = opened(sealed(SECRET), of_bob, where=in_group())
    assert (*target_of(found), found.content) == ("reaction", ORIGINAL, BOB, Text(text="🎉"))
    unread = opened(sealed(b"t" * 32), of_bob, where=in_group())
    assert (*target_of(unread), unread.content) == (
        "reaction",
        ORIGINAL,
        BOB,
        Unsupported(what="a reaction that can't be read"),
    )


# ------------------------------------------------------------------ revocations
def test_a_revocation_names_the_message_and_has_no_content() -> None:
    found = message_of(protocol(E2E.ProtocolMessage.REVOKE), edit="7")
    assert (*target_of(found), found.content) == ("revoke", ORIGINAL, ALICE, None)


def test_an_admin_can_revoke_the_message_of_another_member() -> None:
    key = Key(participant="300000000000003:9@lid", ID=ORIGINAL)
    found = message_of(protocol(E2E.ProtocolMessage.REVOKE, key), where=in_group(), edit="8")
    assert (*target_of(found), found.sender.id) == ("revoke", ORIGINAL, BOB, ALICE)


def test_nobody_revokes_another_s_message_without_the_server_s_word_that_an_admin_does() -> None:
    key = Key(participant=BOB, ID=ORIGINAL)
    for edit in ("7", ""):
        found = message_of(protocol(E2E.ProtocolMessage.REVOKE, key), where=in_group(), edit=edit)
        assert found.target_sender == ALICE


def test_a_message_of_the_protocol_of_a_type_that_is_not_known_is_no_revocation() -> None:
    newer = E2E.Message(protocolMessage=E2E.ProtocolMessage.FromString(OWN_PROTOCOL + b"\x10\x63"))
    assert reading(newer).message is None
    assert message_of(protocol(None), edit="7").event == "revoke"


OWN_PROTOCOL = E2E.ProtocolMessage(key=OWN_KEY).SerializeToString()


@pytest.mark.parametrize(
    "kind", ["EPHEMERAL_SETTING", "HISTORY_SYNC_NOTIFICATION", "APP_STATE_SYNC_KEY_SHARE", "STATUS_MENTION_MESSAGE"]
)
def test_other_messages_of_the_protocol_come_to_nothing(kind: str) -> None:
    assert reading(protocol(E2E.ProtocolMessage.Type.Value(kind))).message is None


# ------------------------------------------------------------------ reactions
def test_a_reaction_has_its_sign_and_an_empty_one_when_it_is_taken_back() -> None:
    for sign in ("👍", ""):
        found = message_of(reacted(OWN_KEY, sign))
        assert (*target_of(found), found.content) == ("reaction", ORIGINAL, ALICE, Text(text=sign))


@pytest.mark.parametrize(
    ("where", "key", "author"),
    [
        (source(), Key(remoteJID=OWN_PHONE, ID=ORIGINAL), OWN_PHONE),
        (source(ALICE, OWN, "", ALICE_PHONE, mine=True), Key(remoteJID=ALICE, ID=ORIGINAL), ALICE),
        (source(ALICE, OWN, "", ALICE_PHONE, mine=True), Key(remoteJID=ALICE, fromMe=True, ID=ORIGINAL), OWN),
        (in_group(), Key(participant="300000000000003:9@lid", ID=ORIGINAL), BOB),
        (in_group(), Key(participant=OWN, ID=ORIGINAL), ME.id),
        (in_group(), Key(participant=ALICE_PHONE, ID=ORIGINAL), ALICE),
        (in_group(), Key(participant="nonsense", ID=ORIGINAL), ""),
    ],
)
def test_a_reaction_names_who_wrote_what_it_is_about(where: Any, key: Any, author: str) -> None:
    assert message_of(reacted(key), where=where).target_sender == author


def test_a_reaction_in_a_direct_chat_names_the_account_by_the_key_where_it_is_not_known() -> None:
    key = Key(remoteJID=OWN_PHONE, ID=ORIGINAL)
    found = read(record(reacted(key)), known).message
    assert found is not None
    assert found.target_sender == OWN_PHONE
