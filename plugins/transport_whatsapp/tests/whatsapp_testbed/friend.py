"""A second person's WhatsApp: a stock client in a process of its own, and a face for it that blocks."""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from whatsapp_testbed.app_state import KEY_ID
from whatsapp_testbed.received import Quote, Received
from whatsapp_testbed.server import WhatsAppServer
from whatsapp_testbed.users import User

_START_SECONDS = 30
_ANSWER_SECONDS = 90
_MOST_EVENTS = 5000
_ERROR_CHARACTERS = 1500
_TESTS = Path(__file__).parents[1]


class FriendError(Exception):
    """A friend's client refused or failed; the text is the library's own."""


class Friend:
    """Someone's client, linked as one more device of a user; between ``with`` and its end.

    The folder keeps its login: a friend with the same folder comes back as the same device.

    Args:
        server: The stand-in server.
        user: Whose device it becomes. Two friends of one user are two devices of one person.
        folder: Where its database is kept.
        by_code: Link it by a pairing code that its user types, not by a QR code.

    Attributes:
        device: The number it was linked under; 0 where it was linked before.
    """

    def __init__(self, server: WhatsAppServer, user: User, folder: Path, *, by_code: bool = False) -> None:
        self.user = user
        self.device = 0
        self._by_code = by_code
        self._server = server
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._news = threading.Condition()
        self._events: deque[Received] = deque(maxlen=_MOST_EVENTS)
        self._fresh: deque[Received] = deque(maxlen=_MOST_EVENTS)
        self._answers: dict[int, dict[str, Any]] = {}
        self._codes: deque[str] = deque(maxlen=20)
        self._numbers = itertools.count(1)
        self._ended = False

    def __enter__(self) -> Friend:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def events(self) -> list[Received]:
        """Everything that came, oldest first."""
        with self._news:
            return list(self._events)

    def start(self) -> None:
        """Start the client (again), link it if it isn't, and wait until it is connected."""
        self._ended = False
        self._codes.clear()
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "whatsapp_testbed.friend_child", str(self._folder / "friend.db")]
        with (self._folder / "errors.log").open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=self._environment(),
            )
        self._reader = threading.Thread(target=self._read, args=[self._process], name="friend", daemon=True)
        self._reader.start()
        seen = self._wait(lambda: self._codes or self._find(_connected), _START_SECONDS)
        if isinstance(seen, deque):
            self.device = self._link(seen[-1])
        self.wait_for(_connected, within=_START_SECONDS)
        self._server.wait_for(lambda: not self.device or self.device in self.user.connected())

    def _link(self, qr: str) -> int:
        if self._by_code:
            return self.user.type_code(str(self._do("pair", phone=self.user.number)))
        return self.user.scan(qr)

    def pause(self) -> None:
        """Stop the client's process: still connected, and deaf. Only ``close`` ends it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        """End the client's process, suddenly; ``start`` brings it back."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait(_START_SECONDS)
        if self._reader is not None:
            self._reader.join(_START_SECONDS)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def wait_for(self, wanted: Callable[[Received], bool], within: float = 20) -> Received:
        """Wait for something to come; each thing is given out once.

        Raises:
            TimeoutError: It did not come in this many seconds; says what came instead.
        """
        try:
            found = self._wait(lambda: self._find(wanted), within)
        except TimeoutError as late:
            raise TimeoutError(f"{late}; came instead: {self.events[-10:]}") from None
        assert isinstance(found, Received)
        with self._news:
            self._fresh.remove(found)
        return found

    def wait_for_text(self, text: str, within: float = 20) -> Received:
        """Wait for a message with exactly this text."""
        return self.wait_for(lambda event: event.kind == "text" and event.text == text, within)

    # sending: each returns the message's network id

    def send_text(
        self,
        chat: str,
        text: str,
        *,
        mention: Sequence[str] = (),
        reply: Quote | Received | None = None,
        expiration: int = 0,
        secret: bool = False,
    ) -> str:
        """Write to a chat (``user.chat``, ``group.chat``); ``secret`` lets a later edit be encrypted with it."""
        extras = {"mention": list(mention), "expiration": expiration, "secret": secret, **_quoting(reply)}
        return str(self._do("text", chat=chat, text=text, **extras))

    def send_texts(self, chat: str, texts: Sequence[str]) -> list[str]:
        """Write many messages, one after the other, as fast as the library can (about 150 in a second)."""
        return [str(one) for one in self._do("texts", chat=chat, texts=list(texts))]

    def send_image(self, chat: str, data: bytes, caption: str = "", **extras: Any) -> str:
        """Send a picture. Extras of all files: ``mime``, ``length`` (the size it claims), ``reply``, ``expiration``."""
        return self._send_file("image", chat, data, text=caption, **{"mime": "image/jpeg", **extras})

    def send_voice(self, chat: str, data: bytes, *, seconds: int = 1, **extras: Any) -> str:
        """Send a voice note."""
        defaults = {"mime": "audio/ogg; codecs=opus", "seconds": seconds}
        return self._send_file("voice", chat, data, **{**defaults, **extras})

    def send_audio(self, chat: str, data: bytes, *, seconds: int = 1, **extras: Any) -> str:
        """Send a sound file."""
        return self._send_file("audio", chat, data, **{"mime": "audio/mpeg", "seconds": seconds, **extras})

    def send_video(self, chat: str, data: bytes, caption: str = "", **extras: Any) -> str:
        """Send a film."""
        return self._send_file("video", chat, data, text=caption, **{"mime": "video/mp4", **extras})

    def send_document(self, chat: str, data: bytes, name: str, caption: str = "", **extras: Any) -> str:
        """Send a document."""
        defaults = {"mime": "application/octet-stream", "name": name, "text": caption}
        return self._send_file("document", chat, data, **{**defaults, **extras})

    def send_sticker(self, chat: str, data: bytes, **extras: Any) -> str:
        """Send a sticker."""
        return self._send_file("sticker", chat, data, **{"mime": "image/webp", **extras})

    def send_location(self, chat: str, latitude: float, longitude: float, name: str = "") -> str:
        """Send a place."""
        return str(self._do("location", chat=chat, latitude=latitude, longitude=longitude, name=name))

    def send_contact(self, chat: str, name: str, number: str) -> str:
        """Send somebody's name and number."""
        return str(self._do("contact", chat=chat, name=name, number=number))

    def send_poll(self, chat: str, question: str, options: Sequence[str]) -> str:
        """Ask people to choose one option."""
        return str(self._do("poll", chat=chat, text=question, options=list(options)))

    def send_message(self, chat: str, message: dict[str, Any]) -> str:
        """Send any message, written as protobuf's JSON of ``waE2E.Message``."""
        return str(self._do("message", chat=chat, message=message))

    def edit(self, chat: str, message_id: str, text: str, *, encrypted: bool = False, wrapped: bool = True) -> str:
        """Edit an own message.

        Args:
            chat: Where it is.
            message_id: Which.
            text: The new text.
            encrypted: As WhatsApp's apps do since 2026; needs a message that was sent with ``secret=True``.
            wrapped: Whether the encrypted content is an edit around the new message, or the new message itself.
        """
        mode = {"encrypted": encrypted, "wrapped": wrapped}
        return str(self._do("edit", chat=chat, target=message_id, text=text, me=self.user.chat, **mode))

    def revoke(self, chat: str, message_id: str) -> str:
        """Delete an own message for all."""
        return str(self._do("revoke", chat=chat, target=message_id))

    def react(self, chat: str, target: Quote | Received | str, emoji: str) -> str:
        """React to a message, with ``""`` to take it back; a bare id means an own message."""
        quote = Quote(target, "") if isinstance(target, str) else Quote(target.id, target.sender)
        return str(self._do("react", chat=chat, target=quote.id, author=quote.sender, text=emoji))

    def expire(self, chat: str, seconds: int) -> str:
        """Let a chat's messages live this long from now on, 0 for ever."""
        setting = {"type": "EPHEMERAL_SETTING", "ephemeralExpiration": seconds}
        return self.send_message(chat, {"protocolMessage": setting})

    # other things

    def typing(self, chat: str, on: bool = True, *, voice: bool = False) -> None:
        """Show, or end showing, that this person writes or speaks."""
        self._do("typing", chat=chat, on=on, voice=voice)

    def show_online(self, on: bool = True) -> None:
        """Show this person as online or not; refused before the client has learned its person's name."""
        self._do("presence", on=on)

    def read(self, message: Received) -> None:
        """Mark a message as read, so that its author's client gets a receipt."""
        self._do("read", chat=message.chat, target=message.id, author=message.sender)

    def share_name(self) -> None:
        """Tell the other devices of the same person its name, as a phone does soon after linking: presence needs it."""
        key = base64.b64encode(self.user.settings_key()).decode()
        data = {"keyData": key, "timestamp": "1", "fingerprint": {"rawID": 1, "currentIndex": 0, "deviceIndexes": [0]}}
        told = {"keyID": {"keyID": base64.b64encode(KEY_ID).decode()}, "keyData": data}
        share = {"type": "APP_STATE_SYNC_KEY_SHARE", "appStateSyncKeyShare": {"keys": [told]}}
        self.send_message(self.user.chat, {"protocolMessage": share})

    def logout(self) -> None:
        """Unlink this device, as its user would from its own menu."""
        self._do("logout")

    def _send_file(self, kind: str, chat: str, data: bytes, **extras: Any) -> str:
        reply = _quoting(extras.pop("reply", None))
        content = base64.b64encode(data).decode()
        return str(self._do("file", kind=kind, chat=chat, data=content, **extras, **reply))

    def _do(self, what: str, **arguments: Any) -> Any:
        """Have the client do something.

        Raises:
            FriendError: It refused.
            TimeoutError: It did not answer in 90 seconds.
        """
        process, number = self._process, next(self._numbers)
        if process is None or process.stdin is None:
            raise FriendError("the friend's client doesn't run")
        process.stdin.write(json.dumps({"call": number, "do": what, **arguments}) + "\n")
        process.stdin.flush()
        answer = self._wait(lambda: self._answers.pop(number, None), _ANSWER_SECONDS)
        if "error" in answer:
            raise FriendError(answer["error"])
        return answer["value"]

    def _find(self, wanted: Callable[[Received], bool]) -> Received | None:
        return next((event for event in self._fresh if wanted(event)), None)

    def _wait(self, look: Callable[[], Any], within: float) -> Any:
        deadline = time.monotonic() + within
        with self._news:
            while not (found := look()):
                left = deadline - time.monotonic()
                if self._ended:
                    raise FriendError(f"the friend's client has ended: {self._last_words()}")
                if left <= 0:
                    raise TimeoutError(f"nothing came to {self.user.name} within {within} s")
                self._news.wait(left)
            return found

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            told = json.loads(line)
            with self._news:
                if "event" in told:
                    event = Received.read(told["event"])
                    self._events.append(event)
                    self._fresh.append(event)
                elif "code" in told:
                    self._codes.append(told["code"])
                else:
                    self._answers[told["call"]] = told
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _environment(self) -> dict[str, str]:
        """The redirection; without coverage: this isn't the code under test, and starts faster."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        environment |= self._server.environment()
        environment["PYTHONPATH"] = f"{environment['PYTHONPATH']}{os.pathsep}{_TESTS}"
        return environment

    def _last_words(self) -> str:
        return (self._folder / "errors.log").read_text(errors="replace")[-_ERROR_CHARACTERS:]


def _connected(event: Received) -> bool:
    return event.kind == "connected"


def _quoting(reply: Quote | Received | None) -> dict[str, Any]:
    quote = reply.quote if isinstance(reply, Received) else reply
    return {"reply": {"id": quote.id, "sender": quote.sender, "text": quote.text}} if quote else {}
