"""The transport: what people write on IRC goes to the inbox, and answers go to channels and queries.

IRC knows no ids and no acknowledgements, and keeps nothing. So a line's id is made when it is read, a line that the
core could not keep is kept here and delivered in the next run, and a ``PING`` behind each line that is sent, whose
``PONG`` comes when the server has dealt with both, tells that the server has taken it.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
from anyio import to_thread
from irclib.parser import Message

from nanokimi_core import ConfigError, Context, Inbound, Inbox, NotSent, Outbound, Traits, Undeliverable
from nanokimi_transport_irc.line import LONGEST, ConnectionLost, Line, connected
from nanokimi_transport_irc.registration import Registration
from nanokimi_transport_irc.settings import Settings
from nanokimi_transport_irc.text import fold, mentions, plain, sendable

_AROUND = 172  # bytes of ":nick!user@host PRIVMSG target :" and the line's end, of the longest that networks have
_MOST_UNREAD = 1000
_MOST_ABSENT = 1000
_ABSENT = "401"
_LATER = frozenset({"263", "437", "439"})  # the server is busy, or we are too fast for it
_TARGET = re.compile(r"[#&+!][^\s,\x00-\x1f]*|[^\s,:$*@%~!\x00-\x1f][^\s,!@\x00-\x1f]*")
_GOODBYE = 1.0


@dataclass
class _Asked:
    """A question that the server is answering: what it has said since."""

    token: str
    answers: list[Message] = field(default_factory=list)
    over: anyio.Event = field(default_factory=anyio.Event)
    answered: bool = False


class Irc:
    """One nick on one network."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self.traits = Traits(
            max_text=LONGEST - _AROUND,
            measure="bytes",
            lines="one",
            markup="plain",
            per_minute=settings.per_minute,
            burst=settings.burst,
            quotes="never",
        )
        self._settings, self._context = settings, context
        self._wanted = settings.nick or re.sub(r"[^A-Za-z0-9_-]|^[0-9-]+", "", context.assistant)[:30] or "Kai"
        self._keys = {channel.partition(" ")[0]: channel.partition(" ")[2] for channel in settings.channels}
        self._line: Line | None = None
        self._nick = self._wanted
        self._casemapping, self._kinds = "rfc1459", "#&+!"
        self._inside: set[str] = set()
        self._tokens = itertools.count()
        self._asking = anyio.Lock()
        self._asked: deque[_Asked] = deque()
        self._unread: deque[Inbound] = deque()
        self._moved = anyio.Event()
        self._absent: OrderedDict[str, float] = OrderedDict()

    async def run(self, inbox: Inbox) -> None:
        """Be on the network.

        Raises:
            ConnectionLost: The server is away, hung up, or fell silent.
            ConfigError: It refuses the nick or the password.
        """
        async with connected(self._settings) as line:
            await self._register(line)
            self._line = line
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._read, line)
                    tasks.start_soon(self._watch, line)
                    tasks.start_soon(self._deliver, inbox)
                    await self._settle_in(inbox)
            finally:
                self._line = None
                self._inside.clear()
                for asked in self._asked:
                    asked.over.set()
                self._asked.clear()
                with suppress(ConnectionError):
                    await line.write("QUIT", within=_GOODBYE)

    async def send(self, message: Outbound) -> None:
        """Say a line; returns when the server has dealt with it.

        Raises:
            NotSent: There is no connection, we are not in the channel at the moment, or nobody has that nick now.
            Undeliverable: The server refuses it.
            ConnectionLost: The connection broke before the server's answer.
        """
        if not _TARGET.fullmatch(message.chat):
            raise Undeliverable(f"{message.chat!r} is no channel and no nick")
        ours = {self._fold(channel) for channel in self._keys}
        if message.chat in ours and message.chat not in self._inside:
            raise NotSent(f"not in {message.chat} at the moment")
        text = sendable(message.text)
        for answer in await self._ask("PRIVMSG", message.chat, text):
            if answer.command in _LATER:
                raise NotSent(_said(answer), retry_after=timedelta(seconds=self._settings.retry))
            if answer.command == _ABSENT:
                self._wait_for(message)
            if answer.command[:1] in ("4", "5"):
                raise Undeliverable(_said(answer))
        self._absent.pop(message.key, None)

    async def members(self, chat: str) -> Sequence[str]:
        """Name those who are in a channel."""
        if not self._is_channel(chat):
            return [chat]
        lists = [answer.parameters for answer in await self._ask("NAMES", chat) if answer.command == "353"]
        names = {name.lstrip("~&@%+") for said in lists if said for name in said[-1].split()}
        return sorted(names - {self._nick})

    # -------------------------------------------------------------- coming and staying
    async def _register(self, line: Line) -> None:
        password = self._settings.password
        secret = await to_thread.run_sync(password.read) if password else None
        registration = Registration(self._settings, self._wanted, secret)
        with anyio.move_on_after(self._settings.patience) as limit:
            for command in registration.begin():
                await line.write(*command)
            while not registration.done:
                for command in registration.hear(await line.next()):
                    await line.write(*command)
        if limit.cancelled_caught:
            host, port = self._settings.address
            raise ConnectionLost(f"{host}:{port} did not let us in within {self._settings.patience:g} s")
        self._nick = registration.nick

    async def _settle_in(self, inbox: Inbox) -> None:
        """Log in and join; from then on, mend what isn't as it should be: a channel that we're not in, another nick."""
        if self._settings.password and self._settings.login == "nickserv":
            secret = await to_thread.run_sync(self._settings.password.read)
            account = self._settings.account or self._wanted
            refused = _refusal(
                await self._ask("PRIVMSG", "NickServ", f"IDENTIFY {account} {secret.get_secret_value()}")
            )
            if refused is not None:
                raise ConfigError(f"NickServ can't be told the password: {_said(refused)}", remedy="set another login")
        await self._join()
        inbox.ready()
        while True:
            await anyio.sleep(self._settings.retry)
            await self._join()
            if self._fold(self._nick) != self._fold(self._wanted):
                await self._ask("NICK", self._wanted)

    async def _join(self) -> None:
        for channel, key in self._keys.items():
            if self._fold(channel) not in self._inside:
                refused = _refusal(await self._ask("JOIN", channel, *filter(None, [key])))
                if refused is not None:
                    await self._context.tell_owner(f"join {channel}", f"can't come into {channel}: {_said(refused)}")

    async def _watch(self, line: Line) -> None:
        """Ask a server that is silent whether it is there, and hang up when it isn't."""
        patience = self._settings.patience
        while True:
            await anyio.sleep(patience / 2)
            silent = anyio.current_time() - line.heard_at
            if silent > 2 * patience:
                raise ConnectionLost(f"{self._settings.server} has been silent for {silent:.0f} s")
            if silent > patience / 2:
                await line.write("PING", "there?")

    async def _ask(self, command: str, *parameters: str) -> list[Message]:
        """Give a command, and what the server says to it: all numbered messages up to the answer of a PING behind it.

        Raises:
            NotSent: There is no connection; nothing was written.
            ConnectionLost: The connection broke on the way, or the server doesn't answer.
        """
        line = self._line
        if line is None:
            raise NotSent(f"not connected to {self._settings.server}")
        asked = _Asked(f"nanokimi{next(self._tokens)}")
        async with self._asking:
            self._asked.append(asked)  # it stays there where this is cancelled: what the server says to it is its own
            await line.write(command, *parameters)
            await line.write("PING", asked.token)
        with anyio.move_on_after(self._settings.patience):
            await asked.over.wait()
        if not asked.answered:
            await line.close()
            raise ConnectionLost(f"{self._settings.server} did not confirm {command}")
        return asked.answers

    # -------------------------------------------------------------- hearing
    async def _read(self, line: Line) -> None:
        while True:
            message = await line.next()
            if message.command == "PING":
                await line.write("PONG", *message.parameters[-1:])
            elif message.command == "ERROR":
                raise ConnectionLost(f"{self._settings.server} hung up: {_said(message)}")
            self._hear(message)
            while len(self._unread) >= _MOST_UNREAD:
                await self._moved.wait()

    def _hear(self, message: Message) -> None:
        said = message.parameters
        if message.command == "PONG":
            self._conclude(said[-1] if said else "")
        elif self._asked and message.command.isdigit():
            self._asked[0].answers.append(message)
        if message.command == "PRIVMSG" and len(said) > 1 and message.prefix:
            self._hear_text(message, message.prefix.nick, said[0], said[1])
        elif message.command == "005":
            self._note_support(said)
        elif message.command in ("JOIN", "PART", "KICK", "NICK") and said:
            self._hear_of_us(message)

    def _conclude(self, token: str) -> None:
        """Note that the server has dealt with a question, and so with those before it."""
        while any(asked.token == token for asked in self._asked):
            asked = self._asked.popleft()
            asked.answered = True
            asked.over.set()

    def _hear_text(self, message: Message, nick: str, target: str, said: str) -> None:
        sender, text = self._fold(nick), plain(said, nick)
        group = self._is_channel(target)
        if text is None or not sender or self._is_me(nick) or not (group or self._is_me(target)):
            return
        chat, called = (self._fold(target), target) if group else (sender, nick)
        self._unread.append(
            Inbound(
                id=message.message_id or uuid.uuid4().hex,
                chat=chat,
                sender=sender,
                text=text,
                sender_name=nick,
                chat_name=called,
                sender_aliases=frozenset({nick, str(message.prefix)}) - {sender},
                chat_aliases=frozenset({called}) - {chat},
                kind="group" if group else "direct",
                mentions_me=mentions(text, {self._fold(self._nick), self._fold(self._wanted)}, self._casemapping),
            )
        )
        self._move()

    def _hear_of_us(self, message: Message) -> None:
        said, who = message.parameters, message.prefix.nick if message.prefix else ""
        if message.command == "KICK":
            if len(said) > 1 and self._is_me(said[1]):
                self._inside.discard(self._fold(said[0]))
        elif not self._is_me(who):
            return
        elif message.command == "NICK":
            self._nick = said[0]
        elif message.command == "JOIN":
            self._inside.add(self._fold(said[0]))
        else:
            self._inside.discard(self._fold(said[0]))

    def _note_support(self, said: Sequence[str]) -> None:
        tokens = dict(token.partition("=")[::2] for token in said)
        self._casemapping = tokens.get("CASEMAPPING", self._casemapping).lower()
        self._kinds = tokens.get("CHANTYPES", self._kinds)

    async def _deliver(self, inbox: Inbox) -> None:
        """Deliver in order. What could not be kept stays first in line, for the next run: nobody brings it again."""
        while True:
            while not self._unread:
                await self._moved.wait()
            await inbox.deliver(self._unread[0])
            self._unread.popleft()
            self._move()

    # -------------------------------------------------------------- small things
    def _wait_for(self, message: Outbound) -> None:
        """Let an answer wait a while for somebody who isn't there, as after a netsplit."""
        now = anyio.current_time()
        since = self._absent.setdefault(message.key, now)
        if now - since < self._settings.absence:
            if len(self._absent) > _MOST_ABSENT:
                self._absent.popitem(last=False)
            wait = min(self._settings.retry, self._settings.absence)
            raise NotSent(f"{message.chat} isn't on the network", retry_after=timedelta(seconds=wait))
        del self._absent[message.key]

    def _move(self) -> None:
        self._moved.set()
        self._moved = anyio.Event()

    def _fold(self, name: str) -> str:
        return fold(name, self._casemapping)

    def _is_me(self, nick: str) -> bool:
        return self._fold(nick) == self._fold(self._nick)

    def _is_channel(self, name: str) -> bool:
        return name[:1] in self._kinds and name != ""


def _refusal(answers: Sequence[Message]) -> Message | None:
    return next((answer for answer in answers if answer.command[:1] in ("4", "5")), None)


def _said(message: Message) -> str:
    return sendable(message.parameters[-1]) if message.parameters else message.command
