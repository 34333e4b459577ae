"""A chat network in memory, and the transport that connects to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio

from nanokimi_core.contracts.plugin import Context
from nanokimi_core.contracts.transport import Inbox, Traits
from nanokimi_core.errors import NotSent
from nanokimi_core.files import private_folder, write_private
from nanokimi_core.messages import Attachment, Inbound, Outbound, Receipt

CHAT = "desk"
PATIENCE = 10.0
"""Seconds that a wait takes at most, unless it is told otherwise."""


class _Line:
    """A connection: what it has yet to bring, and whether it is cut."""

    def __init__(self, waiting: Sequence[Inbound]) -> None:
        self.waiting = deque(waiting)
        self.is_cut = False
        self._news = anyio.Event()

    def bring(self, message: Inbound) -> None:
        self.waiting.append(message)
        self._news.set()

    def cut(self) -> None:
        self.is_cut = True
        self._news.set()

    async def next(self) -> Inbound:
        while not self.waiting and not self.is_cut:
            self._news = anyio.Event()
            await self._news.wait()
        if self.is_cut:
            raise ConnectionResetError("the line to the network is cut")
        return self.waiting.popleft()


@dataclass
class MemoryNetwork:
    """A chat network in memory. It outlives the transports that connect to it, and so a restart of the assistant.

    What was written stays until a transport has acknowledged it; every new connection brings the rest again. A second
    message under one key is taken, and not shown.

    Attributes:
        attempts: What transports have tried to send, in order.
        sent: What people were shown, in order.
        drafts: The drafts that were shown, in order.
        typing: The chats in which people see at the moment that the assistant is writing.
        files: What was shown with messages, as (chat, name, content).
        fail: What the next sends raise instead of showing anything, one each.
        written: What people have written, in order.
    """

    attempts: list[Outbound] = field(default_factory=list)
    sent: list[Outbound] = field(default_factory=list)
    drafts: list[Outbound] = field(default_factory=list)
    typing: set[str] = field(default_factory=set)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)
    fail: list[Exception] = field(default_factory=list)
    written: list[Inbound] = field(default_factory=list)
    _unacknowledged: dict[tuple[str, str], Inbound] = field(default_factory=dict, repr=False)
    _on_its_way: set[tuple[str, str]] = field(default_factory=set, repr=False)
    _content: dict[tuple[str, str], Mapping[str, bytes]] = field(default_factory=dict, repr=False)
    _line: _Line | None = field(default=None, repr=False)
    _reachable: bool = field(default=True, repr=False)
    _lose: int = field(default=0, repr=False)
    _changed: anyio.Event = field(default_factory=anyio.Event, repr=False)

    # ------------------------------------------------------------------ people's side
    def write(
        self,
        text: str,
        chat: str = CHAT,
        *,
        sender: str = "ana",
        number: str | None = None,
        files: Mapping[str, bytes] | None = None,
        **more: Any,
    ) -> Inbound:
        """Let somebody write. The network has it then, and brings it as soon as a transport is connected.

        Args:
            text: As typed.
            chat: Where.
            sender: Who.
            number: The message's id; the next number unless given.
            files: Files to send along, by name.
            more: Other fields of ``Inbound``: ``kind``, ``event``, ``target``, ``mentions_me``, …
        """
        message = self.keep(text, chat, sender=sender, number=number, files=files, **more)
        if self._line is not None:
            self._line.bring(message)
        return message

    def keep(
        self,
        text: str,
        chat: str = CHAT,
        *,
        sender: str = "ana",
        number: str | None = None,
        files: Mapping[str, bytes] | None = None,
        **more: Any,
    ) -> Inbound:
        """Keep what somebody writes, as ``write`` does, without bringing it before the next connection."""
        told = {"sender_name": sender.capitalize()} | more
        message = Inbound(number or str(len(self.written) + 1), chat, sender, text, **told)
        self.written.append(message)
        self._unacknowledged[chat, message.id] = message
        if files:
            self._content[chat, message.id] = dict(files)
        return message

    def bring_again(self) -> None:
        """Bring what was written last once more, as after an acknowledgement that got lost."""
        message = self.written[-1]
        self._unacknowledged[message.chat, message.id] = message
        if self._line is not None:
            self._line.bring(message)

    @property
    def unacknowledged(self) -> Sequence[Inbound]:
        """What no transport has acknowledged, in the order in which it was written."""
        return list(self._unacknowledged.values())

    def texts(self, chat: str = CHAT) -> list[str]:
        """Give what a chat has been shown, in order."""
        return [message.text for message in self.sent if message.chat == chat]

    def seen(self, chat: str = CHAT) -> list[str]:
        """Give what a chat shows at the moment, in order: a draft that is followed by no answer stands at the end."""
        keys = {message.key for message in self.sent}
        open_drafts = {each.key: each.text for each in self.drafts if each.chat == chat and each.key not in keys}
        return [*self.texts(chat), *open_drafts.values()]

    async def until_sent(self, count: int, within: float = PATIENCE) -> list[str]:
        """Wait until people have been shown so many messages, and give the texts of all.

        Raises:
            TimeoutError: It took longer than ``within`` seconds.
        """
        with anyio.move_on_after(within):
            while len(self.sent) < count:
                self._changed = anyio.Event()
                await self._changed.wait()
        shown = [message.text for message in self.sent]
        if len(shown) < count:
            raise TimeoutError(f"{count} messages should have been shown within {within:g} s, and there are {shown}")
        return shown

    # ------------------------------------------------------------------ trouble
    def fail_next(self, *errors: Exception) -> None:
        """Let the next sends raise these, one each, and show nothing."""
        self.fail.extend(errors)

    def lose_next(self) -> None:
        """Show the next message, and cut the line before the sender hears of it."""
        self._lose += 1

    def cut(self) -> None:
        """Break the connection; the next one is accepted, and brings what was not acknowledged."""
        if self._line is not None:
            self._line.cut()
            self._line = None

    def refuse(self) -> None:
        """Break the connection, and accept none until ``accept_again``."""
        self._reachable = False
        self.cut()

    def accept_again(self) -> None:
        """Accept connections again after ``refuse``."""
        self._reachable = True

    # ------------------------------------------------------------------ a transport's side
    def connect(self) -> _Line:
        """Connect; a connection that is there already is cut.

        Raises:
            ConnectionRefusedError: The network refuses connections.
        """
        if not self._reachable:
            raise ConnectionRefusedError("the network refuses connections")
        self.cut()
        waiting = [message for place, message in self._unacknowledged.items() if place not in self._on_its_way]
        self._line = _Line(waiting)
        return self._line

    def leave(self, line: _Line) -> None:
        """End a connection."""
        if self._line is line:
            self._line = None

    def content(self, message: Inbound) -> Mapping[str, bytes]:
        """Give the files that come with a message."""
        return self._content.get((message.chat, message.id), {})

    def acknowledge(self, message: Inbound) -> None:
        """Take note that a message has arrived: it isn't brought again."""
        self._unacknowledged.pop((message.chat, message.id), None)

    def show(self, message: Outbound) -> None:
        """Show a message in its chat, once for each key.

        Raises:
            ConnectionResetError: It is shown, and the line is cut.
        """
        if all(message.key != shown.key for shown in self.sent):
            self.files += [(message.chat, each.name, each.path.read_bytes()) for each in message.attachments]
            self.sent.append(message)
            self._changed.set()
        if self._lose:
            self._lose -= 1
            self.cut()
            raise ConnectionResetError("the line to the network was cut before it confirmed the message")


class MemoryTransport:
    """A transport to a chat network in memory: ``say`` puts a message in, ``sent`` holds what came out.

    Args:
        config: Taken as the core gives it, and not looked at.
        context: Taken as the core gives it; needed where messages come with files.
        network: What to connect to; a network of its own unless given.
        traits: What the network can take; the core's defaults unless given.

    Attributes:
        network: What it connects to.
        runs: How often it was run.
        connected: Set while it is connected.
        inbox: Of the latest run.
    """

    traits: Traits

    def __init__(
        self,
        config: Any = None,
        context: Context | None = None,
        *,
        network: MemoryNetwork | None = None,
        traits: Traits | None = None,
    ) -> None:
        self.network = network if network is not None else MemoryNetwork()
        self.runs = 0
        self.connected = anyio.Event()
        self.inbox: Inbox | None = None
        self._context = context
        self._down = False
        self._files = 0
        if traits is not None:
            self.traits = traits

    @property
    def attempts(self) -> list[Outbound]:
        """What was tried to send, in order."""
        return self.network.attempts

    @property
    def sent(self) -> list[Outbound]:
        """What people were shown, in order."""
        return self.network.sent

    @property
    def drafts(self) -> list[Outbound]:
        """The drafts that were shown, in order."""
        return self.network.drafts

    @property
    def fail(self) -> list[Exception]:
        """What the next sends raise, one each."""
        return self.network.fail

    @fail.setter
    def fail(self, errors: list[Exception]) -> None:
        self.network.fail = errors

    async def run(self, inbox: Inbox) -> None:
        """Bring what the network has; raises when the line is cut."""
        self.runs += 1
        line = self.network.connect()
        self.inbox, self._down = inbox, False
        inbox.ready()
        self.connected.set()
        try:
            while True:
                message = await line.next()
                await inbox.deliver(self._with_files(message))
                self.network.acknowledge(message)
        finally:
            self.network.leave(line)
            self.connected = anyio.Event()
            self._down = line.is_cut

    async def send(self, message: Outbound) -> Receipt | None:
        """Show a message.

        Raises:
            NotSent: The line is cut.
            Exception: As the network was told to fail.
        """
        self.attempts.append(message)
        if self.fail:
            raise self.fail.pop(0)
        if self._down:
            raise NotSent("the line to the network is cut")
        return self.accept(message)

    def accept(self, message: Outbound) -> Receipt | None:
        """Let the network show a message; a subclass may do more, or give a ``Receipt``."""
        self.network.show(message)
        return None

    def texts(self, chat: str = CHAT) -> list[str]:
        """Give what a chat has been shown."""
        return self.network.texts(chat)

    async def say(self, text: str, chat: str = CHAT, number: str | None = None, **more: Any) -> None:
        """Let somebody write, and bring it at once from here, as soon as there is a connection.

        Returns when the core has taken the message. The arguments are those of ``MemoryNetwork.write``.

        Raises:
            NotAccepted: The core has not.
        """
        await self.connected.wait()
        inbox = self.inbox
        if inbox is None:
            raise RuntimeError("a transport that is connected has no inbox: the one under test sets no self.inbox")
        message = self.network.keep(text, chat, number=number, **more)
        place = (message.chat, message.id)
        self.network._on_its_way.add(place)
        try:
            await inbox.deliver(self._with_files(message))
            self.network.acknowledge(message)
        finally:
            self.network._on_its_way.discard(place)

    async def until_sent(self, count: int, within: float = PATIENCE) -> list[str]:
        """Wait until people have been shown so many messages, and give the texts of all.

        Raises:
            TimeoutError: It took longer than ``within`` seconds.
        """
        return await self.network.until_sent(count, within)

    def _with_files(self, message: Inbound) -> Inbound:
        """Put what comes with a message where the core takes files from."""
        content = self.network.content(message)
        return replace(message, attachments=(*message.attachments, *self._written(content))) if content else message

    def _written(self, content: Mapping[str, bytes]) -> Collection[Attachment]:
        if self._context is None:
            raise RuntimeError("files come with a message, and this transport has no context, so no folder for them")
        folder = private_folder(self._context.folder / "incoming")
        return [self._file(folder, name, data) for name, data in content.items()]

    def _file(self, folder: Path, name: str, data: bytes) -> Attachment:
        self._files += 1
        path = folder / f"{self.runs}-{self._files}"
        write_private(path, data)
        return Attachment(name, "application/octet-stream", path, len(data))


class DraftingTransport(MemoryTransport):
    """A transport that shows drafts and typing as well.

    Attributes:
        typed: What ``typing`` was called with, in order.
    """

    def __init__(self, config: Any = None, context: Context | None = None, **more: Any) -> None:
        super().__init__(config, context, **more)
        self.typed: list[bool] = []

    async def draft(self, message: Outbound) -> None:
        """Show a draft."""
        self.drafts.append(message)

    async def typing(self, chat: str, on: bool) -> None:
        """Show that the assistant is writing, or stop showing it."""
        self.typed.append(on)
        if on:
            self.network.typing.add(chat)
        else:
            self.network.typing.discard(chat)
