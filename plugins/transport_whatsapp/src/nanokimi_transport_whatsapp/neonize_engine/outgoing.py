"""Messages as WhatsApp's clients write them, built by hand.

neonize's own helpers take digits for mentions, texts for paths and URLs, and change the message that they quote.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from nanokimi_transport_whatsapp.engine import Outgoing, OutgoingFile, Quote
from nanokimi_transport_whatsapp.neonize_engine.files import (
    VOICE_TYPE,
    Shown,
    look_at,
    opus_seconds,
    picture_type,
    plain_type,
)
from nanokimi_transport_whatsapp.neonize_engine.people import plain
from nanokimi_transport_whatsapp.neonize_engine.protos import contents


def text_message(message: Outgoing) -> Any:
    """Write a message that is a text."""
    inner = contents().ExtendedTextMessage(text=_fit(message.text), contextInfo=_context(message))
    return contents().Message(extendedTextMessage=inner)


def file_message(message: Outgoing, file: OutgoingFile, shown: Shown, uploaded: Any) -> Any:
    """Write a message that is a file.

    Args:
        message: With the caption and the rest.
        file: What was uploaded.
        shown: How it is shown.
        uploaded: The library's ``UploadResponse``.
    """
    where: dict[str, Any] = {
        "URL": uploaded.url,
        "directPath": uploaded.DirectPath,
        "mediaKey": uploaded.MediaKey,
        "fileEncSHA256": uploaded.FileEncSHA256,
        "fileSHA256": uploaded.FileSHA256,
        "fileLength": uploaded.FileLength,
        "contextInfo": _context(message),
    }
    return _WRITERS[shown](_fit(message.text), file, where)


def _image(caption: str, file: OutgoingFile, where: dict[str, Any]) -> Any:
    look = look_at(file.data)
    known: dict[str, Any] = {"width": look.width, "height": look.height, "JPEGThumbnail": look.preview}
    inner = contents().ImageMessage(
        mimetype=picture_type(file.data),
        **_given({"caption": caption, **known}),
        **where,
    )
    return contents().Message(imageMessage=inner)


def _video(caption: str, file: OutgoingFile, where: dict[str, Any]) -> Any:
    inner = contents().VideoMessage(mimetype=plain_type(file), **_given({"caption": caption}), **where)
    return contents().Message(videoMessage=inner)


def _voice(_caption: str, file: OutgoingFile, where: dict[str, Any]) -> Any:
    inner = contents().AudioMessage(mimetype=VOICE_TYPE, PTT=True, seconds=opus_seconds(file.data), **where)
    return contents().Message(audioMessage=inner)


def _audio(_caption: str, file: OutgoingFile, where: dict[str, Any]) -> Any:
    return contents().Message(audioMessage=contents().AudioMessage(mimetype=plain_type(file), **where))


def _document(caption: str, file: OutgoingFile, where: dict[str, Any]) -> Any:
    name = _fit(file.name)
    inner = contents().DocumentMessage(
        mimetype=plain_type(file), fileName=name, title=name, **_given({"caption": caption}), **where
    )
    document = contents().Message(documentMessage=inner)
    if not caption:
        return document
    # Phones show a document's caption only in this wrapping.
    return contents().Message(documentWithCaptionMessage=contents().FutureProofMessage(message=document))


_WRITERS = {"image": _image, "video": _video, "voice": _voice, "audio": _audio, "document": _document}


def _context(message: Outgoing) -> Any:
    context = contents().ContextInfo()
    if message.expires:
        context.expiration = message.expires
    if message.quote:
        context.stanzaID = message.quote.id
        context.participant = plain(message.quote.sender)
        context.quotedMessage.CopyFrom(_quoted(message.quote))
    return context if context.ByteSize() else None


def _quoted(quote: Quote) -> Any:
    if quote.quotable is not None:
        try:
            return contents().Message.FromString(quote.quotable)
        except DecodeError:
            pass  # kept by another version: the text does
    return contents().Message(conversation=_fit(quote.text))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _fit(text: str) -> str:
    """Make a text fit for a protobuf, which takes no half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()
