"""From what the child brings to the core's inbox: each chat in order, chats side by side, acknowledged afterwards."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Container
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from nanokimi_core import Context, Inbound, Inbox
from nanokimi_transport_whatsapp.contents import file_of, text_of
from nanokimi_transport_whatsapp.identity import Account, message_id
from nanokimi_transport_whatsapp.names import Known, Names
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.supervision import ChildProcess
from nanokimi_transport_whatsapp.transcription import NotTranscribed, transcribe
from nanokimi_transport_whatsapp.values import Brought, Done, MarkRead, Media, Message, Who

MOST_WAITING = 1000
"""Messages that may wait here for the core; more are left with the child."""

_TRANSCRIPTIONS = 2
_NO_MESSAGE = re.compile(r"call-.*|.*-unreadable")
"""Ids of calls, and of what the phone alone can show: the network has no message by them that could be read."""


class Reader:
    """Makes the core's messages of the network's.

    Args:
        settings: The instance's.
        context: Whom the assistant is called, and who is told what goes wrong.
        places: Where files lie.
        names: Who is who.
        ours: The network's ids of what the assistant has sent.
    """

    def __init__(
        self, settings: Settings, context: Context, places: Places, names: Names, ours: Container[str]
    ) -> None:
        self._settings, self._context, self._names, self._ours = settings, context, names, ours
        self._media = Path(places.media).absolute()
        self._at_once = anyio.CapacityLimiter(_TRANSCRIPTIONS)

    def concerns_us(self, message: Message, account: Account) -> bool:
        """Whether a message is for the core at all: what the account's person writes is, in the self chat alone."""
        if not (message.id and message.chat.id and message.sender.id):
            self._context.log.warning("a message without a name, a chat or a sender is left out")
            return False
        if message.chat_kind == "self" and not account.has_self_chat:
            return False
        return not message.from_me or (message.chat_kind == "self" and message.id not in self._ours)

    async def read(self, message: Message, account: Account) -> Inbound | None:
        """Make the core's message; ``None`` where nothing is in it.

        Raises:
            NotAccepted: Who is who can't be kept.
        """
        chat = await self.who(message.chat, account)
        sender = await self.who(message.sender, account)
        file = file_of(message.content, self._media)
        text = _with_our_name(text_of(message.content), message, account, self._context.assistant)
        if file and isinstance(message.content, Media) and message.content.what == "voice":
            text = await self._written_down(file.path) or text
        if message.event in ("message", "edit") and not text and file is None:
            return None
        await self._names.note_chat(chat.name)
        quoted = message.quoted
        return Inbound(
            id=message_id(message.id, sender.name),
            chat=chat.name,
            sender=sender.name,
            text=text,
            event=message.event,
            target=await self._id(message.target, message.target_sender or sender.name, account),
            sender_name=message.sender.name,
            chat_name=message.chat.name,
            sender_aliases=sender.aliases,
            chat_aliases=chat.aliases,
            kind=message.chat_kind,
            at=_time(message.at),
            backlog=message.offline,
            mentions_me=self._calls_us(message, account),
            from_me=message.from_me,
            reply_to=await self._id(quoted.id, quoted.sender, account) if quoted else None,
            quoted=quoted.text if quoted else "",
            attachments=(file,) if file else (),
            shared_account=account.number == "own" and message.chat_kind != "self",
        )

    async def who(self, named: Who, account: Account) -> Known:
        """Give all names of a chat or a person that an event names.

        Raises:
            NotAccepted: They can't be kept.
        """
        if account.is_me(named.id):
            return Known(account.name, account.names - {account.name})
        return await self._names.learn(named.id, named.alias)

    async def _id(self, network_id: str, sender: str, account: Account) -> str | None:
        if not network_id:
            return None
        known = account.name if account.is_me(sender) else (await self._names.find(sender)).name
        return message_id(network_id, known)

    def _calls_us(self, message: Message, account: Account) -> bool:
        # With an own number its person is mentioned, and what they have written is quoted: neither is the assistant.
        assistants = account.number == "bot"
        if assistants and any(map(account.is_me, message.mentions)):
            return True
        quoted = message.quoted
        return quoted is not None and (quoted.id in self._ours or (assistants and account.is_me(quoted.sender)))

    async def _written_down(self, file: Path) -> str:
        command = self._settings.transcribe
        if command is None:
            return ""
        try:
            async with self._at_once:
                return f"[voice note] {await transcribe(command, file, self._settings.transcribe_seconds)}"
        except NotTranscribed as error:
            self._context.log.warning("a voice note can't be written down: %s", error)
            said = f"voice notes can't be written down: {error}; mend transcribe in the table of {self._context.name}"
            await self._context.tell_owner("transcribe", said)
            return ""


class Hearing:
    """What one child brings, on its way to the inbox.

    Args:
        reader: Makes the core's messages.
        account: Says who we are.
        child: Is told what was delivered.
        inbox: Of the run.
        read_receipts: Whether senders are told that a message was read.
    """

    def __init__(
        self, reader: Reader, account: Callable[[], Account], child: ChildProcess, inbox: Inbox, *, read_receipts: bool
    ) -> None:
        self._reader, self._account, self._child, self._inbox = reader, account, child, inbox
        self._read_receipts = read_receipts
        self._lanes: dict[str, deque[Brought]] = {}
        self._waiting = 0
        self._done: list[int] = []
        self._moved = anyio.Event()

    @property
    def busy(self) -> bool:
        """Whether messages are being taken."""
        return bool(self._waiting or self._done)

    async def take(self, brought: Brought, tasks: TaskGroup) -> None:
        """Put a message into the lane of its chat; waits while too many wait.

        Args:
            brought: It.
            tasks: Where lanes live.

        Raises:
            NotAccepted: Who is who can't be kept.
        """
        account = self._account()
        if not self._reader.concerns_us(brought.message, account):
            self._acknowledge(brought)
            return
        chat = (await self._reader.who(brought.message.chat, account)).name
        while self._waiting >= MOST_WAITING:
            await self._moved.wait()
        self._waiting += 1
        if chat in self._lanes:
            self._lanes[chat].append(brought)
        else:
            self._lanes[chat] = deque([brought])
            tasks.start_soon(self._drain, chat)

    async def acknowledge(self) -> None:
        """Tell the child what was delivered, for as long as this isn't cancelled; as many at once as there are."""
        while True:
            while not self._done:
                await self._moved.wait()
            await self.flush()

    async def flush(self) -> None:
        """Tell the child what was delivered so far; that is done also where the caller is cancelled."""
        if self._done:
            numbers, self._done = tuple(self._done), []
            await self._child.send(Done(numbers=numbers))

    async def _drain(self, chat: str) -> None:
        lane = self._lanes[chat]
        while lane:
            brought = lane[0]
            await self._deliver(brought)
            lane.popleft()
            self._waiting -= 1
            self._acknowledge(brought)
        del self._lanes[chat]

    async def _deliver(self, brought: Brought) -> None:
        message = brought.message
        inbound = await self._reader.read(message, self._account())
        if inbound is None:
            return
        await self._inbox.deliver(inbound)
        if self._read_receipts and _can_be_marked_read(message):
            await self._child.send(MarkRead(chat=message.chat.id, sender=message.sender.id, id=message.id))

    def _acknowledge(self, brought: Brought) -> None:
        self._done.append(brought.number)
        self._moved.set()
        self._moved = anyio.Event()


def _can_be_marked_read(message: Message) -> bool:
    return message.event == "message" and not message.from_me and not _NO_MESSAGE.fullmatch(message.id)


def _with_our_name(text: str, message: Message, account: Account, assistant: str) -> str:
    """Show a mention of the assistant by name, and leave others as they are: WhatsApp writes digits."""
    for name in filter(account.is_me, message.mentions if account.number == "bot" else ()):
        digits = name.partition("@")[0].partition(":")[0]
        text = re.sub(rf"@{re.escape(digits)}(?![0-9])", lambda _: f"@{assistant}", text)
    return text


def _time(seconds: float) -> datetime | None:
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(seconds, UTC)
    return None
