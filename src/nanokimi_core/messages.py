"""The values that travel between a transport and the core."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

ChatKind = Literal["direct", "group", "self"]


@dataclass(frozen=True)
class Attachment:
    """A file that came with a message, or goes out with one.

    Attributes:
        name: As the network gave it. Shown to people, never used as a path.
        media_type: For example ``image/png``.
        path: Incoming: a file that the transport wrote under its ``Context.folder``; ``Inbox.deliver`` moves it
            into the chat's workspace.
        size: In bytes.
    """

    name: str
    media_type: str
    path: Path
    size: int


@dataclass(frozen=True)
class Inbound:
    """Something that happened in a chat: a message, or an edit, a revocation or a reaction.

    Attributes:
        id: Unique within the chat for ever. (On WhatsApp that takes the sender and the network's id.)
        chat: The network's own name of the chat, without the transport's name.
        sender: The network's own name of the person.
        text: Plain text, as typed.
        event: What happened.
        target: Of an edit, revocation or reaction: the id it is about.
        thread: The network's name of a thread within the chat.
        sender_name: What the person calls themselves. Not to be trusted.
        chat_name: What the chat is called. Not to be trusted.
        sender_aliases: Other names of the same sender; rules match any of them.
        chat_aliases: Other names of the same chat; rules match any of them.
        kind: A chat of two, a group, or the owner's chat with themselves.
        at: When it was sent, with a time zone; ``None`` means now.
        backlog: It was sent while the transport was away.
        mentions_me: The assistant was mentioned, or it is a reply to something of the assistant's.
        from_me: Sent from the assistant's own account.
        reply_to: The id of the message that it answers.
        quoted: The text of the message that it answers.
        attachments: Files.
        shared_account: The account is a person's own, used by the assistant beside them: without a rule of the toml,
            only what calls the assistant is answered, also in direct chats, and of an unknown chat that doesn't call
            it the owner is not told.
    """

    id: str
    chat: str
    sender: str
    text: str
    event: Literal["message", "edit", "revoke", "reaction"] = "message"
    target: str | None = None
    thread: str | None = None
    sender_name: str = ""
    chat_name: str = ""
    sender_aliases: frozenset[str] = frozenset()
    chat_aliases: frozenset[str] = frozenset()
    kind: ChatKind = "direct"
    at: datetime | None = None
    backlog: bool = False
    mentions_me: bool = False
    from_me: bool = False
    reply_to: str | None = None
    quoted: str = ""
    attachments: tuple[Attachment, ...] = ()
    shared_account: bool = False


@dataclass(frozen=True)
class Outbound:
    """A message that is owed to a chat.

    Attributes:
        key: The same on every attempt; use it as the network's own id where it takes one.
        chat: The network's own name of the chat, as in ``Inbound.chat``.
        text: Rendered to the transport's markup and cut to its length.
        thread: As in ``Inbound.thread``.
        reply_to: The id of the message that this answers.
        attachments: Files to send along.
    """

    key: str
    chat: str
    text: str
    thread: str | None = None
    reply_to: str | None = None
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True)
class Receipt:
    """What a network says when it has accepted a message."""

    network_id: str | None = None
