"""What is kept of a message to fetch its file and to quote it."""

from __future__ import annotations

from typing import Any

import pytest
from events import E2E, FILE, image, reading, text, wrapped

HEAVY = {"JPEGThumbnail": b"j" * 5000, "contextInfo": E2E.ContextInfo(stanzaID="3EB0Q", mentionedJID=["1@lid"])}
VIDEO = E2E.VideoMessage(caption="c", streamingSidecar=b"z" * 9000, **FILE, **HEAVY)


def kept(data: bytes | None) -> Any:
    assert data is not None
    return E2E.Message.FromString(data)


def test_the_file_s_key_and_place_are_kept_for_fetching_without_the_rest() -> None:
    found = kept(reading(wrapped("viewOnceMessage", image(caption="c", **HEAVY))).media)
    assert [field.name for field, _ in found.ListFields()] == ["imageMessage"]
    assert {name: getattr(found.imageMessage, name) for name in FILE} == FILE
    assert not found.imageMessage.JPEGThumbnail
    assert not found.imageMessage.HasField("contextInfo")


def test_a_video_note_is_kept_for_fetching_as_a_video() -> None:
    assert kept(reading(E2E.Message(ptvMessage=VIDEO)).media).videoMessage.mediaKey == FILE["mediaKey"]
    assert kept(reading(E2E.Message(ptvMessage=VIDEO)).quotable).ptvMessage.caption == "c"


@pytest.mark.parametrize(
    "message",
    [
        text("no file"),
        E2E.Message(imageMessage=E2E.ImageMessage(caption="once", directPath="/x")),
        E2E.Message(imageMessage=E2E.ImageMessage(caption="once", mediaKey=b"k")),
        E2E.Message(locationMessage=E2E.LocationMessage(degreesLatitude=1)),
    ],
)
def test_nothing_is_kept_for_fetching_where_there_is_no_file(message: Any) -> None:
    assert reading(message).media is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (E2E.Message(conversation="hello"), E2E.Message(conversation="hello")),
        (text("hello", stanzaID="3EB0Q", expiration=86400), text("hello")),
        (wrapped("ephemeralMessage", text("hello")), text("hello")),
        (
            E2E.Message(conversation="x", messageContextInfo=E2E.MessageContextInfo(messageSecret=b"s" * 32)),
            E2E.Message(conversation="x"),
        ),
        (image(caption="c", **HEAVY), image(caption="c")),
        (E2E.Message(videoMessage=VIDEO), E2E.Message(videoMessage=E2E.VideoMessage(caption="c", **FILE))),
        (
            E2E.Message(contactMessage=E2E.ContactMessage(displayName="J", vcard="TEL:1")),
            E2E.Message(contactMessage=E2E.ContactMessage(displayName="J", vcard="TEL:1")),
        ),
        (text("x" * 60_000), text("x" * 2000)),
        (E2E.Message(conversation="x" * 60_000), E2E.Message(conversation="x" * 2000)),
    ],
)
def test_a_message_is_kept_for_quoting_without_its_own_quote_and_thumbnails(message: Any, expected: Any) -> None:
    assert kept(reading(message).quotable) == expected


def test_a_message_that_is_too_large_to_quote_is_not_kept_for_it() -> None:
    card = E2E.ContactMessage(vcard="NOTE:" + "x" * 17_000)
    found = reading(E2E.Message(contactMessage=card))
    assert found.message is not None
    assert found.quotable is None
