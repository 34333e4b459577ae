"""What a WhatsApp library is put behind, in the child process. neonize is one; another must fit without other changes.

All methods block and are called on worker threads; ``Sink``'s are called on the engine's own threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from nanokimi_transport_whatsapp.values import Link, Message, Typing


@dataclass(frozen=True)
class EngineSettings:
    """What an engine has to be told.

    Attributes:
        session: The database of the link; its folder exists.
        device: What the phone shows under its linked devices.
        presence: Whether the account shows as online; only then does the network tell when others write.
        proxy: A URL, or nothing.
        code_seconds: How long a QR code counts, where the library doesn't say.
    """

    session: Path
    device: str
    presence: Literal["unavailable", "available"] = "unavailable"
    proxy: str = ""
    code_seconds: float = 20


@dataclass(frozen=True)
class Read:
    """What a raw event comes to.

    Attributes:
        message: For the transport; ``None``: there is nothing in it for anybody (keys, receipts of the protocol).
        media: Opaque: what ``fetch`` needs for the file of ``message.content``; ``None`` where there is no file.
        quotable: Opaque: what a later answer needs to quote this; at most 16 KiB, else ``None``.
        secret: Of the message, with which an encrypted edit of it is read; ``None`` where the sender set none.
    """

    message: Message | None
    media: bytes | None = None
    quotable: bytes | None = None
    secret: bytes | None = None


@dataclass(frozen=True)
class OutgoingFile:
    """A file to send: its bytes, not a path."""

    data: bytes
    name: str
    media_type: str


@dataclass(frozen=True)
class Quote:
    """The message that an answer quotes.

    Attributes:
        id: The network's.
        sender: Who wrote it, as the network names them in that chat.
        quotable: As ``Read.quotable`` gave it; ``None`` where it isn't known any more.
        text: Its text, where there is no ``quotable``.
    """

    id: str
    sender: str
    quotable: bytes | None = None
    text: str = ""


@dataclass(frozen=True)
class Outgoing:
    """One network message.

    Attributes:
        chat: Where.
        text: The text, or the caption of the file.
        file: A file.
        quote: What it answers.
        expires: Seconds after which messages of this chat disappear; 0 is never.
    """

    chat: str
    text: str = ""
    file: OutgoingFile | None = None
    quote: Quote | None = None
    expires: int = 0


@dataclass(frozen=True)
class Sent:
    """What the network says of a message that it took: its id, and the account's name in that chat."""

    network_id: str
    sender: str


class EngineError(Exception):
    """A call into the library failed; one sentence, no traceback.

    Args:
        kind: As ``Answer.error``.
        said: In the library's words.
        code: The server's number, or 0.
        seconds: Of ``later``: how long to wait.
    """

    def __init__(
        self,
        kind: Literal["away", "later", "refused", "unknown", "failed"],
        said: str,
        *,
        code: int = 0,
        seconds: float = 0,
    ) -> None:
        super().__init__(said)
        self.kind, self.said, self.code, self.seconds = kind, said, code, seconds


class Sink(Protocol):
    """Where an engine puts what happens."""

    def raw(self, data: bytes) -> None:
        """Take a raw event; returns when it is on disk. Called for one event at a time, in the network's order.

        It blocks while the disk is full; an engine lets that hold up the library.
        """
        ...

    def link(self, link: Link) -> None:
        """Take a change of the link's state. Never blocks."""
        ...

    def typing(self, typing: Typing) -> None:
        """Take a hint. Never blocks; it may be dropped."""
        ...


SecretOf = Callable[[str, str, str], bytes | None]
"""Gives the secret of a message from its chat, its sender and its id; for encrypted edits."""


class Engine(Protocol):
    """A library. Made with ``EngineSettings``; nothing is connected before ``open``."""

    def open(self, sink: Sink) -> None:
        """Begin to connect, or to be linked where no account is; returns at once, ``sink.link`` tells the rest."""
        ...

    def close(self) -> None:
        """End the connection, as well as it goes within 3 seconds; nothing of it is left waiting for.

        May be called more than once; events that the server believes delivered still come to ``Sink.raw``. Afterwards
        ``read`` works as before, and whatever needs a connection is ``away``.
        """
        ...

    def read(self, raw: bytes, secret_of: SecretOf) -> Read:
        """Say what a raw event comes to; works without a connection.

        Raises:
            ValueError: It isn't one of this engine's.
        """
        ...

    def fetch(self, media: bytes) -> bytes:
        """Download a file.

        Raises:
            EngineError: It can't be had: ``refused`` means never; ``away``: after the next ``connected``, perhaps.
        """
        ...

    def send(self, message: Outgoing) -> Sent:
        """Send; returns when the server has taken it.

        Raises:
            EngineError: It hasn't, or that isn't known.
        """
        ...

    def show_typing(self, chat: str, on: bool) -> None:
        """Show that the account writes, or that it stopped.

        Raises:
            EngineError: It can't be shown.
        """
        ...

    def mark_read(self, chat: str, sender: str, network_id: str) -> None:
        """Tell that a message was read.

        Raises:
            EngineError: It can't be told.
        """
        ...

    def members(self, chat: str) -> list[str]:
        """Name the people in a group.

        Raises:
            EngineError: They can't be had.
        """
        ...

    def other_name(self, who: str) -> str:
        """Give the phone number of a hidden id, or the reverse, from what the session knows; empty where it doesn't.

        Raises:
            EngineError: No account is linked.
        """
        ...

    def pair(self, phone: str) -> str:
        """Ask for a code to type on the phone; only while the link's state is ``code``.

        Raises:
            EngineError: There is none.
        """
        ...

    def unlink(self) -> None:
        """Log out on the server, and forget the account.

        Raises:
            EngineError: The server could not be told.
        """
        ...
