"""One life of the library's main call: from connecting to its end, on threads of our own.

neonize's own ``connect`` and ``stop`` aren't used: they hang for ever while a QR code is shown, and for as long as a
dial hangs (facts of neonize 0.5.2, seen by running it).
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol
from urllib.parse import quote

from google.protobuf.message import DecodeError
from neonize import _binder
from neonize.client import NewClient
from neonize.proto.Neonize_pb2 import LogEntry
from neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2 import DeviceProps

from nanokimi_transport_whatsapp.engine import EngineSettings
from nanokimi_transport_whatsapp.neonize_engine.links import LAST_STATUSES
from nanokimi_transport_whatsapp.neonize_engine.words import said

LONGEST_DIAL = 120.0
"""Seconds; a dial that nobody answers ends by itself after about 60."""
LONGEST_DRAIN = 10.0
QUIET = 0.1
"""Seconds without an event after which the library has no more of a closed connection."""

_NUMBERS = itertools.count(1)
_LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}


class Hears(Protocol):
    """Whom a session tells what happens; called on its threads, one event at a time."""

    def code(self, text: str) -> None:
        """A QR code can be scanned."""
        ...

    def status(self, word: str) -> None:
        """The showing of codes has come to something."""
        ...

    def event(self, number: int, data: bytes, late: bool) -> None:
        """An event; no other comes before this returns. ``late``: after ``stop``."""
        ...

    def returned(self, said: str) -> None:
        """The main call came back by itself."""
        ...


class _Phase(Enum):
    DIALLING = "the main call is connecting"
    CODES = "it waits for somebody to scan a code"
    CROSSING = "it goes from the codes to the events, and reads the library's maps"
    RUNNING = "it brings events"
    OVER = "it has returned"


class Session:
    """A session.

    Args:
        settings: What to connect.
        codes: The numbers of the events to bring; the library takes no others later.
        hears: Whom to tell.
    """

    def __init__(self, settings: EngineSettings, codes: frozenset[int], hears: Hears) -> None:
        self.settings, self._hears = settings, hears
        self._id = f"nanokimi-{next(_NUMBERS)}".encode()
        self._codes = bytes(sorted(codes))
        self.client: Any = NewClient("unused", uuid=self._id.decode())
        self.client._stop_finalizer.detach()  # it would stop the library at exit, and wait for a hanging dial
        self._changed = threading.Condition()
        self._phase = _Phase.DIALLING
        self._heard, self._hearing = 0, False
        self.stopping = False
        self._stopper: threading.Thread | None = None
        self._kept: tuple[Any, ...] = ()

    # ------------------------------------------------------------------ beginning
    def start(self, before: Session | None) -> None:
        """Begin, on a thread of its own, when the session before has come to its end."""
        name = self._id.decode()
        threading.Thread(target=self._live, args=(before,), name=name, daemon=True).start()

    def _live(self, before: Session | None) -> None:
        if before is not None and not before.ended(LONGEST_DIAL):
            self._over("the connection before this one is still being closed")
            return
        if self.stopping:
            self._over("")
            return
        self._over(self._main_call().decode(errors="replace"))

    def _main_call(self) -> bytes:
        """Call ``Neonize``, which returns when the session is over. The callbacks must be referred to for as long."""
        qr, status = _binder.func_string(self._on_code), _binder.func_string(self._on_status)
        event, log = _binder.func_callback_bytes(self._on_event), _binder.func_callback_bytes2(_on_log)
        codes = (ctypes.c_char * len(self._codes)).from_buffer_copy(self._codes)
        device = DeviceProps(os=self.settings.device, platformType=DeviceProps.CHROME).SerializeToString()
        proxy = _binder.ProxySettings(self.settings.proxy)._to_c_struct() if self.settings.proxy else None
        self._kept = (qr, status, event, log, codes, proxy)
        said: bytes = _binder.gocode.Neonize(
            database(self.settings),
            self._id,
            b"",
            0,
            0,
            _log_level(),
            qr,
            status,
            event,
            log,
            codes,
            len(self._codes),
            device,
            len(device),
            b"",
            0,
            ctypes.byref(proxy) if proxy is not None else None,
        )
        return said

    def _over(self, said: str) -> None:
        self._enter(_Phase.OVER)
        if not self.stopping:
            self._hears.returned(said)

    # ------------------------------------------------------------------ what the library calls
    def _on_code(self, _session: int, text: int) -> None:
        self._enter(_Phase.CODES)
        if not self.stopping:
            self._hears.code(ctypes.string_at(text).decode(errors="replace"))

    def _on_status(self, _session: int, text: int) -> None:
        word = ctypes.string_at(text).decode(errors="replace")
        if word in LAST_STATUSES:
            self._enter(_Phase.CROSSING)
        if not self.stopping:
            self._hears.status(word)

    def _on_event(self, _session: bytes, start: int, size: int, number: int) -> None:
        data = ctypes.string_at(start, size)
        with self._changed:
            self._phase, self._hearing = _Phase.RUNNING, True
            self._changed.notify_all()
        try:
            self._hears.event(number, data, late=self.stopping)
        finally:
            with self._changed:
                self._heard, self._hearing = self._heard + 1, False
                self._changed.notify_all()

    def _enter(self, phase: _Phase) -> None:
        with self._changed:
            self._phase = phase
            self._changed.notify_all()

    # ------------------------------------------------------------------ ending
    def stop(self, left: Callable[[float], bool], seconds: float) -> None:
        """End it, on a thread of its own, and wait for that as long as is given.

        Events that the library has acknowledged and not brought yet are still brought, also later than that.

        Args:
            left: Waits until no call is inside the library.
            seconds: How long to wait.
        """
        self.stopping = True
        self._stopper = threading.Thread(target=self._stop, args=(left,), name="whatsapp-stop", daemon=True)
        self._stopper.start()
        self._stopper.join(seconds)

    def ended(self, seconds: float) -> bool:
        """Wait until ``stop`` has done its work; tell whether it has."""
        if self._stopper is None:
            return False
        self._stopper.join(seconds)
        return not self._stopper.is_alive()

    def _stop(self, left: Callable[[float], bool]) -> None:
        left(1.0)
        # While it dials, a stop would wait for the dial, and then take away what the main call is about to read.
        self._wait_for(lambda: self._phase is not _Phase.DIALLING, LONGEST_DIAL)
        self._wait_for(lambda: self._phase is not _Phase.CROSSING, 1.0)
        if self._phase is _Phase.RUNNING:
            _binder.gocode.Disconnect(self._id)
            self._drain()
        _binder.gocode.Stop(self._id)

    def _drain(self) -> None:
        """Wait until no event has come for a moment."""
        until = time.monotonic() + LONGEST_DRAIN
        heard = -1
        while heard != self._heard and time.monotonic() < until:
            heard = self._heard
            self._wait_for(lambda: self._hearing, QUIET)
            self._wait_for(lambda: not self._hearing, max(0.0, until - time.monotonic()))

    def _wait_for(self, true: Callable[[], bool], seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(true, timeout=seconds)


def database(settings: EngineSettings) -> bytes:
    """Name the session's file so that SQLite's URI means it: a ``?`` or ``#`` in a path would end it."""
    return quote(str(settings.session.absolute())).encode()


def _log_level() -> bytes:
    """Ask the library for its debug lines only where somebody wants them: each crosses into Python."""
    return b"DEBUG" if logging.getLogger("whatsmeow").getEffectiveLevel() <= logging.DEBUG else b"WARN"


def _on_log(start: int, size: int) -> None:
    try:
        entry = LogEntry.FromString(ctypes.string_at(start, size))
    except DecodeError:  # a line of the log is no reason to fail, where a failure ends the process
        return
    words = said(entry.Message)  # it may quote what somebody has sent, whatever that is
    if "QR code" in words:
        return  # it names the code itself, with which an account can be linked
    logger = logging.getLogger("whatsmeow." + said(entry.Name).replace("/", "."))
    logger.log(_LEVELS.get(said(entry.Level), logging.INFO), "%s", words)
