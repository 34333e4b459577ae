"""neonize behind the engine's protocol."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from google.protobuf.message import DecodeError

from nanokimi_transport_whatsapp.engine import EngineError, EngineSettings, Outgoing, Read, SecretOf, Sent, Sink
from nanokimi_transport_whatsapp.neonize_engine import links
from nanokimi_transport_whatsapp.neonize_engine.calls import Calls
from nanokimi_transport_whatsapp.neonize_engine.files import shown_as
from nanokimi_transport_whatsapp.neonize_engine.guard import Guard
from nanokimi_transport_whatsapp.neonize_engine.jids import server_of
from nanokimi_transport_whatsapp.neonize_engine.outgoing import file_message, text_message
from nanokimi_transport_whatsapp.neonize_engine.people import GROUP, HIDDEN, names_of, plain
from nanokimi_transport_whatsapp.neonize_engine.presence import DELAYS, Presence
from nanokimi_transport_whatsapp.neonize_engine.protos import contents
from nanokimi_transport_whatsapp.neonize_engine.reading import read
from nanokimi_transport_whatsapp.neonize_engine.records import SPOOLED, pack
from nanokimi_transport_whatsapp.neonize_engine.session import Session
from nanokimi_transport_whatsapp.values import FINAL, Link, Who

CLOSE_SECONDS = 3.0
BACKLOG_SECONDS = 10.0
"""How long a send waits for the messages that the server had kept to have come."""

EVENTS = SPOOLED | links.STATES | {links.TYPING}
"""What the library is to bring. Without the history of chats, which then costs nothing in Python; without receipts."""


class NeonizeEngine:
    """An account's link to WhatsApp.

    Args:
        settings: What to connect.
        presence_delays: Seconds before each attempt to show presence.
        close_seconds: How long ``close`` waits for the library.
        backlog_seconds: How long a send waits for what the server had kept.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        presence_delays: Sequence[float] = DELAYS,
        close_seconds: float = CLOSE_SECONDS,
        backlog_seconds: float = BACKLOG_SECONDS,
    ) -> None:
        self._settings, self._close_seconds, self._backlog_seconds = settings, close_seconds, backlog_seconds
        self._guard = Guard()
        self._presence = Presence(self._show_presence, presence_delays)
        self._session: Session | None = None
        self._before: Session | None = None
        self._sink: Sink | None = None
        self._me: Who | None = None
        self._codes_shown = 0
        self._has_all = False
        self._may_send = threading.Event()
        self._may_send.set()

    # ------------------------------------------------------------------ the link
    def open(self, sink: Sink) -> None:
        """Begin to connect, or to be linked where no account is."""
        self.close()
        self._sink, self._codes_shown, self._has_all = sink, 0, False
        try:
            _keep_private(self._settings.session)
        except OSError as error:
            sink.link(Link(state="ended", said=f"the session's file can't be made: {error.strerror}"))
            return
        self._session = Session(self._settings, EVENTS, self)
        self._guard.open()
        self._session.start(self._before)

    def close(self) -> None:
        """End the connection; returns within 3 seconds.

        What the library has acknowledged to the server and not brought yet still comes to ``sink.raw``, also after the
        return.
        """
        self._guard.shut()
        self._presence.end()
        self._may_send.set()
        session, self._session = self._session, None
        if session is not None:
            session.stop(self._guard.left, self._close_seconds)
            self._before = session

    # ------------------------------------------------------------------ what the session tells
    def code(self, text: str) -> None:
        """Pass a QR code on."""
        first, self._codes_shown = self._codes_shown == 0, self._codes_shown + 1
        seconds = links.FIRST_CODE_SECONDS if first else self._settings.code_seconds
        self._tell(Link(state="code", said=text, seconds=seconds))

    def status(self, word: str) -> None:
        """Pass on what the showing of codes has come to."""
        link = links.of_login_status(word)
        if link is not None:
            self._tell(link)

    def returned(self, words: str) -> None:
        """Pass on that the library gave up."""
        self._tell(links.of_return(words))

    def event(self, number: int, data: bytes, late: bool) -> None:
        """Take an event; ``late``: the session is being closed, and only what would be lost counts."""
        assert self._sink is not None  # noqa: S101  # open sets it before a session begins
        if number in SPOOLED:
            self._sink.raw(pack(number, data, kept=not self._has_all))
        elif late:
            return
        elif number == links.ME:
            self._me = links.account(data) or self._me
        elif number == links.TYPING:
            self._sink.typing(links.typing(data))
        elif number in links.STATES:
            self._tell(links.of_event(number, data, self._me))

    def _tell(self, link: Link) -> None:
        self._guard.follow(link)
        # Not at "connected": what was kept may come before that is told.
        self._has_all = link.state == "offline_done" or (self._has_all and link.state != "disconnected")
        if link.state == "connected" and not self._has_all:
            self._may_send.clear()
        elif self._has_all or link.state in ("disconnected", "ended", *FINAL):
            self._may_send.set()
        if link.state == "connected":
            link = Link(state="connected", me=self._known_account())
            self._presence.begin()
        elif link.state == "disconnected" or link.state in FINAL:
            self._presence.end()
        assert self._sink is not None  # noqa: S101  # as above
        self._sink.link(link)

    def _known_account(self) -> Who | None:
        with suppress(EngineError):  # it is being closed; what was known will do
            self._me = links.account(self._calls().device()) or self._me
        return self._me

    def _show_presence(self) -> None:
        self._calls().show_online(self._settings.presence == "available")

    # ------------------------------------------------------------------ calls
    def _calls(self) -> Calls:
        session = self._session
        if session is None:
            raise EngineError("away", "WhatsApp isn't connected")
        return Calls(session.client, self._guard)

    def read(self, raw: bytes, secret_of: SecretOf) -> Read:
        """Say what a raw event comes to."""
        return read(raw, secret_of, self._me)

    def fetch(self, media: bytes) -> bytes:
        """Download a file."""
        try:
            message = contents().Message.FromString(media)
        except DecodeError:
            raise EngineError("refused", "what is known of the file can't be read") from None
        return self._calls().download(message)

    def send(self, message: Outgoing) -> Sent:
        """Send; returns when the server has taken it.

        Not while the messages come that the server had kept: where whatsmeow opens one and seals another for the same
        person at once, it may use a key twice (send.go saves the session that message.go has read before), and the
        other side silently drops the second. Of 160 answers, 5 were lost so; of those that waited, none.
        """
        self._may_send.wait(self._backlog_seconds)
        calls = self._calls()
        if message.file is None:
            built = text_message(message)
        else:
            shown = shown_as(message.file, captioned=bool(message.text))
            built = file_message(message, message.file, shown, calls.upload(message.file.data, shown))
        network_id = calls.send(self._address(calls, message.chat), built)
        return Sent(network_id, self._own_name(message.chat))

    def _address(self, calls: Calls, chat: str) -> str:
        """Address a person by the phone number where the AI label is wanted: the library labels nothing else.

        whatsmeow sends to the hidden id all the same.
        """
        if server_of(chat) != HIDDEN or os.environ.get("NEONIZE_BOT_TAG", "").strip().lower() == "off":
            return chat
        return calls.other_name(chat) or chat

    def _own_name(self, chat: str) -> str:
        """Give the account's name in a chat: the hidden id in groups and where people have one."""
        if self._me is None:
            return ""
        hidden = server_of(chat) in (HIDDEN, GROUP)
        return next(
            (name for name in (self._me.id, self._me.alias) if (server_of(name) == HIDDEN) == hidden), self._me.id
        )

    def show_typing(self, chat: str, on: bool) -> None:
        """Show that the account writes, or that it stopped."""
        self._calls().show_typing(chat, on)

    def mark_read(self, chat: str, sender: str, network_id: str) -> None:
        """Tell that a message was read."""
        self._calls().mark_read(chat, sender, network_id)

    def members(self, chat: str) -> list[str]:
        """Name the people in a group, without the account."""
        return self._calls().members(chat, names_of(self._me))

    def other_name(self, who: str) -> str:
        """Give the phone number of a hidden id, or the reverse."""
        return self._calls().other_name(plain(who))

    def pair(self, phone: str) -> str:
        """Ask for a code to type on the phone."""
        return self._calls().pair(phone)

    def unlink(self) -> None:
        """Log out on the server, and forget the account; no ``logged_out`` comes of it."""
        self._calls().logout()
        self._guard.follow(Link(state="logged_out"))
        self._presence.end()
        self._me = None


def _keep_private(session: Path) -> None:
    """Make the database's file before the library does, which would let everybody read it."""
    os.close(os.open(session, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    session.chmod(0o600)
