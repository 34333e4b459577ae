"""From the spool to the transport: read, put in order of chats, given a file, brought, and dropped when done."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from nanokimi_transport_whatsapp.child.lanes import Lanes
from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.child.media import Cupboard, NotNow
from nanokimi_transport_whatsapp.child.memory import Memory
from nanokimi_transport_whatsapp.child.other_names import OtherNames
from nanokimi_transport_whatsapp.child.speaker import Speaker
from nanokimi_transport_whatsapp.child.spool import Event, Spool
from nanokimi_transport_whatsapp.engine import Engine, Read
from nanokimi_transport_whatsapp.values import Brought, Media, Message, Unsupported, Who
from nanokimi_transport_whatsapp.wire import LONGEST_LINE, line

_log = logging.getLogger(__name__)


class Bringer:
    """Brings what is spooled.

    Args:
        engine: Reads events.
        spool: Holds them.
        memory: Remembers them.
        names: Knows people's other names.
        cupboard: Has their files.
        speaker: Takes messages.
        limits: How many at once.
    """

    def __init__(
        self,
        engine: Engine,
        spool: Spool,
        memory: Memory,
        names: OtherNames,
        cupboard: Cupboard,
        speaker: Speaker,
        limits: Limits,
    ) -> None:
        self._engine, self._spool, self._memory, self._names = engine, spool, memory, names
        self._cupboard, self._speaker, self._limits = cupboard, speaker, limits
        self._lanes = Lanes("bring", limits.bringers)
        self._changed = threading.Condition()
        self._in_hand: set[int] = set()
        self._brought: set[int] = set()
        self._done: list[int] = []
        self._more = False
        self._waits = False

    def start(self) -> None:
        """Begin."""
        self._lanes.start()
        for name, act in (("read", self._read_all), ("drop", self._drop_all)):
            threading.Thread(target=act, name=name, daemon=True).start()

    def wake(self) -> None:
        """Say that something was spooled."""
        self._set(lambda: setattr(self, "_more", True))

    def resume(self) -> None:
        """Try again what needed a connection."""
        self._lanes.resume()

    def done(self, numbers: Sequence[int]) -> None:
        """Take that messages were delivered."""
        self._set(lambda: self._done.extend(numbers))

    @property
    def stalled(self) -> bool:
        """Whether nothing moves: what is left, if anything, waits for a connection."""
        with self._changed:
            still = self._waits and not (self._more or self._brought or self._done)
        return still and self._lanes.idle

    def _set(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    # ------------------------------------------------------------------ reading
    def _read_all(self) -> None:
        last = 0
        while True:
            with self._changed:
                self._more = False
            events = self._spool.after(last)
            for event in events:
                self._wait(lambda: len(self._in_hand) < self._limits.in_hand)
                self._read(event)
                last = event.number
            if not events:
                self._wait(lambda: self._more)

    def _wait(self, until: Callable[[], bool]) -> None:
        with self._changed:
            self._waits = True
            self._changed.wait_for(until)
            self._waits = False

    def _read(self, event: Event) -> None:
        if event.read_deaths >= self._limits.read_deaths:
            self._put_aside(event, "the process died while it was read")
            return
        self._spool.reading(event.number)
        try:
            read = self._engine.read(event.raw, self._memory.secret_of)
        except Exception as error:  # noqa: BLE001  # the engine is called here; its event must not stop the others
            self._put_aside(event, type(error).__name__)
            return
        finally:
            self._spool.reading(0)
        if read.message is None:
            self.done([event.number])
            return
        message = self._names.complete(read.message)
        self._memory.hear(replace(read, message=message))
        self._set(lambda: self._in_hand.add(event.number))
        lane = _lane(message.chat)
        if self._has_file(message, read) or self._lanes.has(lane):
            self._lanes.put(lane, lambda: self._bring(event, message, read))
        else:  # nobody else puts anything into a lane, so this one stays empty meanwhile
            self._bring(event, message, read)

    def _put_aside(self, event: Event, reason: str) -> None:
        _log.warning("event %d can't be read (%s): it was put aside", event.number, reason)
        self._spool.put_aside(event, reason)

    # ------------------------------------------------------------------ bringing
    def _bring(self, event: Event, message: Message, read: Read) -> bool:
        if isinstance(message.content, Media) and read.media is not None and self._wanted(event.number):
            try:
                content = self._cupboard.with_file(event, message.content, read.media)
            except NotNow:
                return False
            message = message.model_copy(update={"content": content})
        with self._changed:
            self._changed.wait_for(lambda: len(self._brought) < self._limits.window)
            if event.number not in self._in_hand:
                return True
            self._brought.add(event.number)
        self._speaker.say(_line(event.number, message))
        return True

    @staticmethod
    def _has_file(message: Message, read: Read) -> bool:
        return isinstance(message.content, Media) and read.media is not None

    def _wanted(self, number: int) -> bool:
        with self._changed:
            return number in self._in_hand

    # ------------------------------------------------------------------ dropping
    def _drop_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._done))
                numbers = list(self._done)
            self._spool.drop(numbers)
            for number in numbers:
                self._cupboard.drop(number)
            with self._changed:
                del self._done[: len(numbers)]
                self._in_hand.difference_update(numbers)
                self._brought.difference_update(numbers)
                self._changed.notify_all()


def _lane(chat: Who) -> str:
    """One name for a chat that has two."""
    return next((name for name in (chat.id, chat.alias) if name.endswith("@lid")), chat.id)


def _line(number: int, message: Message) -> bytes:
    data = line(Brought(number=number, message=message))
    if len(data) <= LONGEST_LINE:
        return data
    content = Unsupported(what=f"a message of {len(data)} bytes")
    return line(Brought(number=number, message=message.model_copy(update={"content": content, "quoted": None})))
