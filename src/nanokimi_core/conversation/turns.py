"""One turn: from the messages to the agent's answer, within limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from logging import Logger
from typing import Any

import anyio

from nanokimi_core.config import Limits
from nanokimi_core.contracts.backend import Backend, Chat, Session, Text, Thought, ToolCall, Turn, Usage
from nanokimi_core.conversation.accounts.chain import Account, NoAccount
from nanokimi_core.conversation.sessions import SessionPool
from nanokimi_core.errors import AgentError, Failure, LoginNeeded, PluginError
from nanokimi_core.places import called
from nanokimi_core.plugins import Plugin
from nanokimi_core.supervision import fault, guarded, guarded_call, named

_ACCOUNTS = frozenset({Failure.CREDENTIALS, Failure.QUOTA})
_SPOILED = frozenset({Failure.CREDENTIALS, Failure.CRASHED, Failure.OUT_OF_MEMORY, Failure.SILENT, Failure.TOO_LONG})

_LONGEST_ANSWER = 1_000_000
_IN_A_ROW = 256  # events
_PAUSE = 0.001  # seconds; without one, threads that write to the disk hardly ever run
_STOPPING = 10.0
_FORGETTING = 60.0
_DOING = "in a turn"
_END = object()


@dataclass(frozen=True)
class Seat:
    """Where a chat's turns are done: the chat, its account and its backend."""

    chat: Chat
    account: Account
    backend_name: str
    backend: Backend
    plugin: Plugin | str = ""


class Displaced(Exception):
    """A turn made room for a newer message before its agent had heard of it: both are to be asked together."""


class Moved(Exception):
    """An account failed in the middle of an answer, and there is another one: the turn is to be asked again at once."""


@dataclass
class _Attempt:
    """A turn that runs, what was said in it, and where it is to be stopped: while the agent comes up, or in it."""

    plugin: Plugin | str
    waiting: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    session: Session | None = None
    text: str = ""
    stopped: bool = False
    by_person: bool = False


class Turns:
    """Runs turns, at most one at a time for each chat.

    Args:
        pool: Where the sessions are.
        limits: Live; of silence and time.
        log: For a backend that can't stop.
    """

    def __init__(self, pool: SessionPool, limits: Callable[[], Limits], log: Logger) -> None:
        self._pool = pool
        self._log = log
        self._limits = limits
        self._running: dict[str, _Attempt] = {}

    async def run(self, seat: Seat, turn: Turn, grown: Callable[[str], None]) -> str | None:
        """Give the agent's answer; ``None`` where it was stopped before it said anything.

        Where it was stopped by nobody in the chat (``stop(by_person=False)``), that is an empty text.

        Rejected credentials are tried once more, with a new grant, each other key of the same account is, and then the
        chain's next account, as long as nothing has been said.

        Args:
            seat: Where.
            turn: What is asked.
            grown: Called with the answer so far each time it has grown.

        Raises:
            AgentError: The turn failed.
            Displaced: It was stopped by nobody in the chat before its agent was up.
            Moved: An account failed after something had been said, and another one can be asked.
        """
        said, account = "", seat.account

        def note(text: str) -> None:
            nonlocal said
            if not said:
                account.worked()
            said = text
            grown(text)

        tried: set[str] = set()
        with account.paying():
            while True:
                try:
                    answer = await self._attempt(seat, turn, note)
                except NoAccount as none:
                    raise account.lost(none) from none
                except AgentError as error:
                    if error.kind not in _ACCOUNTS:
                        raise
                    again = error.kind is Failure.CREDENTIALS and account.payer not in tried
                    tried.add(account.payer)
                    if said or not (again or await account.has_other_credentials()):
                        self._move_on(account, error, said)
                else:
                    account.worked()
                    return answer

    def _move_on(self, account: Account, error: AgentError, said: str) -> None:
        """Return where another account of the chain can be asked in this turn.

        Raises:
            AgentError: None can.
            Moved: One can, but not in this turn, of which something has been said.
        """
        left: Sequence[str] = account.failed(error)
        if left and not said:
            return
        if left and account.usable(left):
            raise Moved from error
        none = account.none() if account.payer else error
        if isinstance(none, NoAccount):
            raise account.lost(none) from error
        raise error

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
            return True
        attempt.waiting.deadline = min(attempt.waiting.deadline, anyio.current_time() + _STOPPING)
        try:
            await guarded(attempt.session.cancel, plugin=attempt.plugin, doing="to stop a turn", within=_STOPPING)
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            said = named(attempt.plugin, "to stop a turn", error)
            self._log.warning("%s: the turn is stopped without its backend: %s", chat, said)
            attempt.waiting.cancel()
        return True

    async def forget(self, seat: Seat) -> None:
        """Let the chat's next turn start a fresh conversation.

        Raises:
            PluginError: The backend does something else than it should.
        """
        await self._pool.leave(seat.chat.id)
        forget = partial(seat.backend.forget, seat.chat)
        await guarded(forget, plugin=seat.plugin, doing=f"to forget {seat.chat.id}", within=_FORGETTING)

    async def _attempt(self, seat: Seat, turn: Turn, grown: Callable[[str], None]) -> str | None:
        chat = seat.chat.id
        attempt = self._running[chat] = _Attempt(seat.plugin)
        try:
            with attempt.waiting:
                name, backend = seat.backend_name, seat.backend
                async with self._pool.use(seat.chat, seat.account, name, backend, seat.plugin) as session:
                    attempt.session = session
                    await self._listen(session, turn, attempt, grown)
        except NoAccount:
            raise
        except LoginNeeded as error:
            raise AgentError(Failure.CREDENTIALS, str(error)) from error
        except AgentError as error:
            if error.kind in _SPOILED:
                await self._pool.leave(chat)
            raise
        finally:
            del self._running[chat]
        if attempt.waiting.cancelled_caught and attempt.session is not None:
            await self._pool.leave(chat)  # its agent didn't stop by itself, and may still be at it
        if not attempt.text.strip() and not attempt.stopped:
            raise AgentError(Failure.NO_ANSWER, "the agent ended the turn without a word")
        if attempt.text.strip():
            return attempt.text
        if attempt.by_person:
            return None
        if attempt.session is None:
            raise Displaced
        return ""

    async def _listen(self, session: Session, turn: Turn, attempt: _Attempt, grown: Callable[[str], None]) -> None:
        plugin, limits = attempt.plugin, self._limits()
        silence, time = limits.turn_silence.total_seconds(), limits.turn_time.total_seconds()
        end = anyio.current_time() + time
        events = guarded_call(lambda: _closable(session, turn), plugin=plugin, doing=_DOING)
        event: Any = None
        count = 0
        try:
            with anyio.CancelScope() as patience:  # one for all events, since a scope for each costs more than it does
                while not patience.cancel_called:
                    patience.deadline = min(anyio.current_time() + silence, end)
                    if (event := await _next(events, plugin)) is _END:
                        return
                    if not isinstance(event, (Text, Thought, ToolCall, Usage)):
                        raise _no_event(plugin, session, type(event).__name__)
                    if isinstance(event, Text):
                        if not isinstance(event.delta, str):
                            raise _no_event(plugin, session, f"a Text of {type(event.delta).__name__}")
                        self._note(attempt, event.delta)
                        grown(attempt.text)
                    if (count := count + 1) % _IN_A_ROW == 0:
                        await anyio.sleep(_PAUSE)  # a backend that never waits must not keep the others waiting
        finally:
            if event is not _END:
                await guarded(events.aclose, plugin=plugin, doing=_DOING, within=_STOPPING)
        if patience.deadline >= end:
            raise AgentError(Failure.TOO_LONG, f"the turn took longer than {time:g} s", remedy=_RAISE_TIME)
        raise AgentError(Failure.SILENT, f"the agent said nothing for {silence:g} s", remedy=_RAISE_SILENCE)

    def _note(self, attempt: _Attempt, delta: str) -> None:
        if len(attempt.text) + len(delta) > _LONGEST_ANSWER:
            raise AgentError(Failure.TOO_LONG, f"the answer is longer than {_LONGEST_ANSWER} characters")
        attempt.text += delta


_RAISE_TIME = "if that is not enough, raise turn_time in [limits]"
_RAISE_SILENCE = "look at: nanokimi debug logs; if that is not enough, raise turn_silence in [limits]"


async def _next(events: Any, plugin: Plugin | str) -> Any:
    """Give the next event, or ``_END``; a plugin can give anything."""
    try:
        return await guarded(events.__anext__, plugin=plugin, doing=_DOING)
    except StopAsyncIteration:
        return _END


def _closable(session: Session, turn: Turn) -> Any:
    events = session.prompt(turn)
    if not hasattr(events, "aclose"):
        raise TypeError(f"prompt gave {type(events).__name__}, not an async generator: {called(session.prompt)}")
    return events


def _no_event(plugin: Plugin | str, session: Session, gave: str) -> PluginError:
    said = f"its prompt gave {gave}, which is no event"
    return fault(plugin, _DOING, said, f"let {called(session.prompt)} yield Text(…), Thought, ToolCall or Usage only")
