"""From the core's outbox to the child: one network message for each part, and what came of it in the core's words."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import timedelta

import anyio

from nanokimi_core import Context, NotSent, Outbound, Receipt, Traits, Undeliverable
from nanokimi_transport_whatsapp.identity import Account, message_id, parts_of_id
from nanokimi_transport_whatsapp.names import Names
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.supervision import ChildProcess
from nanokimi_transport_whatsapp.values import Answer, File, Send
from nanokimi_transport_whatsapp.words import plain

LONGEST_CAPTION = 1000
"""Characters of a text that goes along with its file, in one message."""

MOST_TEXT = 4000

_REACH_OUT = 463
_MOST_REMEMBERED = 10_000
_MINUTE = 60.0
_LONGEST_REST = 5.0
_CHAT = re.compile(r"[0-9A-Za-z._:-]{1,64}@[a-z.]{1,32}")


class OutcomeUnknown(RuntimeError):
    """It may have been sent: the child ended before it could say, or the server didn't answer it."""


def traits_of(settings: Settings) -> Traits:
    """Say what the network can take, so that never more than ``per_minute`` messages go out within 60 seconds.

    A burst of ``b`` and a pace of ``p`` a minute let through ``b - 1 + p`` in the minute that begins with the burst.
    """
    burst = max(settings.per_minute // 2, min(settings.burst, settings.per_minute))
    return Traits(
        max_text=MOST_TEXT,
        markup="whatsapp",
        quotes="group",
        concurrent_sends=True,
        per_minute=settings.per_minute - (burst - 1),
        burst=burst,
        per_minute_chat=settings.per_minute_chat,
        burst_chat=settings.burst,
    )


class Pace:
    """Counts what goes out, for messages that come in several parts: the core paces only the first.

    Args:
        most: Within any 60 seconds.
    """

    def __init__(self, most: int) -> None:
        self._sent: deque[float] = deque(maxlen=most)

    async def wait(self) -> None:
        """Wait for a moment; count one.

        Raises:
            NotSent: It would be a long wait.
        """
        while len(self._sent) == self._sent.maxlen and (rest := self._sent[0] + _MINUTE - anyio.current_time()) > 0:
            if rest > _LONGEST_REST:
                raise NotSent("as many messages as WhatsApp bears have gone out", retry_after=timedelta(seconds=rest))
            await anyio.sleep(rest)
        self._sent.append(anyio.current_time())


class SentIds:
    """The network's ids of what the assistant has sent; the latest 10,000."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, network_id: object) -> bool:
        return network_id in self._ids

    def add(self, network_id: str) -> None:
        """Remember one."""
        self._ids[network_id] = None
        if len(self._ids) > _MOST_REMEMBERED:
            self._ids.popitem(last=False)


class Outgoing:
    """Sends.

    Args:
        settings: The instance's.
        context: Who is told of refusals that concern the account.
        names: Who is who, and which chats have written.
        account: Says who we are.
        ours: Where the network's ids are noted.
    """

    def __init__(
        self, settings: Settings, context: Context, names: Names, account: Callable[[], Account], ours: SentIds
    ) -> None:
        self._settings, self._context, self._names = settings, context, names
        self._account, self._ours = account, ours
        self._pace = Pace(settings.per_minute)

    async def send(self, message: Outbound, child: ChildProcess) -> Receipt:
        """Send a message, in as many parts as it takes, each under a key of its own.

        Raises:
            NotSent: Certainly not sent, or not all of it; what was sent is not sent again.
            Undeliverable: It will never be accepted.
            OutcomeUnknown: It may have been sent.
        """
        if not _CHAT.fullmatch(message.chat):
            raise Undeliverable(f"{plain(message.chat)!r} is no chat of WhatsApp's")
        chat = (await self._names.find(message.chat)).name
        await self._may_write_to(chat)
        reply_to, reply_sender = parts_of_id(message.reply_to or "")
        first = ""
        for number, (text, file) in enumerate(parts(message)):
            part = Send(
                request=0,
                key=f"{message.key}#{number}" if number else message.key,
                chat=chat,
                text=text,
                file=file,
                reply_to="" if number else reply_to,
                reply_sender="" if number else reply_sender,
            )
            await self._pace.wait()
            answer = await child.ask(part)
            await self._check(answer)
            self._ours.add(answer.network_id)
            first = first or answer.network_id
        return Receipt(message_id(first, self._account().name) if first else None)

    async def _may_write_to(self, chat: str) -> None:
        account = self._account()
        if not self._settings.reply_only or (account.is_me(chat) and account.has_self_chat):
            return
        if not await self._names.has_written(chat):
            raise Undeliverable(
                "nobody has written in this chat yet, and WhatsApp bans accounts that write first; reply_only = false "
                f"in the table of {self._context.name} allows it"
            )

    async def _check(self, answer: Answer) -> None:
        said = plain(answer.said) or answer.error
        if answer.code == _REACH_OUT:
            await self._context.tell_owner(
                "reach-out",
                f"WhatsApp doesn't let this account write to new people for now (error {_REACH_OUT}); those who have "
                "written before can still be answered",
            )
        match answer.error:
            case "":
                return
            case "later":
                raise NotSent(said, retry_after=timedelta(seconds=answer.seconds) if answer.seconds else None)
            case "away" | "failed":
                raise NotSent(said)
            case "refused" | "held":
                raise Undeliverable(f"{said} (error {answer.code})" if answer.code else said)
            case "unknown":
                raise OutcomeUnknown(said)


def parts(message: Outbound) -> list[tuple[str, File | None]]:
    """Part a message into network messages: the text, or a file with or without its caption."""
    files = [File(path=str(each.path), name=each.name, media_type=each.media_type) for each in message.attachments]
    captioned = len(files) == 1 and not files[0].media_type.startswith("audio/")
    if captioned and len(message.text) <= LONGEST_CAPTION:
        return [(message.text, files[0])]
    text: list[tuple[str, File | None]] = [(message.text, None)] if message.text or not files else []
    return [*text, *(("", file) for file in files)]
