"""The child, put together: the engine's sink, the transport's requests, and when it ends."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.child.bringing import Bringer
from nanokimi_transport_whatsapp.child.calls import Calls, Late
from nanokimi_transport_whatsapp.child.database import Database
from nanokimi_transport_whatsapp.child.ending import Ending
from nanokimi_transport_whatsapp.child.ledger import Ledger
from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.child.link import Standing
from nanokimi_transport_whatsapp.child.media import Cupboard
from nanokimi_transport_whatsapp.child.memory import Memory
from nanokimi_transport_whatsapp.child.other_names import OtherNames
from nanokimi_transport_whatsapp.child.requests import Requests
from nanokimi_transport_whatsapp.child.room import FreeBytes, Room
from nanokimi_transport_whatsapp.child.sends import Sender
from nanokimi_transport_whatsapp.child.speaker import Speaker
from nanokimi_transport_whatsapp.child.spool import Spool
from nanokimi_transport_whatsapp.engine import Engine, EngineError, EngineSettings
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.values import Ask, Done, Figures, Link, MarkRead, Send, ShowTyping, Start, ToChild
from nanokimi_transport_whatsapp.values import Typing as TypingHint

_log = logging.getLogger(__name__)

_STILL = 0.05


class NoEngine(Exception):
    """The engine's module can't be imported, or makes none; one sentence."""


def load_engine(start: Start, places: Places) -> Engine:
    """Import the engine's module and have it make one; the session's folder is there afterwards.

    Raises:
        NoEngine: It can't be had.
        OSError: The folder can't be made.
    """
    places.session.parent.mkdir(mode=0o700, exist_ok=True)
    settings = EngineSettings(session=places.session, device=start.device, presence=start.presence, proxy=start.proxy)
    try:
        engine: Engine = importlib.import_module(start.engine).create(settings)
    except EngineError as error:
        raise NoEngine(error.said) from error
    except Exception as error:  # the engine is loaded here; whatever it raises, there is none
        raise NoEngine(f"the WhatsApp library can't be loaded: {' '.join(str(error).split())}") from error
    return engine


class Host:
    """Everything in the child that the engine's callbacks and the transport's requests meet.

    Args:
        start: What the transport told.
        engine: The library.
        speaker: The way to the transport.
        ending: The way out.
        limits: Bounds.
        free: Looks how much room a disk has.
    """

    def __init__(
        self, start: Start, engine: Engine, speaker: Speaker, ending: Ending, limits: Limits, free: FreeBytes
    ) -> None:
        self._start, self._engine, self._speaker = start, engine, speaker
        self._ending, self._limits = ending, limits
        self._places = places = Places(Path(start.folder))
        self._standing = Standing(speaker, self._connected)
        self._room = Room((places.folder, places.session.parent), limits, free)
        self._database = Database(places.spool, limits, trouble=self._standing.disk, damaged=self._damaged)
        self._spool = Spool(self._database, places, start.spool_limit, limits)
        self._memory = Memory(self._database, limits)
        self._ledger = Ledger(self._database, limits)
        self._calls = Calls(ending, limits)
        self._cupboard = Cupboard(places.media, engine, self._spool, self._calls, ending, limits, start.max_media)
        names = OtherNames(engine, self._calls, limits)
        self._bringer = Bringer(engine, self._spool, self._memory, names, self._cupboard, speaker, limits)
        self._sender = Sender(engine, self._ledger, self._memory, self._calls, speaker, limits, start.resend)
        self._requests = Requests(engine, self._calls, speaker, limits)
        self._filled = threading.Event()

    def run(self) -> None:
        """Begin everything; returns when the engine was told to connect.

        Raises:
            OSError: The instance's folder can't be used.
        """
        self._spool.begin()
        self._memory.begin()
        self._cupboard.begin()
        self._ending.before(self._engine.close)
        self._speaker.say(self._figures())
        self._bringer.start()
        self._sender.start()
        self._requests.start()
        threading.Thread(target=self._watch_full, name="full", daemon=True).start()
        if self._start.connect:
            threading.Thread(target=self._open, name="open", daemon=True).start()

    def take(self, value: ToChild) -> None:
        """Take a value of the transport's."""
        if isinstance(value, Done):
            self._bringer.done(value.numbers)
        elif isinstance(value, Send):
            self._sender.take(value)
        elif isinstance(value, (ShowTyping, MarkRead)):
            self._requests.take_sign(value)
        elif isinstance(value, Ask):
            self._speaker.say(self._figures())
        elif not isinstance(value, Start):
            self._requests.take(value)

    def _figures(self) -> Figures:
        held, resent, unreadable = self._ledger.counts()
        return Figures(spooled=self._spool.waiting, held=held, resent=resent, unreadable=unreadable)

    # ------------------------------------------------------------------ the engine's sink
    def raw(self, data: bytes) -> None:
        """Take an event: on disk first, anything else afterwards."""
        self._spool.add(data)
        self._bringer.wake()
        if self._spool.full:
            self._filled.set()

    def link(self, link: Link) -> None:
        """Take a change of the link."""
        try:
            self._secure_session()
        except OSError as error:
            _log.warning("the session can't be kept private: %s", error.strerror)
        self._standing.tell(link)

    def typing(self, typing: TypingHint) -> None:
        """Take a hint."""
        self._speaker.hint(typing)

    # ------------------------------------------------------------------ the engine's life
    def _open(self) -> None:
        """Connect, once there is room for what will come, and stay while there is."""
        if said := self._room.lacking():
            self._wait_for_room(said)
            self._standing.room("")
        if self._spool.half_full:
            self._wait_handed_over(lambda: not self._spool.half_full)
        if self._ending.begun:
            return
        try:
            self._engine.open(self)
        except Exception as error:  # noqa: BLE001  # the engine is called here; the transport decides what to do
            self._standing.tell(Link(state="ended", said=f"the connection can't be begun: {error}"))
        self._secure_session()
        self._watch_room()

    def _secure_session(self) -> None:
        """The session is as good as the account's password, whatever mode the library gave it."""
        folder = self._places.session.parent
        folder.chmod(0o700)
        for file in folder.iterdir():
            with suppress(FileNotFoundError):  # the library's database makes and removes files beside it
                file.chmod(0o600)

    def _connected(self, connected: bool) -> None:
        self._cupboard.connected = connected
        if connected:
            self._bringer.resume()

    def _damaged(self, said: str) -> None:
        self._spool.begin_anew()
        self._standing.damaged(said)

    # ------------------------------------------------------------------ a full spool
    def _watch_full(self) -> None:
        """When the spool is full: leave the rest with WhatsApp's server, hand over what is there, and end."""
        self._filled.wait()
        _log.warning("the spool is full: the connection is closed until it is handed over")
        self._close()
        self._standing.tell(Link(state="full", said=f"{self._spool.waiting} messages wait to be delivered"))
        self._wait_handed_over(lambda: not self._spool.waiting)
        self._ending.begin(exits.FULL)

    def _wait_handed_over(self, enough: Callable[[], bool]) -> None:
        """Wait until so much is handed over, or all that is left waits for a connection."""
        still = 0.0
        while not enough() and still < self._limits.stall_seconds and not self._ending.pause(_STILL):
            still = still + _STILL if self._bringer.stalled else 0.0

    def _close(self) -> None:
        try:
            self._calls.run("close", self._engine.close, self._limits.stop_seconds)
        except Late:
            pass
        except Exception as error:  # noqa: BLE001  # the engine is called here; the process ends later in any case
            _log.warning("the WhatsApp library fails at closing (%s)", type(error).__name__)

    # ------------------------------------------------------------------ a full disk
    def _watch_room(self) -> None:
        """When the disk has too little room: leave the rest with WhatsApp's server until it has, and end."""
        while not (said := self._room.lacking()):
            if self._ending.pause(self._limits.room_look):
                return
        self._wait_for_room(said, self._close)
        self._ending.begin(exits.ROOM)

    def _wait_for_room(self, said: str, then: Callable[[], object] = lambda: None) -> None:
        """Say that there is too little room, do something, and wait until there is enough."""
        _log.warning("not connected: %s", said)
        self._standing.room(said)
        then()
        while self._room.lacking() and not self._ending.pause(self._limits.room_look):
            pass
