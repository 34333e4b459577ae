"""The values that travel between the transport and its child process. No library's types are among them.

A chat or a person is written as WhatsApp writes them, without the device: ``1555…@s.whatsapp.net`` (a phone number),
``1000…@lid`` (a hidden id), ``12036…@g.us`` (a group).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """Base of all: immutable, nothing unknown in it, and no number that JSON can't carry."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Who(Value):
    """A chat or a person.

    Attributes:
        id: As the network named it in this event.
        alias: Its other name, where the event tells one: the phone number of a hidden id, or the reverse.
        name: What it calls itself. Not to be trusted.
    """

    id: str
    alias: str = ""
    name: str = ""


# ------------------------------------------------------------------ what a message holds
class Text(Value):
    """Plain text."""

    kind: Literal["text"] = "text"
    text: str


class Media(Value):
    """A file.

    Attributes:
        what: ``voice`` is audio that was spoken into the phone.
        media_type: As the sender's client says, without parameters.
        caption: The text that goes with it.
        name: The file's name, where it has one. Not to be trusted.
        size: Bytes, as the sender's client says.
        seconds: Of audio and video.
        path: The file that the child wrote it to, once it is there.
        trouble: Why there is no file, in a few words for the agent: ``larger than 64 MB``.
    """

    kind: Literal["media"] = "media"
    what: Literal["image", "video", "audio", "voice", "document", "sticker"]
    media_type: str
    caption: str = ""
    name: str = ""
    size: int = 0
    seconds: int = 0
    path: str = ""
    trouble: str = ""


class Location(Value):
    """A place on earth; ``live`` is one that moves."""

    kind: Literal["location"] = "location"
    latitude: float
    longitude: float
    name: str = ""
    address: str = ""
    live: bool = False


class Contact(Value):
    """A person from somebody's address book."""

    name: str
    phones: tuple[str, ...] = ()


class Contacts(Value):
    """One contact or several."""

    kind: Literal["contacts"] = "contacts"
    contacts: tuple[Contact, ...]


class Poll(Value):
    """A question with options; ``many`` may be chosen, or one."""

    kind: Literal["poll"] = "poll"
    question: str
    options: tuple[str, ...]
    many: bool = False


class Unsupported(Value):
    """What has no form here, named: ``a call``, ``a message that can be seen once``, ``buttonsMessage``."""

    kind: Literal["unsupported"] = "unsupported"
    what: str


Content = Annotated[Text | Media | Location | Contacts | Poll | Unsupported, Field(discriminator="kind")]


class Quoted(Value):
    """The message that a message answers; its text where the event carries it."""

    id: str
    sender: str
    text: str = ""


class Message(Value):
    """Something that happened in a chat.

    Attributes:
        event: What it is; an edit, a revocation and a reaction have a ``target``.
        id: The network's id of this event.
        chat: Where.
        chat_kind: ``self`` is the account's chat with itself.
        sender: Who.
        from_me: By the linked account, on another of its devices.
        at: Seconds since 1970, as the sender's phone says.
        content: What it holds; of an edit, the new content; of a reaction, the sign as text, empty when it is taken
            back; ``None`` of a revocation.
        target: The network's id of the message that this is about.
        target_sender: Who wrote that.
        mentions: Who is called in it.
        quoted: What it answers.
        expires: Seconds after which the chat's messages disappear; 0 is never.
        offline: The server had kept it while the child was away.
    """

    kind: Literal["message"] = "message"
    event: Literal["message", "edit", "revoke", "reaction"] = "message"
    id: str
    chat: Who
    chat_kind: Literal["direct", "group", "self"]
    sender: Who
    from_me: bool = False
    at: float
    content: Content | None = None
    target: str = ""
    target_sender: str = ""
    mentions: tuple[str, ...] = ()
    quoted: Quoted | None = None
    expires: int = 0
    offline: bool = False


class Typing(Value):
    """Somebody writes, or has stopped; a hint that is never spooled."""

    kind: Literal["typing"] = "typing"
    chat: str
    sender: str
    on: bool


# ------------------------------------------------------------------ how the link stands
class Link(Value):
    """A change in how the link to the network stands.

    Attributes:
        state: ``code``: a QR code can be scanned; ``paired``: a phone has accepted it; ``connected``; ``disconnected``:
            the engine tries again by itself; ``weak``: no answer to keep-alives; ``disk``: the disk takes nothing, so
            the engine waits, or has too little room, so the engine is closed; at its end the state of the connection is
            said anew, and not before; ``damaged``: the spool was, and is begun anew, as ``said`` tells;
            ``offline_done``: all that the server had kept has been received, and is spooled; ``codes_over``: no QR code
            is left; ``passkey``: the account wants a passkey, which can't be given; ``ended``: the engine gave up,
            ``said`` tells why; ``full``: the spool is, so the
            engine was closed. Final, nothing is tried again by itself: ``logged_out``, ``replaced``, ``banned``,
            ``outdated``, ``refused``.
        said: The library's or the server's words, for the log and the owner; of ``code`` the text of the QR.
        code: The server's number, where there is one.
        me: The account, from ``paired`` and ``connected``; its alias is the other name.
        seconds: Of ``banned``, how long; of ``code``, how long it counts; else 0.
    """

    kind: Literal["link"] = "link"
    state: Literal[
        "code",
        "paired",
        "connected",
        "disconnected",
        "weak",
        "disk",
        "damaged",
        "offline_done",
        "codes_over",
        "passkey",
        "ended",
        "full",
        "logged_out",
        "replaced",
        "banned",
        "outdated",
        "refused",
    ]
    said: str = ""
    code: int = 0
    me: Who | None = None
    seconds: float = 0


FINAL = frozenset({"logged_out", "replaced", "banned", "outdated", "refused"})
"""States of a ``Link`` after which nobody tries again by themselves."""


# ------------------------------------------------------------------ from the child
class Brought(Value):
    """A spooled message; the child keeps it until a ``Done`` names its number."""

    kind: Literal["brought"] = "brought"
    number: int
    message: Message


class Answer(Value):
    """What came of a request.

    Attributes:
        request: Its number.
        error: ``away``: not connected, certainly not done; ``later``: refused for now, certainly not done;
            ``refused``: it will never be accepted; ``unknown``: it may have been done; ``held``: an earlier attempt may
            have been sent, and the policy is not to send again; ``failed``: anything else, certainly not done.
        said: The error in words; no traceback.
        code: The server's number of the error (463, …), or 0.
        seconds: Of ``later``, how long.
        network_id: Of a ``Send``.
        sender: Of a ``Send``: the account's name in that chat.
        names: Of ``Members``, people; of ``Pair``, the code.
        again: Of a ``Send``: an earlier attempt of unknown outcome came before it.
    """

    kind: Literal["answer"] = "answer"
    request: int
    error: Literal["", "away", "later", "refused", "unknown", "held", "failed"] = ""
    said: str = ""
    code: int = 0
    seconds: float = 0
    network_id: str = ""
    sender: str = ""
    names: tuple[str, ...] = ()
    again: bool = False


class Figures(Value):
    """What stands in the child's spool, said when it starts and when asked.

    Attributes:
        spooled: Messages that wait.
        held: Sends of unknown outcome under the policy ``hold``.
        resent: Sends that were repeated after an unknown outcome, since the spool was made: each may be seen twice.
        unreadable: Events that the engine could not read and that were put aside, since the spool was made.
    """

    kind: Literal["figures"] = "figures"
    spooled: int = 0
    held: int = 0
    resent: int = 0
    unreadable: int = 0


FromChild = Annotated[Brought | Typing | Link | Answer | Figures, Field(discriminator="kind")]


# ------------------------------------------------------------------ to the child
class Start(Value):
    """The first line to a child: all that it is told. Nothing of it is on its command line, where others could read it.

    Attributes:
        engine: A module with ``create(settings: EngineSettings) -> Engine``.
        folder: The instance's, absolute; ``Places`` names the files in it.
        device: What the phone shows under its linked devices.
        presence: Whether the account shows as online.
        proxy: A URL, or nothing; it may hold a password.
        resend: What becomes of a send whose outcome is unknown.
        max_media: The largest file that is fetched, in bytes.
        spool_limit: Events that may wait on disk; at it the engine is closed.
        connect: Open the engine, or only hand over what is spooled, and answer what needs no connection.
    """

    kind: Literal["start"] = "start"
    engine: str = "nanokimi_transport_whatsapp.neonize_engine"
    folder: str
    device: str = "NanoKimi"
    presence: Literal["unavailable", "available"] = "unavailable"
    proxy: str = Field(default="", repr=False)
    resend: Literal["resend", "hold"] = "resend"
    max_media: int = 64 * 2**20
    spool_limit: int = 10_000
    connect: bool = True


class Done(Value):
    """These spooled messages were delivered, or refused and counted: drop them."""

    kind: Literal["done"] = "done"
    numbers: tuple[int, ...]


class File(Value):
    """A file to send, read by the child without following links.

    Attributes:
        path: On this machine.
        name: For people.
        media_type: For example ``image/png``.
    """

    path: str
    name: str
    media_type: str


class Send(Value):
    """Send one network message: text, or a file with or without a caption.

    Attributes:
        request: Of this attempt.
        key: The same on every attempt; the child remembers what became of it.
        chat: Where.
        text: In WhatsApp's markup.
        file: Sent as bytes; by its media type as an image, a video, a voice note (Ogg) or audio, else a document.
        reply_to: The network's id of the message that this answers; the child knows its content where it has seen it.
        reply_sender: Who wrote that.
    """

    kind: Literal["send"] = "send"
    request: int
    key: str
    chat: str
    text: str = ""
    file: File | None = None
    reply_to: str = ""
    reply_sender: str = ""


class ShowTyping(Value):
    """Show that the assistant writes, or stop showing it. No answer comes."""

    kind: Literal["show_typing"] = "show_typing"
    chat: str
    on: bool


class MarkRead(Value):
    """Tell a sender that a message was read. No answer comes."""

    kind: Literal["mark_read"] = "mark_read"
    chat: str
    sender: str
    id: str


class Members(Value):
    """Name the people in a group."""

    kind: Literal["members"] = "members"
    request: int
    chat: str


class Pair(Value):
    """Ask for a code to type on the phone with this number (digits only) instead of a QR."""

    kind: Literal["pair"] = "pair"
    request: int
    phone: str


class Unlink(Value):
    """Log the account out on the server, and forget it."""

    kind: Literal["unlink"] = "unlink"
    request: int


class Ask(Value):
    """Ask for ``Figures``."""

    kind: Literal["ask"] = "ask"


ToChild = Annotated[
    Start | Done | Send | ShowTyping | MarkRead | Members | Pair | Unlink | Ask, Field(discriminator="kind")
]
