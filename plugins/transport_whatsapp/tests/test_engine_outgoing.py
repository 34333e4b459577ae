"""Messages as they are written for the network, and how files are shown."""

from __future__ import annotations

import io
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from nanokimi_transport_whatsapp.engine import EngineError, Outgoing, OutgoingFile, Quote
from nanokimi_transport_whatsapp.neonize_engine.files import MOST_PREVIEW, PREVIEW_SIDE, look_at, opus_seconds, shown_as
from nanokimi_transport_whatsapp.neonize_engine.jids import jid_of
from nanokimi_transport_whatsapp.neonize_engine.outgoing import file_message, text_message
from nanokimi_transport_whatsapp.neonize_engine.protos import contents

CHAT, BOB = "100000000000001@lid", "300000000000003:4@lid"
UPLOADED = SimpleNamespace(
    url="https://mmg.whatsapp.net/x", DirectPath="/x", MediaKey=b"k", FileEncSHA256=b"e", FileSHA256=b"s", FileLength=3
)


def written(message: Outgoing) -> Any:
    """Write a text as the network carries it, and read that."""
    return contents().Message.FromString(text_message(message).SerializeToString())


def sent_file(data: bytes, media_type: str, text: str = "", name: str = "a.bin") -> Any:
    file = OutgoingFile(data, name, media_type)
    message = Outgoing(CHAT, text, file, Quote("Q", BOB, text="before"), 86400)
    return file_message(message, file, shown_as(file, bool(text)), UPLOADED)


def picture(width: int, height: int, form: str = "PNG", turned: bool = False) -> bytes:
    file, noted = io.BytesIO(), Image.Exif()
    if turned:
        noted[0x0112] = 6
    Image.new("RGB", (width, height), "teal").save(file, form, exif=noted)
    return file.getvalue()


def page(granule: int, body: bytes) -> bytes:
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, granule, 1, 0, 0, 1)
    return head + bytes([len(body)]) + body


def opus(seconds: float, skipped: int = 312) -> bytes:
    head = b"OpusHead\x01\x01" + struct.pack("<HIhB", skipped, 48000, 0, 0)
    return page(0, head) + page(0, b"OpusTags") + page(int(seconds * 48000) + skipped, b"sound")


@pytest.mark.parametrize(
    "text", ["@12345678 and bob@1234567.com", "/etc/passwd", "https://example.org/x.png", "@1@g.us"]
)
def test_a_text_stays_a_text_whatever_it_looks_like(text: str) -> None:
    message = written(Outgoing(CHAT, text))
    assert [field.name for field, _ in message.ListFields()] == ["extendedTextMessage"]
    assert message.extendedTextMessage.text == text
    assert not message.extendedTextMessage.HasField("contextInfo")


def test_half_of_a_surrogate_pair_is_no_reason_not_to_send() -> None:
    assert written(Outgoing(CHAT, "a\ud800b")).extendedTextMessage.text == "a?b"


def test_an_answer_quotes_what_it_answers_by_its_senders_name_in_that_chat() -> None:
    quoted = contents().Message(imageMessage=contents().ImageMessage(caption="look"))
    quote = Quote("3EB0", BOB, quotable=quoted.SerializeToString(), text="not this")
    context = written(Outgoing(CHAT, "yes", quote=quote)).extendedTextMessage.contextInfo
    assert (context.stanzaID, context.participant) == ("3EB0", "300000000000003@lid")
    assert context.quotedMessage == quoted


@pytest.mark.parametrize("quotable", [None, b"\xff\xff\xff"])
def test_an_answer_quotes_the_text_where_no_more_is_known(quotable: bytes | None) -> None:
    quote = Quote("3EB0", BOB, quotable=quotable, text="hello?")
    context = written(Outgoing(CHAT, "yes", quote=quote)).extendedTextMessage.contextInfo
    assert context.quotedMessage.conversation == "hello?"


def test_a_chat_whose_messages_disappear_keeps_its_timer() -> None:
    assert written(Outgoing(CHAT, "x", expires=604800)).extendedTextMessage.contextInfo.expiration == 604800


def test_a_picture_comes_with_its_size_a_preview_and_the_caption() -> None:
    image = sent_file(picture(400, 200), "image/png", "look").imageMessage
    assert (image.width, image.height, image.caption, image.mimetype) == (400, 200, "look", "image/png")
    assert Image.open(io.BytesIO(image.JPEGThumbnail)).size == (PREVIEW_SIDE, PREVIEW_SIDE // 2)
    assert len(image.JPEGThumbnail) <= MOST_PREVIEW
    assert (image.contextInfo.stanzaID, image.contextInfo.expiration) == ("Q", 86400)
    assert (image.directPath, image.mediaKey, image.fileSHA256, image.fileLength) == ("/x", b"k", b"s", 3)


def test_a_picture_is_named_by_what_it_is() -> None:
    assert sent_file(picture(4, 4, "JPEG"), "image/png").imageMessage.mimetype == "image/jpeg"


def test_a_picture_that_a_phone_has_turned_is_measured_upright() -> None:
    look = look_at(picture(300, 100, "JPEG", turned=True))
    assert (look.width, look.height) == (100, 300)


def claiming(width: int, height: int) -> bytes:
    """Make a small file that claims to be a large picture."""
    png = bytearray(picture(1, 1))
    png[16:24] = struct.pack(">II", width, height)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    return bytes(png)


def test_a_picture_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    assert look_at(claiming(60_000, 60_000)).preview == b""


def test_a_large_picture_is_measured_and_not_unpacked() -> None:
    look = look_at(claiming(8_000, 8_000))
    assert (look.width, look.height, look.preview) == (8_000, 8_000, b"")


def test_a_broken_picture_is_sent_without_a_preview() -> None:
    image = sent_file(picture(50, 50)[:60], "image/png").imageMessage
    assert image.mimetype == "image/png"
    assert not image.HasField("JPEGThumbnail")


def test_a_voice_note_has_the_type_that_phones_play_and_its_length() -> None:
    audio = sent_file(opus(12.4), "audio/ogg").audioMessage
    assert (audio.mimetype, audio.PTT, audio.seconds) == ("audio/ogg; codecs=opus", True, 12)


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (opus(0.2), 1),
        (opus(61), 61),
        (opus(5, skipped=48000), 5),
        (opus(7) + b"OggS\x00", 7),
        (b"OggS but no more", None),
        (page(0, b"\x01vorbis"), None),
        (b"", None),
    ],
)
def test_the_length_of_opus_is_read_from_its_pages(data: bytes, seconds: int | None) -> None:
    assert opus_seconds(data) == seconds


MP4 = b"\x00\x00\x00\x18ftypmp42"


@pytest.mark.parametrize(
    ("data", "media_type", "captioned", "shown"),
    [
        (MP4, "video/mp4", True, "video"),
        (b"no film", "video/mp4", False, "document"),
        (MP4, "video/webm", False, "document"),
        (b"no picture", "image/png", False, "document"),
        (b"RIFF....WEBP", "image/webp", False, "document"),
        (opus(1), "audio/ogg; codecs=opus", False, "voice"),
        (opus(1), "audio/ogg", True, "document"),
        (page(0, b"\x01vorbis"), "audio/ogg", False, "document"),
        (b"ID3", "audio/mpeg", False, "audio"),
        (b"ID3", "audio/mpeg", True, "document"),
        (b"RIFF", "audio/wav", False, "document"),
        (b"x", "", False, "document"),
        (picture(2, 2), "application/octet-stream", False, "document"),
    ],
)
def test_what_phones_cannot_show_in_a_chat_is_a_document(
    data: bytes, media_type: str, captioned: bool, shown: str
) -> None:
    assert shown_as(OutgoingFile(data, "x", media_type), captioned) == shown


def test_a_document_keeps_its_name_and_shows_its_caption() -> None:
    message = sent_file(b"abc", "text/plain", "read this", "note.txt")
    document = message.documentWithCaptionMessage.message.documentMessage
    assert (document.fileName, document.title, document.caption) == ("note.txt", "note.txt", "read this")
    assert document.mimetype == "text/plain"
    assert document.contextInfo.quotedMessage.conversation == "before"


def test_a_document_without_a_caption_is_not_wrapped() -> None:
    assert sent_file(b"abc", "text/plain").documentMessage.fileLength == 3


def test_a_film_and_music_are_sent_with_their_types() -> None:
    assert sent_file(MP4, "video/mp4", "watch").videoMessage.caption == "watch"
    music = sent_file(b"ID3", "audio/mpeg").audioMessage
    assert (music.mimetype, music.PTT) == ("audio/mpeg", False)


def test_nothing_is_ever_sent_to_one_device_of_a_person() -> None:
    to = jid_of(BOB)
    assert (to.User, to.Device, to.RawAgent, to.Server) == ("300000000000003", 0, 0, "lid")


@pytest.mark.parametrize("name", ["", "Bob", "@lid", "a b@lid", "1555@"])
def test_what_is_no_chat_is_refused(name: str) -> None:
    with pytest.raises(EngineError) as refused:
        jid_of(name)
    assert refused.value.kind == "refused"
