"""A bot whose account logs in by a code, an owner who sits in the chat ``boss``, and what they see."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio

from nanokimi_core import AuthStatus, LoginNeeded, Need, NotSent, Outbound, Receipt, ShowCode, Spec
from nanokimi_core.contracts.auth import Grant
from nanokimi_core.testing import Bot, FakeClock, MemoryTransport
from testbed.fakes import ScriptedAuth, ScriptedBackend, joining, until

BOSS = "boss"
PAGE = "http://127.0.0.1/login"
_CODE = re.compile(r"^([0-9a-f]{8})$", re.MULTILINE)


@dataclass
class Member(ScriptedAuth):
    """An account that logs in by a code.

    Attributes:
        begun: How many logins have begun.
        ended: How many of them are over.
        trouble: What grants raise in place of ``LoginNeeded``.
        details: Of its status.
        remedy: Of its status when it works.
        lasting: A login never ends by itself.
        welcome: Seconds between a login's being made and its end.
    """

    begun: int = 0
    ended: int = 0
    trouble: LoginNeeded | None = None
    details: dict[str, str] = field(default_factory=dict)
    remedy: str = ""
    lasting: bool = False
    welcome: float = 0

    async def grant(self, need: Need) -> Grant:
        if self.trouble is not None:
            raise self.trouble
        return await super().grant(need)

    async def status(self) -> AuthStatus:
        status = await super().status()
        return AuthStatus(status.state, status.who, remedy=status.remedy or self.remedy, details=self.details)

    async def login(self) -> AsyncIterator[ShowCode | AuthStatus]:
        self.begun += 1
        try:
            inner: Any = super().login()
            async with aclosing(inner) as events:
                async for event in events:
                    if isinstance(event, AuthStatus):
                        await anyio.sleep(self.welcome)
                    yield event
                    if self.lasting:
                        await anyio.sleep_forever()
        finally:
            self.ended += 1


class Busy(MemoryTransport):
    """A transport whose network doesn't take what goes to some chats.

    Attributes:
        busy: These chats.
    """

    def __init__(self) -> None:
        super().__init__()
        self.busy: set[str] = set()

    async def send(self, message: Outbound) -> Receipt | None:
        if message.chat in self.busy:
            self.attempts.append(message)
            raise NotSent("busy", retry_after=timedelta(minutes=2))
        return await super().send(message)


def bot_of(folder: Path, account: Any, *, clock: FakeClock | None = None, **toml: Any) -> Bot:
    """A bot that needs a grant for each turn and answers with what it was asked; its owner sits in ``boss``."""
    keys = {"owner": f"net:{BOSS}", "chats": {"net:*": {}}} | toml
    return Bot(
        folder,
        transport=Busy(),
        backend=ScriptedBackend(joining, needs_grant=True),
        auth=account,
        toml={name: value for name, value in keys.items() if value is not None},
        clock=clock,
    )


def clubs(members: dict[str, Any]) -> Spec[Any]:
    """An auth plugin ``club``, each of whose instances has an object of its own."""
    return Spec("club", lambda config, context: members[context.name])


def codes(bot: Bot, chat: str = BOSS) -> list[str]:
    """The codes that a chat was shown, in order."""
    return [code for text in bot.network.texts(chat) for code in _CODE.findall(text)]


async def code(bot: Bot, count: int = 1, chat: str = BOSS) -> str:
    """Wait until a chat was shown so many codes, and give the last one."""
    await until(lambda: len(codes(bot, chat)) >= count)
    return codes(bot, chat)[count - 1]


async def told(bot: Bot, words: str, count: int = 1, chat: str = BOSS) -> str:
    """Wait until a chat was shown so many messages with these words, and give the last."""
    await until(lambda: sum(words in text for text in bot.network.texts(chat)) >= count)
    return [text for text in bot.network.texts(chat) if words in text][count - 1]
