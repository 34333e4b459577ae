"""A backend as a check drives it: sessions and turns in tasks of their own, as in the core, and all within time."""

from __future__ import annotations

import math
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskStatus

from nanokimi_core.contracts.backend import Backend, Chat, Session, Text, Turn
from nanokimi_core.messages import Attachment, Inbound
from nanokimi_core.testing.conformance.checks import CheckFailed, DoesNotApply, expect, in_words, saw, until, within
from nanokimi_core.testing.conformance.rigs import BackendRig

_MOST_EVENTS = 100_000
_WORDS = ("zebra", "quince", "walrus", "fennel", "gecko", "sorrel", "ibis", "medlar")


def new_word() -> str:
    """Make a word that nobody has said before."""
    return f"{secrets.choice(_WORDS)}{secrets.randbelow(900_000) + 100_000}"


def new_turn(text: str, files: Iterable[Attachment] = ()) -> Turn:
    """Make a turn of one new message."""
    number = secrets.token_hex(6)
    message = Inbound(f"message-{number}", "1", "ana", text, sender_name="Ana", attachments=tuple(files))
    return Turn(f"turn-{number}", (message,))


def single(error: BaseException) -> BaseException:
    """Take the groups off in which task groups wrap a single error."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def entered(rig: BackendRig, backend: Backend, chat: Chat) -> AsyncIterator[Session]:
    """Enter a chat's session in a task of its own, and leave it at the end, each within time.

    Raises:
        CheckFailed: It took too long.
        Exception: Whatever entering raised.
    """
    unused = anyio.Event()

    async def hold(*, task_status: TaskStatus[Session]) -> None:
        doing = "entering"
        with anyio.CancelScope(deadline=anyio.current_time() + rig.wait) as life:
            async with _manager(backend, chat) as session:
                life.deadline = math.inf
                task_status.started(session)
                try:
                    await unused.wait()
                finally:
                    doing, life.deadline = "leaving", anyio.current_time() + rig.wait
        if life.cancelled_caught:
            saw(f"{doing} the session of {chat.id} was not over after {rig.wait:g} s")

    try:
        async with anyio.create_task_group() as tasks:
            session = await tasks.start(hold)
            try:
                yield session
            finally:
                unused.set()
    except BaseExceptionGroup as group:
        raise single(group) from None


def _manager(backend: Backend, chat: Chat) -> Any:
    manager: Any = backend.session(chat)
    fitting = hasattr(manager, "__aenter__") and hasattr(manager, "__aexit__")
    expect(fitting, f"session() gave {type(manager).__name__}, which is no async context manager: {_CONTEXT}")
    return manager


_CONTEXT = "write an async def with one yield under @asynccontextmanager"


def begun(session: Session, turn: Turn) -> Any:
    """Begin a turn; the agent hasn't heard of it yet.

    Raises:
        CheckFailed: What ``prompt`` gave is no async generator.
    """
    events: Any = session.prompt(turn)
    fitting = hasattr(events, "__anext__") and hasattr(events, "aclose")
    expect(fitting, f"prompt() gave {type(events).__name__}, not an async generator: write an async def with yield")
    return events


def said(event: object) -> str:
    """Give what an event adds to the answer; what an event must be is the matter of one check only."""
    if isinstance(event, str):
        return event
    return event.delta if isinstance(event, Text) and isinstance(event.delta, str) else ""


class Running:
    """A turn that is listened to in a task of its own.

    Args:
        rig: Its rig.
        session: Where.
        turn: What is asked.
        early: It is closed in mid-answer, as soon as a piece of the answer has come and the agent stands still.

    Attributes:
        events: What came so far.
        ended: Whether it is over.
        error: What it has raised.
    """

    def __init__(self, rig: BackendRig, session: Session, turn: Turn, *, early: bool = False) -> None:
        self._rig, self._session, self._turn, self._early = rig, session, turn, early
        self._scope = anyio.CancelScope()
        self.events: list[Any] = []
        self.ended = False
        self.error: BaseException | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(map(said, self.events))

    async def run(self) -> None:
        """Listen until the end."""
        try:
            with self._scope:
                async with aclosing(begun(self._session, self._turn)) as events:
                    async for event in events:
                        self.events.append(event)
                        expect(len(self.events) < _MOST_EVENTS, f"prompt gave {_MOST_EVENTS} events, and had no end")
                        if self._early and self.text.strip():
                            await self._standing(self._rig)
                            break
        except Exception as error:  # noqa: BLE001  # a plugin boundary; what it raised is judged
            self.error = single(error)
        except BaseExceptionGroup as group:
            if not isinstance(single(group), GeneratorExit):
                raise
            self.error = single(group)
        finally:
            self.ended = True

    async def _standing(self, rig: Any) -> None:
        await until(rig.held, rig.wait, f"the agent did not stand still in its answer within {rig.wait:g} s")

    def leave_alone(self) -> None:
        """Cancel the listener."""
        self._scope.cancel()

    async def over(self, otherwise: str) -> None:
        """Wait for the end.

        Raises:
            CheckFailed: It didn't come in time.
        """
        await until(lambda: self.ended, self._rig.wait, f"{otherwise} after {self._rig.wait:g} s")


@asynccontextmanager
async def running(rig: BackendRig, session: Session, turn: Turn, *, early: bool = False) -> AsyncIterator[Running]:
    """Ask in a task of its own, which is cancelled at the end."""
    it = Running(rig, session, turn, early=early)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.run)
            yield it
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise single(group) from None


async def mid_answer(rig: Any, turn: Running) -> None:
    """Wait until the agent stands still in the middle of an answer.

    Raises:
        CheckFailed: The turn ended before.
    """

    async def standing() -> bool:
        if turn.ended:
            how = f"raised {in_words(turn.error)}" if turn.error else f'ended after "{turn.text[:80]}"'
            saw(f"the agent was to stand still in its answer, and prompt {how}")
        return bool(await rig.held())

    await until(standing, rig.wait, f"the agent did not come to the middle of an answer within {rig.wait:g} s")


async def answer(rig: BackendRig, session: Session, asked: str | Turn) -> str:
    """Ask, and give the whole answer.

    Raises:
        CheckFailed: It had no end in time.
        Exception: Whatever ``prompt`` raised.
    """
    it = Running(rig, session, asked if isinstance(asked, Turn) else new_turn(asked))
    with within(rig.wait, lambda: f'prompt had not ended after {rig.wait:g} s; it had said "{it.text[:80]}"'):
        await it.run()
    if it.error is not None:
        raise it.error
    return it.text


async def answered(rig: BackendRig, session: Session, when: str) -> None:
    """See to it that a new question is answered.

    Args:
        rig: Its rig.
        session: Where to ask.
        when: What was before, for the case that it isn't.

    Raises:
        CheckFailed: It isn't.
    """
    word = new_word()
    try:
        heard = await answer(rig, session, rig.question(word))
    except CheckFailed as failed:
        saw(f"{when}, the next question had no answer: {failed}")
    except Exception as error:  # noqa: BLE001  # a plugin boundary
        saw(f"{when}, the next question had no answer: prompt raised {in_words(error)}")
    expect(word in heard, f'{when}, the next question, "{rig.question(word)}", was answered "{heard[:200]}"')


async def knows(rig: BackendRig, session: Session, word: str) -> bool:
    """Ask for what is remembered, and say whether a word is in the answer."""
    return word in await answer(rig, session, rig.recall())


async def taught(rig: BackendRig, session: Session) -> str:
    """Let the agent remember a new word, and give it.

    Raises:
        DoesNotApply: It doesn't remember even in the same session; that is the matter of one check only.
    """
    word = new_word()
    await answer(rig, session, rig.remember(word))
    if not await knows(rig, session, word):
        raise DoesNotApply("the second turn of a session does not know the first, which another check tells of")
    return word
