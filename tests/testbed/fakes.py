"""Scripted plugins for the tests of the core: real objects that do as they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import anyio
from pydantic import SecretStr

from nanokimi_core import (
    AgentEvent,
    AuthStatus,
    Chat,
    Context,
    Grant,
    Inbound,
    Inbox,
    LoginNeeded,
    Need,
    Outbound,
    Receipt,
    Session,
    Spec,
    Text,
    Thought,
    Turn,
    hookimpl,
)
from nanokimi_core.config import Location, Settings
from nanokimi_core.plugins import Plugin, PluginHost, installed
from nanokimi_core.runtime import Assistant
from nanokimi_core.store.sqlite import SqliteStore

ARRIVED = ("duplicate", "refused_chat", "refused_sender", "refused_cap", "refused_own", "accepted")
ENDED = ("context", "answered", "command", "cancelled", "edit", "pending", "dead")
NEED = Need("fake", PurePosixPath("/home/node/.fake"), (1000, 1000))


class MemoryTransport:
    """A chat network in memory: ``say`` puts a message in, ``sent`` holds what came out."""

    def __init__(self, config: Any = None, context: Context | None = None) -> None:
        self.attempts: list[Outbound] = []
        self.sent: list[Outbound] = []
        self.drafts: list[Outbound] = []
        self.fail: list[Exception] = []
        self.runs = 0
        self.said = 0
        self.connected = anyio.Event()
        self.inbox: Inbox | None = None
        self._changed = anyio.Event()

    async def run(self, inbox: Inbox) -> None:
        self.runs += 1
        self.inbox = inbox
        inbox.ready()
        self.connected.set()
        await anyio.sleep_forever()

    async def send(self, message: Outbound) -> Receipt | None:
        self.attempts.append(message)
        if self.fail:
            raise self.fail.pop(0)
        return self.accept(message)

    def accept(self, message: Outbound) -> Receipt | None:
        """Show a message in its chat."""
        self.sent.append(message)
        self._changed.set()
        return None

    def texts(self, chat: str) -> list[str]:
        """Give what a chat has been shown."""
        return [message.text for message in self.sent if message.chat == chat]

    async def say(self, text: str, chat: str = "desk", number: str | None = None, **more: Any) -> None:
        """Deliver a message, each with an id of its own unless ``number`` gives one."""
        await self.connected.wait()
        assert self.inbox is not None
        self.said += 1
        told = {"sender": "ana", "sender_name": "Ana"} | more
        await self.inbox.deliver(Inbound(number or str(self.said), chat, text=text, **told))

    async def until_sent(self, count: int) -> list[str]:
        with anyio.fail_after(10):
            while len(self.sent) < count:
                self._changed = anyio.Event()
                await self._changed.wait()
        return [message.text for message in self.sent]


class DraftingTransport(MemoryTransport):
    """Shows drafts and typing as well."""

    def __init__(self, config: Any = None, context: Context | None = None) -> None:
        super().__init__(config, context)
        self.typed: list[bool] = []

    async def draft(self, message: Outbound) -> None:
        self.drafts.append(message)

    async def typing(self, chat: str, on: bool) -> None:
        self.typed.append(on)


Answer = Callable[["ScriptedSession", Turn], AsyncIterator[AgentEvent]]


async def counting(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
    """Answer with the number of the turn in this conversation, and what was said."""
    session.backend.memory[session.chat.id] = session.backend.memory.get(session.chat.id, 0) + 1
    yield Text(f"{session.backend.memory[session.chat.id]}: ")
    yield Text(turn.messages[-1].text)


@dataclass
class ScriptedSession:
    """A session that answers by the backend's script."""

    backend: ScriptedBackend
    chat: Chat
    grant: Grant | None
    cancelled: anyio.Event = field(default_factory=anyio.Event)

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.backend.prompts.append((self.chat.id, turn))
        self.cancelled = anyio.Event()
        async for event in self.backend.answer(self, turn):
            yield event

    async def cancel(self) -> None:
        self.cancelled.set()


@dataclass
class ScriptedBackend:
    """A backend that records what is asked of it; ``answer`` can be exchanged."""

    answer: Answer = counting
    needs_grant: bool = False
    fail_to_enter: list[BaseException] = field(default_factory=list)
    prompts: list[tuple[str, Turn]] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    chats: dict[str, Chat] = field(default_factory=dict)
    up: int = 0
    most_up: int = 0

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        if self.fail_to_enter:
            raise self.fail_to_enter.pop(0)
        grant = await chat.auth.grant(NEED) if self.needs_grant else None
        self.chats[chat.id] = chat
        self.events.append(f"enter {chat.id}")
        self.up += 1
        self.most_up = max(self.most_up, self.up)
        try:
            yield ScriptedSession(self, chat, grant)
        finally:
            self.up -= 1
            self.events.append(f"leave {chat.id}")

    async def forget(self, chat: Chat) -> None:
        self.events.append(f"forget {chat.id}")
        self.memory.pop(chat.id, None)


@dataclass
class ScriptedAuth:
    """An account whose key can change or get lost."""

    key: str | None = "sk-canary-in-the-tests"
    rejections: list[str] = field(default_factory=list)
    grants: int = 0

    async def grant(self, need: Need) -> Grant:
        if self.key is None:
            raise LoginNeeded("log in with: nanokimi auth set-key")
        self.grants += 1
        return Grant("kimi", "http://127.0.0.1/v1", "model", 1000, f"fp-{self.key[-2:]}", SecretStr(self.key))

    async def rejected(self, grant: Grant, why: str) -> None:
        self.rejections.append(why)

    async def status(self) -> AuthStatus:
        return AuthStatus("ok" if self.key else "login_needed")


async def slow(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
    """Say something, then wait to be cancelled."""
    yield Text("I am thinking")
    await session.cancelled.wait()


async def joining(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
    """Answer with what was asked."""
    yield Text("+".join(message.text for message in turn.messages))


class Gated(ScriptedBackend):
    """Answers with what was asked, each turn once it is let through."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.gates: list[anyio.Event] = []
        self.free = False

    async def _answer(self, session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if not self.free:
            gate = anyio.Event()
            self.gates.append(gate)
            await gate.wait()
        async for event in joining(session, turn):
            yield event

    def let_all(self) -> None:
        """Let through what waits and what comes."""
        self.free = True
        for gate in self.gates:
            gate.set()


async def mute(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
    yield Thought("nothing comes to my mind")


def failing(*errors: BaseException) -> ScriptedBackend:
    """A backend whose next turns raise these, and then answer."""
    left = list(errors)

    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if left:
            raise left.pop(0)
        yield Text("fine")

    return ScriptedBackend(answer)


def plugin(name: str, module: object, distribution: str | None = None) -> Plugin:
    """Make an installed plugin out of a module or any object with hooks."""
    return Plugin(name, distribution or f"dist-{name}", "1.0", lambda: module)


def providing(**specs: Iterable[Spec[Any]]) -> ModuleType:
    """Make a module with hooks: ``providing(transports=[Spec(…)])``."""
    module = ModuleType("made_by_a_test")
    for kind, listed in specs.items():
        setattr(module, f"nanokimi_{kind}", _hook(f"nanokimi_{kind}", list(listed)))
    return module


def _hook(name: str, specs: list[Spec[Any]]) -> Any:
    def hook() -> list[Spec[Any]]:
        return specs

    hook.__name__ = name
    return hookimpl(hook)


@dataclass
class Bench:
    """An assistant on scripted plugins: a transport ``net``, a backend ``brain``, an account ``purse``."""

    assistant: Assistant
    net: MemoryTransport
    brain: ScriptedBackend
    purse: ScriptedAuth

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.assistant.run)
                await self.net.connected.wait()
                yield self
                self.assistant.stop()

    @asynccontextmanager
    async def crashing(self) -> AsyncIterator[Bench]:
        """Run it, and abandon it at the end: cancelled, without a stop."""
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.assistant.run)
                await self.net.connected.wait()
                yield self
                tasks.cancel_scope.cancel()

    async def settled(self) -> None:
        """Wait until everything is answered that can be, and sent."""
        with anyio.fail_after(10):
            await self.assistant.conversation.settled()


def sums_differ(counters: Mapping[str, int]) -> str:
    """Say how counters don't add up; nothing where they do."""
    arrived = sum(counters[name] for name in ARRIVED)
    ended = sum(counters[name] for name in ENDED)
    if (counters["received"], counters["accepted"]) == (arrived, ended):
        return ""
    return f"received {arrived}, accepted {ended} in {dict(counters)}"


def check_sums(folder: Path) -> None:
    """Check the counters of every store beneath a folder; nothing may have it open."""

    async def counters(path: Path) -> Mapping[str, int]:
        async with SqliteStore(path) as store:
            return await store.counters()

    for path in folder.rglob("nanokimi.db"):
        assert not sums_differ(anyio.run(counters, path))


def bench(
    folder: Path, toml: dict[str, Any] | None = None, *, net: Any = None, brain: Any = None, purse: Any = None
) -> Bench:
    """Put an assistant on scripted plugins together."""
    net, brain, purse = net or MemoryTransport(), brain or ScriptedBackend(), purse or ScriptedAuth()
    modules = {
        "net": providing(transports=[Spec("net", lambda config, context: net)]),
        "brain": providing(backends=[Spec("brain", lambda config, context: brain)]),
        "purse": providing(auths=[Spec("purse", lambda config, context: purse)]),
    }
    plain = {"transports": ["net"], "backend": "brain", "auth": "purse", "chats": {"net:*": {}}}
    settings = Settings.model_validate(plain | (toml or {}))
    host = PluginHost([*installed(), *(plugin(name, module) for name, module in modules.items())])
    assistant = Assistant(settings, Location(None, folder / "data"), host)
    assistant.prepare()
    return Bench(assistant, net, brain, purse)


def asked(given: Bench) -> list[str]:
    """Give what each turn was asked."""
    return ["+".join(message.text for message in turn.messages) for _, turn in given.brain.prompts]


def context(given: Bench, turn: int = -1) -> list[tuple[str, str]]:
    """Give the context of a turn, as (event, text)."""
    return [(message.event, message.text) for message in given.brain.prompts[turn][1].context]


async def until(done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(10):
        while not done():
            await anyio.sleep(0.001)


async def until_prompted(given: Bench, count: int) -> None:
    with anyio.fail_after(5):
        while len(given.brain.prompts) < count:
            await anyio.sleep(0.001)
