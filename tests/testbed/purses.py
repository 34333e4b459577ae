"""Chats that are paid by several accounts: purses that get lost, run dry or break, and their server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio

from nanokimi_core import (
    AgentError,
    AgentEvent,
    AuthStatus,
    Context,
    Failure,
    Grant,
    LoginNeeded,
    Need,
    Spec,
    Text,
    Turn,
)
from nanokimi_core.conversation.accounts.standings import Standings
from nanokimi_core.testing import Bot, FakeClock, MemoryTransport
from testbed.fakes import ScriptedAuth, ScriptedBackend, ScriptedSession

BOSS = "boss"


@dataclass
class Purse(ScriptedAuth):
    """An account under test.

    Attributes:
        trouble: What its next grants raise, until it is ``None`` again.
        states: Overrides what it says of itself.
        mark: Of its grants.
        notes: How many keys it has, each with a fingerprint of its own; it gives the next one after a refusal.
        restless: It gives the next one each time.
        looks: How often it was asked how it stands.
        refused: The marks of the grants that it was told of.
    """

    trouble: BaseException | None = None
    states: AuthStatus | None = None
    mark: str = ""
    notes: int = 1
    restless: bool = False
    number: int = 0
    looks: int = 0
    refused: list[str] = field(default_factory=list)

    async def grant(self, need: Need) -> Grant:
        if self.trouble is not None:
            raise self.trouble
        grant = await super().grant(need)
        self.number += self.restless
        return replace(grant, mark=self.mark, fingerprint=f"{grant.fingerprint}-{self.number % self.notes}")

    async def rejected(self, grant: Grant, why: str) -> None:
        self.refused.append(grant.mark)
        self.number += 1
        await super().rejected(replace(grant, fingerprint=grant.fingerprint.rpartition("-")[0]), why)

    async def status(self) -> AuthStatus:
        self.looks += 1
        return self.states or await super().status()


class Bank:
    """The purses of a bot and the server behind them: a turn is answered with the payer's name and what was asked.

    Attributes:
        purses: By their instances' names, once they are made.
        refuses: What turns fail with, for each purse that the server doesn't let in.
        asked: The payer of each turn that the server has seen, in order.
        brain: The backend.
        gates: A turn whose text is here waits for it, after its first word.
        words: What is said before a refusal.
    """

    def __init__(self) -> None:
        self.purses: dict[str, Purse] = {}
        self.refuses: dict[str, AgentError] = {}
        self.asked: list[str] = []
        self.gates: dict[str, anyio.Event] = {}
        self.words = ""
        self.brain = ScriptedBackend(self._answer, needs_grant=True)

    def bot(self, folder: Path, *auth: str, clock: FakeClock | None = None, toml: dict[str, Any] | None = None) -> Bot:
        """A bot that is paid by a chain of purses; its owner sits in the chat ``boss``."""
        use = {name: {"use": "purse"} for name in ("a", "b", "c", "work", "home")}
        keys = {"auth": list(auth), "plugins": use, "owner": f"net:{BOSS}", "chats": {"net:*": {}}}
        return Bot(
            folder,
            transport=MemoryTransport(),
            backend=self.brain,
            auth=Spec("purse", self._make),
            toml=keys | (toml or {}),
            clock=clock,
        )

    def _make(self, config: Any, context: Context) -> Purse:
        return self.purses.setdefault(context.name, Purse(f"sk-canary-of-{context.name}"))

    def payer(self, session: ScriptedSession) -> str:
        """Whose key a session was entered with."""
        assert session.grant is not None
        assert session.grant.api_key is not None
        return session.grant.api_key.get_secret_value().removeprefix("sk-canary-of-")

    async def _answer(self, session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        name, text = self.payer(session), "+".join(message.text for message in turn.messages)
        self.asked.append(name)
        if name in self.refuses:
            if self.words:
                yield Text(self.words)
            raise self.refuses[name]
        yield Text(f"{name}: ")
        if text in self.gates:
            await session.wait(self.gates[text])
        yield Text(text)


def refusal(kind: Failure, **more: Any) -> AgentError:
    """What a turn fails with that is refused."""
    return AgentError(kind, f"refused for {kind.value}", remedy="mend it", **more)


def lost() -> LoginNeeded:
    """What a grant raises when somebody must log in."""
    return LoginNeeded("log in with: nanokimi auth login")


def standings(bot: Bot) -> Standings:
    """How the bot's accounts stand."""
    return bot.assistant.conversation.standings


def told_of_accounts(bot: Bot) -> list[str]:
    """What the owner's chat was told of accounts that take over and come back."""
    return [text for text in bot.network.texts(BOSS) if "My account" in text]
