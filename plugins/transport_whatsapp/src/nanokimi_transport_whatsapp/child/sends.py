"""Sending: each key once, as far as it can be known, and never without a note on disk."""

from __future__ import annotations

import logging
import os
import stat
import threading
from typing import Literal

from nanokimi_transport_whatsapp.child.calls import Calls, Late
from nanokimi_transport_whatsapp.child.database import NoRoom
from nanokimi_transport_whatsapp.child.lanes import Lanes
from nanokimi_transport_whatsapp.child.ledger import Ledger
from nanokimi_transport_whatsapp.child.limits import Limits, larger_than
from nanokimi_transport_whatsapp.child.memory import Memory
from nanokimi_transport_whatsapp.child.speaker import Speaker
from nanokimi_transport_whatsapp.engine import Engine, EngineError, Outgoing, OutgoingFile, Quote, Sent
from nanokimi_transport_whatsapp.values import Answer, File, Send

_log = logging.getLogger(__name__)

NO_ROOM_SECONDS = 30.0
TOO_MANY_SECONDS = 10.0


class Refused(Exception):
    """A file that isn't sent; one sentence."""


class Sender:
    """Sends, in order for each chat.

    Args:
        engine: Sends.
        ledger: Knows what was sent.
        memory: Knows what is quoted, and the chats' timers.
        calls: Bounds the engine.
        speaker: Takes the answers.
        limits: How long, how much.
        resend: What becomes of a key that may have gone out before.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        memory: Memory,
        calls: Calls,
        speaker: Speaker,
        limits: Limits,
        resend: Literal["resend", "hold"],
    ) -> None:
        self._engine, self._ledger, self._memory = engine, ledger, memory
        self._calls, self._speaker, self._limits, self._resend = calls, speaker, limits, resend
        self._lanes = Lanes("send", limits.senders)
        self._lock = threading.Lock()
        self._under_way: set[str] = set()

    def start(self) -> None:
        """Begin."""
        self._lanes.start()

    def take(self, send: Send) -> None:
        """Have something sent; the answer comes on the wire."""
        if self._lanes.waiting >= self._limits.requests:
            self._speaker.say(_later(send, "too many messages wait to be sent", TOO_MANY_SECONDS))
            return
        self._lanes.put(send.chat, lambda: self._work(send))

    def _work(self, send: Send) -> bool:
        try:
            answer = self._answer(send)
        except NoRoom as error:
            answer = _later(send, str(error), NO_ROOM_SECONDS)
        self._speaker.say(answer)
        return True

    def _answer(self, send: Send) -> Answer:
        with self._lock:
            under_way = send.key in self._under_way
        if under_way:
            return Answer(request=send.request, error="unknown", said="an earlier attempt is still under way")
        entry = self._ledger.find(send.key)
        if entry is not None and entry.state == "sent":
            return Answer(request=send.request, network_id=entry.network_id, sender=entry.sender)
        if entry is not None and self._resend == "hold":
            self._mark(send.key, "held")
            return Answer(request=send.request, error="held", said="an earlier attempt may have been sent")
        try:
            outgoing = self._outgoing(send)
        except Refused as error:
            return Answer(request=send.request, error="refused", said=str(error))
        again = entry is not None
        self._ledger.begin(send.key, again=again)
        return self._send(send, outgoing, again)

    def _send(self, send: Send, outgoing: Outgoing, again: bool) -> Answer:
        key, request = send.key, send.request

        def over(sent: Sent | None) -> None:
            if sent is not None:
                self._note_sent(key, sent)
            with self._lock:
                self._under_way.discard(key)

        with self._lock:
            self._under_way.add(key)
        try:
            sent = self._calls.run("send", lambda: self._engine.send(outgoing), self._limits.send_seconds, over)
        except Late as error:
            self._mark(key, "unknown")
            return Answer(request=request, error="unknown", said=str(error), again=again)
        except EngineError as error:
            over(None)
            if error.kind == "unknown" or again:
                self._mark(key, "unknown")
            else:
                self._ledger.forget(key)
            return _failed(request, error, again)
        except Exception as error:  # noqa: BLE001  # the engine is called here; nobody knows how far it came
            over(None)
            self._mark(key, "unknown")
            said = f"the WhatsApp library fails at it ({type(error).__name__})"
            return Answer(request=request, error="unknown", said=said, again=again)
        over(sent)
        return Answer(request=request, network_id=sent.network_id, sender=sent.sender, again=again)

    def _note_sent(self, key: str, sent: Sent) -> None:
        try:
            self._ledger.sent(key, sent.network_id, sent.sender)
        except NoRoom as error:  # it has gone out all the same, and that is the answer
            _log.warning("that a message was sent can't be noted: %s", error)

    def _mark(self, key: str, state: Literal["unknown", "held"]) -> None:
        try:
            self._ledger.mark(key, state)
        except NoRoom as error:  # the entry "sending" that is there means the same
            _log.warning("what became of a message can't be noted: %s", error)

    def _outgoing(self, send: Send) -> Outgoing:
        return Outgoing(
            chat=send.chat,
            text=send.text,
            file=_read_file(send.file, self._limits.send_bytes) if send.file else None,
            quote=self._quote(send),
            expires=self._memory.expires(send.chat),
        )

    def _quote(self, send: Send) -> Quote | None:
        if not send.reply_to:
            return None
        heard = self._memory.heard(send.chat, send.reply_to)
        if heard is None:
            return Quote(id=send.reply_to, sender=send.reply_sender)
        return Quote(id=send.reply_to, sender=heard.sender, quotable=heard.quotable, text=heard.text)


def _later(send: Send, said: str, seconds: float) -> Answer:
    return Answer(request=send.request, error="later", said=said, seconds=seconds)


def _failed(request: int, error: EngineError, again: bool) -> Answer:
    return Answer(
        request=request, error=error.kind, said=error.said, code=error.code, seconds=error.seconds, again=again
    )


def _read_file(file: File, largest: int) -> OutgoingFile:
    """Read a file to send; no link, no device, nothing that grows meanwhile.

    Raises:
        Refused: It can't be.
    """
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "its path is none"
        raise Refused(f"the file {file.name} can't be sent: {why}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Refused(f"the file {file.name} can't be sent: it is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            data = opened.read(largest + 1) if found.st_size <= largest else b""
    except OSError as error:
        raise Refused(f"the file {file.name} can't be sent: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if found.st_size > largest or len(data) > largest:
        raise Refused(f"the file {file.name} can't be sent: it is {larger_than(largest)}")
    return OutgoingFile(data=data, name=file.name, media_type=file.media_type)
