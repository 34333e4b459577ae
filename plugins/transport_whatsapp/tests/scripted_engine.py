"""An engine whose network is in the test: every call of the child's goes there over a socket, and is answered there.

In the child it is loaded by its name: ``Start(engine="scripted_engine")``, with this folder in ``PYTHONPATH`` and the
socket's path in ``SCRIPTED_ENGINE``. The test holds a ``ScriptedNetwork``: what it knows outlives every child.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nanokimi_transport_whatsapp.engine import (
    Engine,
    EngineError,
    EngineSettings,
    Outgoing,
    Read,
    SecretOf,
    Sent,
    Sink,
)
from nanokimi_transport_whatsapp.values import Link, Message, Text, Typing, Who

VARIABLE = "SCRIPTED_ENGINE"
SECONDS = 30.0
ME = Who(id="1000000001@lid", alias="15550001@s.whatsapp.net", name="Kai")


# ------------------------------------------------------------------ raw events
def event(message: Message | None, **more: Any) -> bytes:
    """Write a raw event.

    ``media`` is what ``fetch`` is asked for; ``quotable`` and ``secret`` are as in ``Read``, as text; ``reveal`` (chat,
    sender, id) makes the text of the message the secret of another; ``fault`` is what reading does: ``raise``,
    ``abort``.
    """
    return json.dumps({"message": message.model_dump() if message else None, **more}).encode()


def text(chat: str, network_id: str, words: str, **more: Any) -> Message:
    """Make a message of text in a direct chat."""
    values: dict[str, Any] = {"chat_kind": "direct", "sender": Who(id=chat), "at": 1.0, "content": Text(text=words)}
    return Message(id=network_id, chat=more.pop("who", Who(id=chat)), **(values | more))


def _bytes(words: str | None) -> bytes | None:
    return None if words is None else words.encode()


# ------------------------------------------------------------------ in the child
def create(settings: EngineSettings) -> Engine:
    """Make the engine; what the network's ``creating`` says may keep it from that."""
    return ScriptedEngine(settings)


class ScriptedEngine:
    """The engine's protocol, answered by the test."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(os.environ[VARIABLE])
        self._lock = threading.Lock()
        self._answers: dict[int, Any] = {}
        self._answered = threading.Condition()
        self._calls = 0
        self._sink: Sink | None = None
        threading.Thread(target=self._listen, daemon=True).start()
        logging.getLogger("library").info("through the proxy %s", settings.proxy)
        self._call("create", device=settings.device, presence=settings.presence, proxy=settings.proxy)

    def open(self, sink: Sink) -> None:
        self._sink = sink
        self._settings.session.write_bytes(b"the link")
        self._settings.session.chmod(0o644)
        self._call("open")

    def close(self) -> None:
        self._call("close")

    def read(self, raw: bytes, secret_of: SecretOf) -> Read:
        found = json.loads(raw)
        if found.get("fault") == "abort":
            os.abort()
        if found.get("fault") == "raise":
            raise KeyError("a field")
        message = Message.model_validate(found["message"]) if found["message"] else None
        if message and "reveal" in found:
            secret = secret_of(*found["reveal"])
            message = message.model_copy(update={"content": Text(text=secret.decode() if secret else "unknown")})
        return Read(message, _bytes(found.get("media")), _bytes(found.get("quotable")), _bytes(found.get("secret")))

    def fetch(self, media: bytes) -> bytes:
        return base64.b64decode(self._call("fetch", media=media.decode()))

    def send(self, message: Outgoing) -> Sent:
        quote = message.quote and {
            "id": message.quote.id,
            "sender": message.quote.sender,
            "quotable": (message.quote.quotable or b"").decode(),
            "text": message.quote.text,
        }
        file = message.file and {"name": message.file.name, "size": len(message.file.data)}
        said = self._call("send", chat=message.chat, text=message.text, quote=quote, file=file, expires=message.expires)
        return Sent(said, ME.id)

    def show_typing(self, chat: str, on: bool) -> None:
        self._call("show_typing", chat=chat, on=on)

    def mark_read(self, chat: str, sender: str, network_id: str) -> None:
        self._call("mark_read", chat=chat, sender=sender, id=network_id)

    def members(self, chat: str) -> list[str]:
        return list(self._call("members", chat=chat))

    def other_name(self, who: str) -> str:
        return str(self._call("other_name", who=who))

    def pair(self, phone: str) -> str:
        return str(self._call("pair", phone=phone))

    def unlink(self) -> None:
        self._call("unlink")

    def _call(self, name: str, **arguments: Any) -> Any:
        with self._lock:
            self._calls += 1
            number = self._calls
        self._say({"call": name, "number": number, **arguments})
        with self._answered:
            self._answered.wait_for(lambda: number in self._answers)
            answer = self._answers.pop(number)
        if "error" in answer:
            raise EngineError(**answer["error"])
        if "fault" in answer:
            raise RuntimeError(answer["fault"])
        return answer["value"]

    def _say(self, value: dict[str, Any]) -> None:
        with self._lock:
            self._socket.sendall(json.dumps(value).encode() + b"\n")

    def _listen(self) -> None:
        for line in self._socket.makefile("rb"):
            value = json.loads(line)
            if "answer" in value:
                with self._answered:
                    self._answers[value["answer"]] = value
                    self._answered.notify_all()
            else:
                self._do(value)

    def _do(self, value: dict[str, Any]) -> None:
        """Do on this thread what the network tells, as a library's callbacks do."""
        sink, what = self._sink, value["do"]
        if what == "raw" and sink is not None:
            sink.raw(value["raw"].encode())
            self._say({"kept": value["raw"]})
        elif what == "link" and sink is not None:
            sink.link(Link.model_validate(value["link"]))
        elif what == "typing" and sink is not None:
            sink.typing(Typing.model_validate(value["typing"]))
        elif what == "print":
            os.write(1, b'{"kind":"figures","spooled":77}\n')
            print('{"kind":"figures","spooled":78}', flush=True)
            print(f"stdin holds {os.read(0, 10)!r}", flush=True)
            self._say({"call": "printed", "number": 0})
        elif what == "abort":
            os.abort()


# ------------------------------------------------------------------ in the test
class Hang(Exception):
    """Raised by a script: the call never comes back, or not before ``ScriptedNetwork.release``."""


Script = Callable[[dict[str, Any]], Any]
"""Answers a call: gives a value, raises ``EngineError``, ``Hang``, or ``RuntimeError`` for a fault of the library."""


class ScriptedNetwork:
    """The other side of the engines of all children, one after the other.

    Attributes:
        calls: Every call that came, with its arguments, oldest first.
        kept: Raw events that a child said are on disk.
        scripts: By the name of a call: what answers it, where the usual answer won't do.
    """

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="net")
        self.path = str(Path(self._folder) / "s")
        self.calls: list[dict[str, Any]] = []
        self.kept: list[bytes] = []
        self.scripts: dict[str, Script] = {}
        self.changed = threading.Condition()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self.path)
        self._server.listen()
        self._peers: list[socket.socket] = []
        self._hanging: list[tuple[socket.socket, dict[str, Any]]] = []
        self._ids = 0
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def variables(self) -> dict[str, str]:
        """What a child's environment needs for its engine to be found, and to find this."""
        here = str(Path(__file__).parent)
        return {VARIABLE: self.path, "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))}

    def bring(self, *raw: bytes) -> None:
        """Have events happen."""
        for one in raw:
            self._tell({"do": "raw", "raw": one.decode()})

    def link(self, link: Link) -> None:
        """Have the link change."""
        self._tell({"do": "link", "link": link.model_dump()})

    def typing(self, typing: Typing) -> None:
        """Have somebody write."""
        self._tell({"do": "typing", "typing": typing.model_dump()})

    def do(self, what: str) -> None:
        """Have the library ``print`` or ``abort``."""
        self._tell({"do": what})

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Wait for something about ``calls`` or ``kept``."""
        with self.changed:
            assert self.changed.wait_for(until, SECONDS), f"not within {SECONDS:g} s: {what}"

    def called(self, name: str) -> list[dict[str, Any]]:
        """Give the calls of this name."""
        return [call for call in self.calls if call["call"] == name]

    def wait_called(self, name: str, times: int = 1) -> list[dict[str, Any]]:
        """Wait for so many calls of this name, and give them."""
        self.wait(lambda: len(self.called(name)) >= times, f"{times} calls of {name}")
        return self.called(name)

    def release(self) -> None:
        """Have calls that hang, one at least, come back as if all had gone well."""
        self.wait(lambda: bool(self._hanging), "a call that hangs")
        hanging, self._hanging = self._hanging, []
        for peer, call in hanging:
            _say(peer, {"answer": call["number"], "value": self._usual(call)})

    def close(self) -> None:
        """Go away."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for peer in self._peers:
            peer.close()
        self._accepting.join(SECONDS)
        shutil.rmtree(self._folder)

    def _tell(self, value: dict[str, Any]) -> None:
        until = time.monotonic() + SECONDS
        while not self._peers and time.monotonic() < until:
            with self.changed:
                self.changed.wait(0.1)
        _say(self._peers[-1], value)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, peer.makefile("rb") as lines:
            try:
                for line in lines:
                    self._take(peer, json.loads(line))
            except (OSError, ValueError):
                return

    def _take(self, peer: socket.socket, value: dict[str, Any]) -> None:
        with self.changed:
            if "kept" in value:
                self.kept.append(value["kept"].encode())
            else:
                self.calls.append(value)
                if value["call"] == "open":
                    self._peers.append(peer)
            self.changed.notify_all()
        if "call" in value:
            threading.Thread(target=self._answer, args=(peer, value), daemon=True).start()

    def _answer(self, peer: socket.socket, call: dict[str, Any]) -> None:
        try:
            value = self.scripts.get(call["call"], self._usual)(call)
        except Hang:
            with self.changed:
                self._hanging.append((peer, call))
                self.changed.notify_all()
        except EngineError as error:
            words = {"kind": error.kind, "said": error.said, "code": error.code, "seconds": error.seconds}
            _say(peer, {"answer": call["number"], "error": words})
        except RuntimeError as error:
            _say(peer, {"answer": call["number"], "fault": str(error)})
        else:
            _say(peer, {"answer": call["number"], "value": value})

    def _usual(self, call: dict[str, Any]) -> Any:
        if call["call"] == "send":
            with self.changed:
                self._ids += 1
                return f"ID{self._ids}"
        usual: dict[str, Any] = {
            "fetch": base64.b64encode(b"the file").decode(),
            "members": [ME.id, "1000000002@lid"],
            "other_name": "",
            "pair": "ABCD-EFGH",
        }
        return usual.get(call["call"])


_SAYING = threading.Lock()


def _say(peer: socket.socket, value: dict[str, Any]) -> None:
    with _SAYING, suppress(OSError):  # that child may be gone
        peer.sendall(json.dumps(value).encode() + b"\n")
