"""What the kinds of WhatsApp's messages come to."""

from __future__ import annotations

from typing import Any

import pytest
from events import E2E, FILE, content, image, message_of, reading, text, wrapped

from nanokimi_transport_whatsapp.values import Contact, Contacts, Location, Media, Poll, Text, Unsupported

PDF = E2E.DocumentMessage(fileName="y.pdf", caption="read\nthis", mimetype="application/pdf", **FILE)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (E2E.Message(conversation="plain"), "plain"),
        (text("more"), "more"),
        (text(" "), " "),
        (wrapped("ephemeralMessage", text("gone soon")), "gone soon"),
        (wrapped("ephemeralMessage", wrapped("viewOnceMessageV2", text("deep"))), "deep"),
        (wrapped("botInvokeMessage", text("bot")), "bot"),
        (wrapped("spoilerMessage", text("the butler")), "the butler"),
        (E2E.Message(deviceSentMessage=E2E.DeviceSentMessage(message=text("from the phone"))), "from the phone"),
        (E2E.Message(buttonsResponseMessage=E2E.ButtonsResponseMessage(selectedDisplayText="Yes")), "Yes"),
        (E2E.Message(listResponseMessage=E2E.ListResponseMessage(title="Red", description="warm")), "Red\nwarm"),
        (E2E.Message(templateButtonReplyMessage=E2E.TemplateButtonReplyMessage(selectedDisplayText="Go")), "Go"),
        (E2E.Message(buttonsMessage=E2E.ButtonsMessage(contentText="Choose", footerText="now")), "Choose\nnow"),
        (E2E.Message(listMessage=E2E.ListMessage(title="Menu", description="of today")), "Menu\nof today"),
        (
            E2E.Message(
                templateMessage=E2E.TemplateMessage(
                    hydratedTemplate=E2E.TemplateMessage.HydratedFourRowTemplate(hydratedContentText="Your parcel"),
                    hydratedFourRowTemplate=E2E.TemplateMessage.HydratedFourRowTemplate(
                        hydratedContentText="Your parcel"
                    ),
                )
            ),
            "Your parcel",
        ),
        (
            E2E.Message(interactiveMessage=E2E.InteractiveMessage(body=E2E.InteractiveMessage.Body(text="Pick"))),
            "Pick",
        ),
        (
            E2E.Message(
                interactiveResponseMessage=E2E.InteractiveResponseMessage(
                    body=E2E.InteractiveResponseMessage.Body(text="Picked")
                )
            ),
            "Picked",
        ),
    ],
)
def test_text_is_read_from_every_kind_that_has_text(message: Any, words: str) -> None:
    assert content(message) == Text(text=words)


def _video(**more: Any) -> Any:
    return E2E.VideoMessage(mimetype="video/mp4", seconds=9, caption="look", **FILE, **more)


SEEN = Media(what="video", media_type="video/mp4", caption="look", size=12345, seconds=9)
READ_THIS = Media(what="document", media_type="application/pdf", caption="read\nthis", name="y.pdf", size=12345)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (image(caption="a picture"), Media(what="image", media_type="image/jpeg", caption="a picture", size=12345)),
        (wrapped("viewOnceMessage", image()), Media(what="image", media_type="image/jpeg", size=12345)),
        (E2E.Message(videoMessage=_video()), SEEN),
        (E2E.Message(videoMessage=_video(gifPlayback=True)), SEEN),
        (E2E.Message(ptvMessage=_video()), SEEN),
        (
            E2E.Message(audioMessage=E2E.AudioMessage(mimetype="audio/ogg; codecs=opus", PTT=True, seconds=3)),
            Media(what="voice", media_type="audio/ogg", seconds=3),
        ),
        (
            E2E.Message(audioMessage=E2E.AudioMessage(mimetype="audio/mpeg", seconds=3)),
            Media(what="audio", media_type="audio/mpeg", seconds=3),
        ),
        (E2E.Message(documentMessage=PDF), READ_THIS),
        (wrapped("documentWithCaptionMessage", E2E.Message(documentMessage=PDF)), READ_THIS),
        (
            E2E.Message(documentMessage=E2E.DocumentMessage(title="Thesis")),
            Media(what="document", media_type="application/octet-stream", name="Thesis"),
        ),
        (
            wrapped("lottieStickerMessage", E2E.Message(stickerMessage=E2E.StickerMessage(mimetype="image/webp"))),
            Media(what="sticker", media_type="image/webp"),
        ),
    ],
)
def test_a_file_is_named_by_its_kind_with_caption_size_and_length(message: Any, expected: Media) -> None:
    assert content(message) == expected


def test_a_file_s_name_and_type_cannot_carry_control_characters_or_turn_the_writing_round() -> None:
    name = "../\u202egpj.exe\x00\n" + "x" * 500
    found = content(
        E2E.Message(documentMessage=E2E.DocumentMessage(fileName=name, mimetype="text/html\r\nX: y", title="t"))
    )
    assert found.name.startswith("../gpj.exe x")
    assert len(found.name) == 200
    assert found.media_type == "application/octet-stream"


def test_locations_are_read_also_live_ones() -> None:
    still = E2E.LocationMessage(degreesLatitude=52.5, degreesLongitude=13.4, name="Gate", address="Pariser Platz")
    live = E2E.LiveLocationMessage(degreesLatitude=-1, degreesLongitude=2, caption="on my way")
    assert content(E2E.Message(locationMessage=still)) == Location(
        latitude=52.5, longitude=13.4, name="Gate", address="Pariser Platz"
    )
    assert content(E2E.Message(liveLocationMessage=live)) == Location(
        latitude=-1, longitude=2, name="on my way", live=True
    )


@pytest.mark.parametrize(("latitude", "longitude"), [(float("nan"), 0), (0, float("inf")), (91, 0), (0, -181)])
def test_a_place_that_is_not_on_earth_is_said_to_be_unreadable(latitude: float, longitude: float) -> None:
    part = E2E.LocationMessage(degreesLatitude=latitude, degreesLongitude=longitude)
    assert content(E2E.Message(locationMessage=part)) == Unsupported(what="a location that can't be read")


CARD = (
    "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Doe;Jane;;;\r\nFN:Jane\\, Doe\r\n"
    "item1.TEL;type=CELL;waid=15550000009:+1 555-000\r\n 0009\r\nTEL:tel:+4930123\r\nTEL:+4930123\r\n"
    "NOTE:TEL:+999\r\nTEL;waid=15550000008:\r\nEND:VCARD"
)
OLD_CARD = "BEGIN:VCARD\nFN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:J=C3=BCrgen\nTEL:1\nEND:VCARD"


def test_contacts_are_read_from_their_cards() -> None:
    one = E2E.ContactMessage(vcard=CARD)
    assert content(E2E.Message(contactMessage=one)) == Contacts(
        contacts=(Contact(name="Jane, Doe", phones=("+1 555-0000009", "+4930123", "+15550000008")),)
    )
    several = E2E.ContactsArrayMessage(
        contacts=[E2E.ContactMessage(displayName="J. Doe", vcard=CARD), E2E.ContactMessage(vcard=OLD_CARD)]
    )
    found = content(E2E.Message(contactsArrayMessage=several))
    assert [(one.name, len(one.phones)) for one in found.contacts] == [("J. Doe", 3), ("Jürgen", 1)]


@pytest.mark.parametrize("version", ["", "V2", "V3", "V4", "V5", "V6"])
@pytest.mark.parametrize(("count", "many"), [(0, True), (1, False), (2, True)])
def test_a_poll_of_any_version_has_its_question_and_options(version: str, count: int, many: bool) -> None:
    options = [E2E.PollCreationMessage.Option(optionName=name) for name in ("yes", "no")]
    poll = E2E.PollCreationMessage(name="Well?", options=options, selectableOptionsCount=count)
    field = f"pollCreationMessage{version}"
    message = wrapped(field, E2E.Message(pollCreationMessage=poll)) if version == "V4" else E2E.Message(**{field: poll})
    assert content(message) == Poll(question="Well?", options=("yes", "no"), many=many)


NOTE = E2E.Message(extendedTextMessage=E2E.ExtendedTextMessage(text="for lunch"))


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (E2E.Message(pollUpdateMessage=E2E.PollUpdateMessage()), "a vote in a poll"),
        (
            E2E.Message(pollResultSnapshotMessage=E2E.PollResultSnapshotMessage(name="Well?")),
            "the result of a poll: Well?",
        ),
        (
            E2E.Message(groupInviteMessage=E2E.GroupInviteMessage(groupName="Fans\n", caption="come")),
            "an invitation to a group: Fans; come",
        ),
        (
            E2E.Message(
                eventMessage=E2E.EventMessage(
                    name="Picnic", startTime=1_790_000_000, location=E2E.LocationMessage(name="Park")
                )
            ),
            "an event: Picnic; Park; begins 2026-09-21 14:13 UTC",
        ),
        (
            E2E.Message(eventMessage=E2E.EventMessage(name="Picnic", isCanceled=True, startTime=1 << 62)),
            "an event, called off: Picnic",
        ),
        (E2E.Message(orderMessage=E2E.OrderMessage(orderTitle="3 cakes")), "an order: 3 cakes"),
        (E2E.Message(sendPaymentMessage=E2E.SendPaymentMessage(noteMessage=NOTE)), "a payment: for lunch"),
        (
            E2E.Message(requestPaymentMessage=E2E.RequestPaymentMessage(noteMessage=NOTE)),
            "a request for a payment: for lunch",
        ),
        (E2E.Message(call=E2E.Call(callKey=b"k")), "a call"),
        (E2E.Message(callLogMesssage=E2E.CallLogMessage()), "a call"),
        (E2E.Message(placeholderMessage=E2E.PlaceholderMessage()), "a message that can be seen on the phone only"),
        (E2E.Message(buttonsMessage=E2E.ButtonsMessage()), "buttonsMessage"),
        (E2E.Message(musicMessage=E2E.MusicMessage()), "musicMessage"),
        (wrapped("questionMessage", E2E.Message()), None),
        (E2E.Message(pollCreationMessageV4=E2E.FutureProofMessage()), "pollCreationMessageV4"),
        (E2E.Message.FromString(bytes([0xBA, 0x7D, 2, 0x0A, 0])), "a newer kind of message, number 2007"),
    ],
)
def test_what_has_no_form_is_named_and_not_dropped(message: Any, what: str | None) -> None:
    found = reading(message).message
    assert (found.content if found else None) == (Unsupported(what=what) if what else None)


def test_every_field_of_a_message_comes_to_something_or_is_known_to_say_nothing() -> None:
    from nanokimi_transport_whatsapp.neonize_engine.events import EVENTS
    from nanokimi_transport_whatsapp.neonize_engine.kinds import QUIET

    for field in E2E.Message.DESCRIPTOR.fields:
        part = "x" if field.message_type is None else field.message_type._concrete_class()
        found = reading(E2E.Message(**{field.name: part})).message
        assert (found is None) == (field.name in QUIET | set(EVENTS) - {"secretEncryptedMessage"}), field.name


@pytest.mark.parametrize(
    "message",
    [
        E2E.Message(),
        E2E.Message(messageContextInfo=E2E.MessageContextInfo(messageSecret=b"s" * 32)),
        E2E.Message(senderKeyDistributionMessage=E2E.SenderKeyDistributionMessage(groupID="g")),
        E2E.Message(messageHistoryNotice=E2E.MessageHistoryNotice()),
        E2E.Message(albumMessage=E2E.AlbumMessage(expectedImageCount=2)),
        E2E.Message(pinInChatMessage=E2E.PinInChatMessage()),
    ],
)
def test_what_only_the_protocol_needs_comes_to_nothing(message: Any) -> None:
    found = reading(message)
    assert (found.message, found.media, found.quotable, found.secret) == (None, None, None, None)


def test_a_key_that_comes_before_the_text_under_the_same_id_comes_to_nothing_even_with_unknown_extras() -> None:
    keys = E2E.Message(senderKeyDistributionMessage=E2E.SenderKeyDistributionMessage(groupID="g"))
    extra = E2E.Message.FromString(keys.SerializeToString() + bytes([0xBA, 0x7D, 2, 0x0A, 0]))
    assert reading(extra).message is None
    assert content(E2E.Message(conversation="and text", **{"senderKeyDistributionMessage": {}})) == Text(
        text="and text"
    )


def test_the_better_copy_of_a_picture_that_came_already_is_not_brought_again() -> None:
    def child(kind: int) -> Any:
        link = E2E.MessageAssociation(associationType=kind)
        return E2E.Message(
            associatedChildMessage=E2E.FutureProofMessage(message=image()),
            messageContextInfo=E2E.MessageContextInfo(messageAssociation=link),
        )

    kinds = E2E.MessageAssociation.AssociationType
    assert reading(child(kinds.HD_IMAGE_DUAL_UPLOAD)).message is None
    assert content(child(kinds.MEDIA_ALBUM)).what == "image"


def test_a_longer_text_than_whatsapp_s_own_clients_write_is_cut_with_a_note() -> None:
    found = content(text("ä" * 65_537))
    assert found.text == "ä" * 65_536 + "\n[cut here: it has 65537 characters]"
    assert content(text("ä" * 65_536)).text == "ä" * 65_536


def test_a_string_that_is_not_utf_8_is_read_as_far_as_it_goes() -> None:
    assert content(E2E.Message.FromString(b"\x0a\x03a\xffb")) == Text(text="a\ufffdb")


def test_mentions_and_the_timer_of_disappearing_messages_are_told() -> None:
    found = message_of(
        text("@2 look", mentionedJID=["2:7@lid", "2@lid", "nonsense", "1555.0:3@s.whatsapp.net"], expiration=604800)
    )
    assert (found.mentions, found.expires) == (("2@lid", "1555@s.whatsapp.net"), 604800)
    assert message_of(text("x", expiration=2**32 - 1)).expires == 0
    assert message_of(E2E.Message(conversation="x")).expires == 0


@pytest.mark.parametrize(
    ("quoted", "words"),
    [
        (E2E.Message(conversation="the bot said this"), "the bot said this"),
        (image(caption="a picture"), "[image] a picture"),
        (E2E.Message(documentMessage=PDF), "[document y.pdf] read\nthis"),
        (wrapped("ephemeralMessage", text("gone soon")), "gone soon"),
        (E2E.Message(contactMessage=E2E.ContactMessage(vcard=CARD)), "[contact] Jane, Doe"),
        (E2E.Message(locationMessage=E2E.LocationMessage(name="Gate")), "[location] Gate"),
        (E2E.Message(pollCreationMessageV3=E2E.PollCreationMessage(name="Well?")), "[poll] Well?"),
        (E2E.Message(orderMessage=E2E.OrderMessage()), "[an order]"),
        (E2E.Message(), ""),
    ],
)
def test_an_answer_tells_whom_and_what_it_quotes(quoted: Any, words: str) -> None:
    answer = message_of(text("why?", stanzaID="3EB0Q", participant="200000000000002:5@lid", quotedMessage=quoted))
    assert answer.quoted is not None
    assert (answer.quoted.id, answer.quoted.sender, answer.quoted.text) == ("3EB0Q", "200000000000002@lid", words)


def test_a_picture_can_answer_too_and_an_empty_context_answers_nothing() -> None:
    answer = message_of(image(contextInfo=E2E.ContextInfo(stanzaID="3EB0Q")))
    assert answer.quoted is not None
    assert answer.quoted.id == "3EB0Q"
    assert message_of(text("x", isForwarded=True)).quoted is None
