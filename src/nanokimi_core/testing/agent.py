"""A backend that answers by a script, and notes what it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

import anyio

from nanokimi_core.contracts.auth import Grant, Need
from nanokimi_core.contracts.backend import AgentEvent, Chat, Session, Text, Thought, ToolCall, Turn, Usage
from nanokimi_core.errors import AgentError, Failure
from nanokimi_core.messages import Inbound

NEED = Need("scripted", PurePosixPath("/home/node/.scripted"), (1000, 1000))
_EVENTS = (Text, Thought, ToolCall, Usage)

Answer = Callable[["ScriptedSession", Turn], AsyncIterator[AgentEvent]]
"""A script: an async generator function that is asked for each turn's events."""

Step = str | AgentEvent | timedelta | anyio.Event | BaseException
"""A piece of a scripted turn: a text or another event, a time or an event to wait for, or what is raised."""


async def counting(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
    """Answer with the number of the turn in this conversation, and what was said: ``1: hello``."""
    yield Text(f"{session.number(turn)}: ")
    yield Text(turn.messages[-1].text)


async def joining(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
    """Answer with what was asked: ``hello+are you there?``."""
    yield Text("+".join(message.text for message in turn.messages))


async def recalling(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
    """Answer with all that was said in this conversation, a line each."""
    yield Text("\n".join(message.text for each in session.remembered(turn) for message in each.messages))


async def slow(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
    """Say something, then wait to be cancelled."""
    yield Text("I am thinking")
    await session.cancelled.wait()


async def mute(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
    """Think, and say nothing."""
    yield Thought("nothing comes to my mind")


def script(*turns: Step | Sequence[Step], then: Answer = counting) -> Answer:
    """Make a script of a list: each turn takes the next entry.

    Args:
        turns: Each a step, or several: ``"hello"``, ``AgentError(…)``, ``["well", timedelta(seconds=5), "no"]``.
        then: Answers when the list is used up.

    Raises:
        TypeError: Something is no step.
    """
    left: list[Sequence[Step]] = [[turn] if isinstance(turn, _STEPS) else list(turn) for turn in turns]
    for step in (step for steps in left for step in steps):
        if not isinstance(step, _STEPS):
            raise TypeError(f"{step!r} is no step of a script: give a text, an event, a timedelta or an exception")

    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if not left:
            async with aclosing(_closable(then(session, turn))) as events:
                async for event in events:
                    yield event
            return
        for step in left.pop(0):
            if session.cancelled.is_set():
                return
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, timedelta):
                await session.pause(step.total_seconds())
            elif isinstance(step, anyio.Event):
                await session.wait(step)
            else:
                yield Text(step) if isinstance(step, str) else step

    return answer


_STEPS = (str, *_EVENTS, timedelta, anyio.Event, BaseException)


def failing(*errors: BaseException) -> ScriptedBackend:
    """Make a backend whose next turns raise these, and which then answers ``fine``."""

    async def fine(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text("fine")

    return ScriptedBackend(script(*errors, then=fine))


@dataclass
class ScriptedSession:
    """A session that answers by the backend's script.

    Attributes:
        backend: Whose it is.
        chat: Of it.
        grant: What the chat's account gave when it was entered; ``None`` where it needs none.
        cancelled: Set when the running turn is stopped.
    """

    backend: ScriptedBackend
    chat: Chat
    grant: Grant | None
    cancelled: anyio.Event = field(default_factory=anyio.Event)

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Answer by the script, until it ends or the turn is stopped. The account hears of a refused grant."""
        self.backend.prompts.append((self.chat.id, turn))
        self.backend.memory.setdefault(self.chat.id, {})[turn.id] = turn
        self.cancelled = anyio.Event()
        try:
            async with aclosing(_closable(self.backend.answer(self, turn))) as events:
                async for event in events:
                    if self.cancelled.is_set():
                        return
                    yield event
        except AgentError as error:
            if error.kind in (Failure.CREDENTIALS, Failure.QUOTA) and self.grant is not None:
                await self.chat.auth.rejected(self.grant, str(error))
            raise

    async def cancel(self) -> None:
        """Stop the running turn."""
        self.cancelled.set()

    async def pause(self, seconds: float) -> None:
        """Wait in a script; shorter where the turn is stopped."""
        with anyio.move_on_after(seconds):
            await self.cancelled.wait()

    async def wait(self, event: anyio.Event) -> None:
        """Wait in a script for an event, or for the turn to be stopped."""
        async with anyio.create_task_group() as tasks:

            async def stopped() -> None:
                await self.cancelled.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(stopped)
            await event.wait()
            tasks.cancel_scope.cancel()

    def remembered(self, turn: Turn) -> list[Turn]:
        """Give the turns of this conversation up to this one; one that is tried again stands there once."""
        return list(self.backend.memory.get(self.chat.id, {turn.id: turn}).values())

    def number(self, turn: Turn) -> int:
        """Give the number of a turn in this conversation, from 1."""
        return list(self.backend.memory.get(self.chat.id, {turn.id: turn})).index(turn.id) + 1


@dataclass
class ScriptedBackend:
    """A backend that answers by a script, and notes what is asked of it. What it knows lives as long as this object.

    Attributes:
        answer: Answers a turn: a function, or what ``script`` makes of a list; can be exchanged.
        needs_grant: Whether a session asks the chat's account for a grant when it is entered.
        fail_to_enter: What the next entering of sessions raises, one each.
        prompts: The turns that were asked, each with its chat's id.
        memory: Of each chat, the turns of its conversation by their ids.
        events: ``enter CHAT``, ``leave CHAT`` and ``forget CHAT``, in order.
        chats: As they were entered, by their ids.
        up: Sessions that are entered.
        most_up: The most that were at one time.
    """

    answer: Answer = counting
    needs_grant: bool = False
    fail_to_enter: list[BaseException] = field(default_factory=list)
    prompts: list[tuple[str, Turn]] = field(default_factory=list)
    memory: dict[str, dict[str, Turn]] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    chats: dict[str, Chat] = field(default_factory=dict)
    up: int = 0
    most_up: int = 0

    @property
    def asked(self) -> list[str]:
        """What each turn was asked, its messages joined by ``+``."""
        return ["+".join(message.text for message in turn.messages) for _, turn in self.prompts]

    @property
    def messages(self) -> list[Inbound]:
        """All messages that were asked, in order."""
        return [message for _, turn in self.prompts for message in turn.messages]

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        """Give a chat's session.

        Raises:
            LoginNeeded: It needs a grant, and the chat's account gives none.
            BaseException: As it was told to fail.
        """
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
        """Let the chat's conversation start anew."""
        self.events.append(f"forget {chat.id}")
        self.memory.pop(chat.id, None)


class Gated(ScriptedBackend):
    """A backend that answers with what was asked, each turn once it is let through.

    Attributes:
        gates: Of the turns that have come so far; set one to let that turn through.
    """

    def __init__(self) -> None:
        super().__init__(self._gated)
        self.gates: list[anyio.Event] = []
        self.free = False

    async def _gated(self, session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if not self.free:
            gate = anyio.Event()
            self.gates.append(gate)
            await gate.wait()
        async with aclosing(_closable(joining(session, turn))) as events:
            async for event in events:
                yield event

    def let_all(self) -> None:
        """Let through what waits and what comes."""
        self.free = True
        for gate in self.gates:
            gate.set()


def _closable(events: AsyncIterator[AgentEvent]) -> Any:
    return events if hasattr(events, "aclose") else _iterated(events)


async def _iterated(events: AsyncIterator[AgentEvent]) -> AsyncIterator[AgentEvent]:
    async for event in events:
        yield event
