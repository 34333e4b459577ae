"""What a plugin can do wrong in any of its coroutines, and plugins that do it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel

from nanokimi_core import AgentEvent, AuthStatus, Chat, Grant, Need, Outbound, Receipt, Session, Text, Turn
from testbed.fakes import (
    DraftingTransport,
    MemoryTransport,
    ScriptedAuth,
    ScriptedBackend,
    ScriptedSession,
)


# --------------------------------------------------------------------- what a plugin can do wrong in any coroutine
async def raises() -> None:
    raise LookupError("no such shelf")


async def exits() -> None:
    sys.exit(3)


async def interrupts() -> None:
    raise KeyboardInterrupt


async def cancels() -> None:
    """Raise a cancellation that nobody asked for."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            kept = error
            raise
    raise kept


async def exits_in_a_group() -> None:
    raise BaseExceptionGroup("unhandled errors in a TaskGroup", [SystemExit(3)])


async def fails_in_a_task() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(raises)
        await anyio.sleep_forever()


async def hangs() -> None:
    await anyio.sleep_forever()


async def clings() -> None:
    """Swallow cancellations for a while."""
    give_up = anyio.current_time() + 1
    while anyio.current_time() < give_up:
        try:
            await anyio.sleep(0.05)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
    await anyio.sleep_forever()


Fault = Callable[[], Awaitable[None]]
FAULTS: dict[str, Fault] = {
    "raises": raises,
    "exits": exits,
    "interrupts": interrupts,
    "cancels": cancels,
    "exits in a group": exits_in_a_group,
    "fails in a task": fails_in_a_task,
}


# --------------------------------------------------------------------- bad plugins
class BadRun(MemoryTransport):
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    async def run(self, inbox: Any) -> None:
        self.runs += 1
        await self.fault()


class NoRun(MemoryTransport):
    """Has a ``run`` that is no async function."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def run(self, inbox: Any) -> Any:
        self.runs += 1
        return self.value


class BadSend(MemoryTransport):
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    async def send(self, message: Outbound) -> Receipt | None:
        await self.fault()
        return "sent"  # type: ignore[return-value]


class BadShowing(DraftingTransport):
    def __init__(self, *, typing: Fault | None = None, draft: Fault | None = None) -> None:
        super().__init__()
        self.faults = typing, draft

    async def typing(self, chat: str, on: bool) -> None:
        if self.faults[0]:
            await self.faults[0]()

    async def draft(self, message: Outbound) -> None:
        if self.faults[1]:
            await self.faults[1]()


class Telling(ScriptedBackend):
    """Closes what it tells when nobody listens any more, as a generator has to; what is bad about it is its own."""

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        class Closing(ScriptedSession):
            async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
                async with aclosing(self.backend.answer(self, turn)) as events:  # type: ignore[type-var]
                    async for event in events:
                        yield event

        yield Closing(self, chat, None)


class BadEnter(ScriptedBackend):
    fault: Fault

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        await self.fault()
        yield ScriptedSession(self, chat, None)


class BadLeave(ScriptedBackend):
    fault: Fault

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        try:
            yield ScriptedSession(self, chat, None)
        finally:
            await self.fault()


class BadForget(ScriptedBackend):
    fault: Fault

    async def forget(self, chat: Chat) -> None:
        await self.fault()


class BadCancel(ScriptedBackend):
    fault: Fault

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        class Stubborn(ScriptedSession):
            async def cancel(self) -> None:
                await fault()

        fault = self.fault
        yield Stubborn(self, chat, None)


class NoSession(ScriptedBackend):
    def session(self, chat: Chat) -> Any:
        return 7


class NoPrompt(ScriptedBackend):
    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        class Odd(ScriptedSession):
            def prompt(self, turn: Turn) -> Any:
                return ["hello"]

        yield Odd(self, chat, None)


class BadGrant(ScriptedAuth):
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    async def grant(self, need: Need) -> Grant:
        await self.fault()
        return "a grant"  # type: ignore[return-value]


class BadStatus(ScriptedAuth):
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    async def status(self) -> AuthStatus:
        await self.fault()
        return "fine"  # type: ignore[return-value]


async def returns() -> None:
    """Come to an end, after which the plugin gives something else than it should."""


def bad(kind: type[ScriptedBackend], fault: Fault, **more: Any) -> ScriptedBackend:
    backend = kind(**more)
    backend.fault = fault  # type: ignore[attr-defined]
    return backend


def prompting(fault: Fault) -> ScriptedBackend:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text("well")
        await fault()

    return Telling(answer)


def yielding(*events: Any, for_ever: bool = False) -> ScriptedBackend:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        for event in events:
            yield event
        while for_ever:
            yield Text("and so on ")
            await anyio.lowlevel.checkpoint()

    return Telling(answer)


def pondering() -> ScriptedBackend:
    """Say something, and go on for a while, so that there is something to show."""

    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text("well, ")
        await anyio.sleep(0.3)
        yield Text("yes")

    return Telling(answer)
