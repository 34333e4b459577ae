"""The inbox that a check gives to a transport: it notes what it is given, and does as it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import anyio

from nanokimi_core.errors import NotAccepted
from nanokimi_core.messages import Attachment, Inbound


@dataclass(frozen=True)
class Brought:
    """A file as it was when its message was delivered.

    Attributes:
        attachment: What the transport said of it.
        data: Its content; ``None`` where there was no file at its path.
        inside: Whether it lay under the instance's folder.
    """

    attachment: Attachment
    data: bytes | None
    inside: bool


@dataclass
class InboxRecord:
    """What the inboxes of one object were given, over all of its runs.

    A network may bring a message again before it has seen that it was acknowledged, at any time: that isn't a fault of
    the transport's. What is the same in everything that tells messages apart stands in ``kept`` once, where it came
    first.

    Attributes:
        readies: How often ``ready`` was called.
        aways: How often ``away`` was called.
        begun: Messages whose ``deliver`` was called, each time that it was.
        kept: Messages whose ``deliver`` has returned, each once.
        late: Messages that were delivered into the inbox of a run that was over.
        files: That came with the messages.
        receipts: Keys and ids that ``sent`` has reported.
        refused: A text; ``deliver`` raises ``NotAccepted`` for it.
        held: While it is not set, ``deliver`` doesn't return.
    """

    readies: int = 0
    aways: int = 0
    begun: list[Inbound] = field(default_factory=list)
    kept: list[Inbound] = field(default_factory=list)
    late: list[Inbound] = field(default_factory=list)
    files: list[Brought] = field(default_factory=list)
    receipts: list[tuple[str, str]] = field(default_factory=list)
    refused: str | None = None
    held: anyio.Event | None = None

    def texts(self) -> list[str]:
        """Give the texts that were kept, in order."""
        return [message.text for message in self.kept]

    def began(self, text: str) -> bool:
        """Say whether ``deliver`` was called with a text."""
        return any(message.text == text for message in self.begun)

    def keep(self, message: Inbound) -> None:
        """Note a message whose ``deliver`` returns."""
        if not any(_told_apart_by(each) == _told_apart_by(message) for each in self.kept):
            self.kept.append(message)

    def brought(self, message: Inbound) -> Brought:
        """Give the first file of a message, as it was then."""
        return next(file for file in self.files if file.attachment is message.attachments[0])


def _told_apart_by(message: Inbound) -> tuple[object, ...]:
    return message.chat, message.id, message.event, message.target, message.text


class ScriptedInbox:
    """The inbox of one run, which notes what it is given and refuses what comes after the run, as the core's does.

    Args:
        record: Where it notes.
        folder: The instance's.
    """

    def __init__(self, record: InboxRecord, folder: Path) -> None:
        self._record = record
        self._folder = folder
        self.over = False

    def ready(self) -> None:
        """Note that the network is connected."""
        self._record.readies += not self.over

    def away(self) -> None:
        """Note that the network is gone for now."""
        self._record.aways += not self.over

    async def deliver(self, message: Inbound) -> None:
        """Note a message, and take its files away.

        Raises:
            NotAccepted: The record is told to refuse, or the run is over.
        """
        if self.over:
            self._record.late.append(message)
            raise NotAccepted("this inbox belongs to a run that is over", remedy="use the last one")
        self._record.begun.append(message)
        if message.text == self._record.refused:
            raise NotAccepted("the disk is full", remedy="make room")
        if self._record.held is not None:
            await self._record.held.wait()
        for attachment in message.attachments:
            self._record.files.append(await anyio.to_thread.run_sync(_taken, attachment, self._folder))
        self._record.keep(message)

    def sent(self, key: str, network_id: str) -> None:
        """Note a receipt that came later."""
        self._record.receipts.append((key, network_id))

    def typing(self, chat: str) -> None:
        """Take note of nothing."""


def _taken(attachment: Attachment, folder: Path) -> Brought:
    path = Path(attachment.path)
    inside = path.resolve().is_relative_to(folder.resolve())
    if not path.is_file() or path.is_symlink():
        return Brought(attachment, None, inside)
    data = path.read_bytes()
    if inside:
        path.unlink()
    return Brought(attachment, data, inside)
