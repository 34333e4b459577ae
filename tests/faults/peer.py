"""A chat network as a server on a Unix socket: it delivers a message again until it was acknowledged.

What it says and hears stands in ``plugins/wire.py``. It keeps every copy of every answer that it was sent; what people
get to see is each key's first copy, or every copy where the network can do nothing with keys.
"""

from __future__ import annotations

import enum
import json
import random
import re
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 60
WINDOW = 64
LOOK = 0.5
ANSWER = re.compile(r"\w+\.\d+( \w+\.\d+)*")


@dataclass(frozen=True)
class Message:
    """What somebody wrote. A chat's messages have the ids ``chat.1``, ``chat.2``, …"""

    id: str
    chat: str
    text: str


class Fault(enum.Enum):
    """What goes wrong with a copy: what its sender gets to see, and whether the network has accepted it."""

    NOT_SENT = ("not sent", False)
    RAISED = ("raised", False)
    RAISED_AFTER = ("raised", True)
    HUNG = ("hung", False)
    HUNG_AFTER = ("hung", True)
    CUT = ("cut", False)
    CUT_AFTER = ("cut", True)

    @property
    def shown(self) -> str:
        return self.value[0]

    @property
    def accepted(self) -> bool:
        return self.value[1]


@dataclass(frozen=True)
class Copy:
    """One arrival of an answer; ``at`` as in ``time.monotonic``."""

    key: str
    chat: str
    text: str
    at: float

    @property
    def ids(self) -> list[str]:
        """The messages that it answers; none where the assistant itself says something."""
        return self.text.split() if ANSWER.fullmatch(self.text) else []


class Peer:
    """The network; entered, it listens.

    Args:
        path: Of the socket.
        dedupes: It drops an answer whose key it has seen.
        slow: Seconds that a receipt takes at most.

    Attributes:
        received: Every copy of every answer.
        connections: How many there were.
        mute: It gives no receipts.
    faults: What it does to the first copy of an answer, by the answer's text.
        trouble: Says why nothing more can come, for those who wait.
    """

    def __init__(self, path: Path, *, dedupes: bool = True, slow: float = 0.0) -> None:
        self.path = path
        self.dedupes = dedupes
        self.slow = slow
        self.received: list[Copy] = []
        self.connections = 0
        self.mute = False
        self.faults: dict[str, Fault] = {}
        self.trouble: Callable[[], str] = str
        self._offered: list[Message] = []
        self._unacknowledged: dict[int, Message] = {}
        self._unanswered: set[str] = set()
        self._answered: set[str] = set()
        self._lines: dict[socket.socket, threading.Lock] = {}
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(8)
        self._run(self._accept)

    def close(self) -> None:
        """Hang up on everybody, and end."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._changed:
            for line in self._lines:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SECONDS)

    # ------------------------------------------------------------- what a test does
    def offer(self, messages: Iterable[Message]) -> None:
        """Deliver these, until they are acknowledged."""
        with self._changed:
            for message in messages:
                self._unacknowledged[len(self._offered)] = message
                self._offered.append(message)
                self._unanswered |= {message.id} - self._answered
            self._changed.notify_all()

    def until(self, what: str, reached: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Wait until something holds that hangs on what was heard."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._changed.wait_for(reached, LOOK):
                assert not self.trouble(), f"{self.trouble()} before: {what}; {self}"
                assert time.monotonic() < deadline, f"not within {seconds} s: {what}; {self}"

    def until_answered(self, seconds: float = SECONDS) -> None:
        """Wait until every message offered has an answer, and was acknowledged."""
        self.until("all answered", lambda: not self._unanswered and not self._unacknowledged, seconds)

    def quiet(self) -> None:
        """Wait until all was read that processes wrote which are gone."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._lines, SECONDS), f"somebody is connected: {self}"

    # ------------------------------------------------------------ what it has seen
    @property
    def offered(self) -> set[str]:
        return {message.id for message in self._offered}

    @property
    def acknowledged(self) -> int:
        return len(self._offered) - len(self._unacknowledged)

    @property
    def unacknowledged(self) -> int:
        return len(self._unacknowledged)

    @property
    def seen(self) -> list[Copy]:
        """What people get to see, in order."""
        first = {copy.key: copy for copy in reversed(self.received)} if self.dedupes else {}
        return [copy for copy in list(self.received) if not self.dedupes or first[copy.key] is copy]

    @property
    def answered(self) -> int:
        return len(self._answered)

    @property
    def unanswered(self) -> set[str]:
        return set(self._unanswered)

    @property
    def keys(self) -> set[str]:
        return {copy.key for copy in self.received}

    def times_answered(self) -> Counter[str]:
        """Count for each message how often people see it answered."""
        return Counter(one for copy in self.seen for one in copy.ids)

    def order(self) -> Mapping[str, list[str]]:
        """Give for each chat the messages in the order in which they were first answered."""
        chats: dict[str, dict[str, None]] = {}
        for copy in self.seen:
            chats.setdefault(copy.chat, {}).update(dict.fromkeys(copy.ids))
        return {chat: list(ids) for chat, ids in chats.items()}

    def told(self) -> list[Copy]:
        """Give what the assistant itself said."""
        return [copy for copy in self.seen if not copy.ids]

    def __repr__(self) -> str:
        told = [copy.text for copy in self.told()][:5]
        return (
            f"{self.path.name}: {len(self._offered)} offered, {self.acknowledged} acknowledged, "
            f"{len(self.received)} answers, unanswered {sorted(self.unanswered)[:10]}, told {told}"
        )

    # -------------------------------------------------------------- how it does it
    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                line, _ = self._listening.accept()
                with self._changed:
                    self._lines[line] = threading.Lock()
                    self.connections += 1
                    self._changed.notify_all()
                self._run(self._read, line)
                self._run(self._push, line)

    def _push(self, line: socket.socket) -> None:
        with self._changed:
            due = deque(self._unacknowledged)
            position = len(self._offered)
        flying: set[int] = set()
        with suppress(OSError, KeyError):  # the other side was killed
            while True:
                with self._changed:
                    while not due or len(flying) >= WINDOW:
                        if line not in self._lines:
                            return
                        due.extend(range(position, len(self._offered)))
                        position = len(self._offered)
                        flying &= self._unacknowledged.keys()
                        if not due or len(flying) >= WINDOW:
                            self._changed.wait()
                    serial = due.popleft()
                flying.add(serial)
                self._write(line, {"serial": serial, **vars(self._offered[serial])})

    def _read(self, line: socket.socket) -> None:
        with suppress(OSError), line.makefile("rb") as file:
            for each in file:
                if each.endswith(b"\n"):  # else it was killed in the middle
                    self._hear(line, json.loads(each))
        with self._changed:
            self._lines.pop(line, None)
            self._changed.notify_all()
        line.close()

    def _hear(self, line: socket.socket, said: Mapping[str, Any]) -> None:
        fault = self.faults.pop(said["text"], None) if "n" in said else None
        with self._changed:
            if "ack" in said:
                self._unacknowledged.pop(said["ack"], None)
            elif fault is None or fault.accepted:
                copy = Copy(said["key"], said["chat"], said["text"], time.monotonic())
                self.received.append(copy)
                self._answered.update(copy.ids)
                self._unanswered.difference_update(copy.ids)
            self._changed.notify_all()
        with suppress(OSError, KeyError):  # what was sent is still to be read
            if fault is not None:
                self._fail(line, said["n"], fault)
            elif "n" in said and not self.mute:
                if self.slow:
                    time.sleep(random.uniform(0, self.slow))  # noqa: S311  # no secret
                self._write(line, {"receipt": said["n"]})

    def _fail(self, line: socket.socket, number: int, fault: Fault) -> None:
        if fault.shown == "cut":
            line.shutdown(socket.SHUT_RDWR)
        elif fault.shown != "hung":
            self._write(line, {"refused": number, "certain": fault is Fault.NOT_SENT})

    def _write(self, line: socket.socket, said: Mapping[str, Any]) -> None:
        with self._lines[line]:
            line.sendall(json.dumps(said).encode() + b"\n")


def messages(chat: str, first: int, count: int, text: str = "hello") -> list[Message]:
    """Make some messages of a chat, beginning with number ``first``."""
    return [Message(f"{chat}.{number}", chat, f"{text} {number}") for number in range(first, first + count)]
