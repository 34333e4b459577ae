"""What a friend's client has got: messages, receipts, typing; and what a friend can say that it answers."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Quote:
    """A message to answer or to react to: its id, its author's address (``1000@lid``) and its text."""

    id: str
    sender: str
    text: str = ""


@dataclass(frozen=True)
class Received:
    """One thing that came.

    Attributes:
        kind: ``text``, ``image``, ``voice``, ``audio``, ``video``, ``document``, ``sticker``, ``location``,
            ``contact``, ``poll``, ``reaction``, ``edit``, ``revoke``, ``secret_edit``, ``other``; ``sealed`` for a
            message that could not be opened; ``receipt``, ``typing``; ``connected``, ``disconnected``, ``logged_out``,
            ``replaced``, ``banned``, ``outdated``, ``refused``.
        id: The message's network id.
        chat: The chat's address: ``1000@lid`` of the other person, or ``1203@g.us``.
        sender: The author's address by LID, without a device.
        sender_phone: The same by number, where it was told.
        from_me: Whether another device of the friend's own account wrote it.
        text: The text, the caption, the reaction, the edit's new text; of a receipt its kind (``delivered``, ``read``),
            of typing its state (``composing``, ``recording``, ``paused``).
        data: A file's bytes, downloaded and opened.
        mime: Its type.
        name: A document's, contact's or place's name.
        target: The id of the message that a reaction, an edit or a revocation is about.
        targets: The ids that a receipt is about.
        quoted_id: Which message it answers.
        quoted_sender: That message's author.
        quoted_text: That message's text.
        mentions: The addresses of the people it mentions.
        expiration: The seconds it lives; 0 for ever.
        message: The whole message, as protobuf's JSON.
    """

    kind: str
    id: str = ""
    chat: str = ""
    sender: str = ""
    sender_phone: str = ""
    from_me: bool = False
    text: str = ""
    data: bytes = field(default=b"", repr=False)
    mime: str = ""
    name: str = ""
    target: str = ""
    targets: tuple[str, ...] = ()
    quoted_id: str = ""
    quoted_sender: str = ""
    quoted_text: str = ""
    mentions: tuple[str, ...] = ()
    expiration: int = 0
    message: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def quote(self) -> Quote:
        """This message, to answer it."""
        return Quote(self.id, self.sender, self.text)

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Received:
        """Read it from its line."""
        lists = {name: tuple(fields.get(name, ())) for name in ("targets", "mentions")}
        return cls(**{**fields, **lists, "data": base64.b64decode(fields.get("data", ""))})
