"""One turn: from the messages to the agent's answer, within limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import anyio

from nanokimi_core.config import Limits
from nanokimi_core.contracts.backend import AgentEvent, Backend, Chat, Session, Text, Turn
from nanokimi_core.conversation.accounts import Account
from nanokimi_core.conversation.sessions import SessionPool
from nanokimi_core.errors import AgentError, Failure, LoginNeeded

_SPOILED = frozenset({Failure.CREDENTIALS, Failure.CRASHED, Failure.OUT_OF_MEMORY, Failure.SILENT, Failure.TOO_LONG})

_LONGEST_ANSWER = 1_000_000


@dataclass(frozen=True)
class Seat:
    """Where a chat's turns are done: the chat, its account and its backend."""

    chat: Chat
    account: Account
    backend_name: str
    backend: Backend


@dataclass
class _Attempt:
    """A turn that runs, and where it is to be stopped: while the agent comes up, or in its session."""

    waiting: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    session: Session | None = None
    stopped: bool = False
    by_person: bool = False


class Turns:
    """Runs turns, at most one at a time for each chat.

    Args:
        pool: Where the sessions are.
        limits: Live; of silence and time.
    """

    def __init__(self, pool: SessionPool, limits: Callable[[], Limits]) -> None:
        self._pool = pool
        self._limits = limits
        self._running: dict[str, _Attempt] = {}

    async def run(self, seat: Seat, turn: Turn, grown: Callable[[str], None]) -> str | None:
        """Give the agent's answer; ``None`` where it was stopped before it said anything.

        Where it was stopped by nobody in the chat (``stop(by_person=False)``), that is an empty text.

        Rejected credentials are tried once more, with a new grant, as long as nothing has been said.

        Args:
            seat: Where.
            turn: What is asked.
            grown: Called with the answer so far each time it has grown.

        Raises:
            AgentError: The turn failed.
        """
        said = ""

        def note(text: str) -> None:
            nonlocal said
            said = text
            grown(text)

        try:
            return await self._attempt(seat, turn, note)
        except AgentError as error:
            if error.kind is not Failure.CREDENTIALS or said:
                raise
        return await self._attempt(seat, turn, note)

    async def stop(self, chat: str, *, by_person: bool) -> bool:
        """Stop the chat's running turn; whether there was one.

        Args:
            chat: ``transport:chat``.
            by_person: Somebody has asked for it; else it makes room for what came after.
        """
        attempt = self._running.get(chat)
        if attempt is None:
            return False
        attempt.stopped = True
        attempt.by_person = attempt.by_person or by_person
        if attempt.session is None:
            attempt.waiting.cancel()
        else:
            await attempt.session.cancel()
        return True

    async def forget(self, seat: Seat) -> None:
        """Let the chat's next turn start a fresh conversation."""
        await self._pool.leave(seat.chat.id)
        await seat.backend.forget(seat.chat)

    async def _attempt(self, seat: Seat, turn: Turn, grown: Callable[[str], None]) -> str | None:
        chat = seat.chat.id
        attempt = self._running[chat] = _Attempt()
        text = ""
        try:
            with attempt.waiting:
                async with self._pool.use(seat.chat, seat.account, seat.backend_name, seat.backend) as session:
                    attempt.session = session
                    text = await self._listen(session, turn, grown)
        except LoginNeeded as error:
            raise AgentError(Failure.CREDENTIALS, str(error)) from error
        except AgentError as error:
            if error.kind in _SPOILED:
                await self._pool.leave(chat)
            raise
        finally:
            del self._running[chat]
        if not text.strip() and not attempt.stopped:
            raise AgentError(Failure.NO_ANSWER, "the agent ended the turn without a word")
        if text.strip():
            return text
        return None if attempt.by_person else ""

    async def _listen(self, session: Session, turn: Turn, grown: Callable[[str], None]) -> str:
        text = ""
        silence, time = self._limits().turn_silence.total_seconds(), self._limits().turn_time.total_seconds()
        deadline = anyio.current_time() + time
        async with aclosing(_closable(session, turn)) as events:
            while True:
                event = await self._next(events.__anext__, silence, time, deadline)
                if event is None:
                    return text
                if isinstance(event, Text):
                    text += event.delta
                    if len(text) > _LONGEST_ANSWER:
                        raise AgentError(Failure.TOO_LONG, f"the answer is longer than {_LONGEST_ANSWER} characters")
                    grown(text)

    async def _next(
        self, following: Callable[[], Awaitable[AgentEvent]], silence: float, time: float, deadline: float
    ) -> AgentEvent | None:
        wait = min(silence, deadline - anyio.current_time())
        with anyio.move_on_after(wait):
            try:
                return await following()
            except StopAsyncIteration:
                return None
        if wait < silence:
            raise AgentError(Failure.TOO_LONG, f"the turn took longer than {time:g} s", remedy=_RAISE_TIME)
        raise AgentError(Failure.SILENT, f"the agent said nothing for {silence:g} s", remedy=_RAISE_SILENCE)


_RAISE_TIME = "if that is not enough, raise turn_time in [limits]"
_RAISE_SILENCE = "look at: nanokimi debug logs; if that is not enough, raise turn_silence in [limits]"


def _closable(session: Session, turn: Turn) -> Any:
    events = session.prompt(turn)
    if not hasattr(events, "aclose"):
        raise TypeError(f"prompt gave {type(events).__name__}, not an async generator")
    return events
