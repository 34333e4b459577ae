"""What goes into a store and comes out of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Literal

from nanokimi_core.errors import NanoKimiError
from nanokimi_core.messages import Attachment, ChatKind, Inbound


class StoreError(NanoKimiError):
    """The store can't be read or written at the moment: a full or read-only disk, a damaged file."""

    exit_code = 2


class LeaseLost(StoreError):
    """What was claimed has been claimed by another holder since."""


class Gone(StoreError):
    """A row of the outbox is owed no more: its chat was forgotten, or it was sent or given up meanwhile."""


class Role(enum.Enum):
    """What a message is for.

    ``TURN`` and ``ORDER`` wait in the lane of their chat: the one for an agent's turn, the other as a command that has
    its place between turns (``/new``). ``CONTEXT`` goes along with a later turn. ``DONE`` is over as soon as it is
    kept: a command that was carried out at once.
    """

    TURN = "turn"
    ORDER = "order"
    CONTEXT = "context"
    DONE = "done"


class Outcome(enum.Enum):
    """What became of an arrival."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    APPLIED = "applied"  # an edit or revocation of something that nobody had claimed yet


class Ending(enum.Enum):
    """How an accepted message came to its end; each is a counter."""

    ANSWERED = "answered"
    COMMAND = "command"
    CANCELLED = "cancelled"
    EDIT = "edit"


@dataclass(frozen=True, slots=True)
class Owed:
    """A message that is owed to a chat, rendered and cut to the transport's limit.

    Attributes:
        key: Unique for ever; the same on every attempt to send.
        transport: The transport's instance.
        chat: The network's own name of the chat.
        text: As it is to be sent.
        thread: As in ``Outbound.thread``.
        reply_to: As in ``Outbound.reply_to``.
        attachments: As in ``Outbound.attachments``.
        notice: The assistant itself says this; when it can't be sent, nobody is told in the chat.
    """

    key: str
    transport: str
    chat: str
    text: str
    thread: str | None = None
    reply_to: str | None = None
    attachments: tuple[Attachment, ...] = ()
    notice: bool = False


@dataclass(frozen=True, slots=True)
class OwedRow:
    """A row of the outbox.

    Attributes:
        number: Its place: within a chat, lower numbers are sent first.
        owed: What is owed.
        attempts: Sends that were started, the coming one included.
        since: When it was put there, in seconds since 1970.
    """

    number: int
    owed: Owed
    attempts: int
    since: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message to be kept.

    Attributes:
        transport: The transport's instance.
        message: As delivered, with ``at`` set; its attachments lie in the chat's workspace.
        role: What it is for.
        replies: What is owed in return, kept in the same transaction; nothing where it is a duplicate.
    """

    transport: str
    message: Inbound
    role: Role
    replies: tuple[Owed, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A request for the next work of a chat's lane.

    Attributes:
        transport: The transport's instance.
        chat: The network's own name of the chat.
        turn: The id of the turn, should it be a new one; a message that is tried again by itself keeps its turn's id.
        batch: At most so many messages; one that was tried before always comes alone, and so does an order.
        context: At most so many messages of context, the latest ones before the claimed messages.
        day: Today's date where the owner is, ``2026-11-21``; the turn counts for it. Orders don't count.
    """

    transport: str
    chat: str
    turn: str
    batch: int
    context: int
    day: str


@dataclass(frozen=True, slots=True)
class Row:
    """A claimed row of the inbox.

    Attributes:
        number: Its place: within a chat, lower numbers come first.
        message: As it was kept, edits applied.
        role: ``TURN`` or ``ORDER``.
        attempts: Attempts that were started, this one included.
    """

    number: int
    message: Inbound
    role: Role
    attempts: int


@dataclass(frozen=True, slots=True)
class Work:
    """Claimed rows of one chat: one turn, or one order. The attempt is on disk before this is handed out.

    Attributes:
        transport: The transport's instance.
        chat: The network's own name of the chat.
        turn: The turn's id.
        rows: In order, at least one.
        context: What was said before, in order.
        waiting: Rows of this lane that were left unclaimed.
    """

    transport: str
    chat: str
    turn: str
    rows: tuple[Row, ...]
    context: tuple[Inbound, ...] = ()
    waiting: int = 0

    @property
    def attempts(self) -> int:
        """Say how often this was started."""
        return self.rows[0].attempts


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """What is known of a chat.

    Attributes:
        number: For people to name it by in commands.
        id: ``transport:chat``.
        name: What people call it. Not to be trusted.
        kind: A chat of two, a group, or the owner's chat with themselves.
        granted: Let in or shut out by the owner's order; ``None``: neither.
        people: Names of those who wrote there, or of its members; not to be trusted.
        waiting: Messages in its lane.
        seen: When something last came, in seconds since 1970.
    """

    number: int
    id: str
    name: str
    kind: ChatKind
    granted: bool | None
    people: tuple[str, ...] = ()
    waiting: int = 0
    seen: float = 0.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message or an answer that was given up.

    Attributes:
        id: ``m`` and a number for a message that could not be answered, ``a`` and a number for an answer that could
            not be sent.
        chat: ``transport:chat``.
        text: What was written.
        cause: Why it was given up.
        attempts: How often it was tried.
        at: When it was given up, in seconds since 1970.
        who: Who wrote it, of a message.
        attachments: Its files.
    """

    id: str
    kind: Literal["message", "answer"]
    chat: str
    text: str
    cause: str
    attempts: int
    at: float
    who: str = ""
    attachments: tuple[Attachment, ...] = field(default_factory=tuple)
