"""Backends with one fault each, all but that like the good one."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, cast

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from kit.good_backends import Parley, ParleyConfig, ParleyRig, Talk
from nanokimi_core import (
    AgentError,
    AgentEvent,
    Chat,
    Context,
    Failure,
    Grant,
    LoginNeeded,
    Session,
    Spec,
    Text,
    Turn,
    prompt_text,
)

BROKEN: dict[str, tuple[type[ParleyRig], str]] = {}
"""Rigs by the name of the fault, each with the name of the only check that is to fail."""


def breaks(check: str) -> Any:
    """Note a broken backend, or a backend of broken sessions, with the check that is meant for it."""

    def note(broken: type[Any]) -> type[Any]:
        backend = type(broken.__name__, (Parley,), {"talk": broken}) if issubclass(broken, Talk) else broken
        spec = Spec("parley", backend, config=ParleyConfig)
        rig = type(f"{broken.__name__}Rig", (ParleyRig,), {"spec": spec})
        BROKEN[broken.__name__] = (rig, check)
        return broken

    return note


def said(event: AgentEvent) -> str:
    return event.delta if isinstance(event, Text) else ""


# --------------------------------------------------------------------- what it is given, and how answers come
@breaks("the agent has its instructions")
class KeepsInstructionsToItself(Talk):
    def request(self, turn: Turn) -> dict[str, Any]:
        return super().request(turn) | {"instructions": ""}


@breaks("a file is within reach")
class NamesFilesAsPeopleDo(Talk):
    def text(self, turn: Turn) -> str:
        return prompt_text(turn, show_path=lambda path: f"/workspace/{path.name}")


@breaks("an answer is made of events")
class YieldsStrings(Talk):
    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        async with aclosing(super().prompt(turn)) as events:  # type: ignore[type-var]
            async for event in events:
                yield cast("AgentEvent", said(event))


@breaks("an answer comes piece by piece")
class WaitsForTheWholeAnswer(Talk):
    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        async with aclosing(super().prompt(turn)) as events:  # type: ignore[type-var]
            texts = [said(event) async for event in events]
        yield Text("".join(texts))


# --------------------------------------------------------------------- memory
@breaks("the second turn knows the first")
class ForgetsBetweenTurns(Talk):
    def request(self, turn: Turn) -> dict[str, Any]:
        return super().request(turn) | {"conversation": secrets.token_hex(8)}


@breaks("entered again it still knows")
class ForgetsWhenLeft(Parley):
    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        async with super().session(chat) as session:
            yield session
        self.file(chat).unlink(missing_ok=True)


@breaks("entered again it still knows")
class ForgetsWhenStarted(Parley):
    def __init__(self, config: ParleyConfig, context: Context) -> None:
        super().__init__(config, context)
        for file in Path(context.folder.parent).rglob(f"agent/{context.name}/conversation"):
            file.unlink()


@breaks("what is forgotten is gone")
class ForgetsNothing(Parley):
    async def forget(self, chat: Chat) -> None:
        return


@breaks("what is forgotten is gone")
class RemembersAfterARestart(Parley):
    """Forgets in memory only."""

    def __init__(self, config: ParleyConfig, context: Context) -> None:
        super().__init__(config, context)
        self.later: dict[str, str] = {}

    async def forget(self, chat: Chat) -> None:
        self.later[chat.id] = secrets.token_hex(8)

    def conversation(self, chat: Chat) -> str:
        return self.later.get(chat.id) or super().conversation(chat)


@breaks("forgetting a chat leaves the others")
class ForgetsAllChats(Parley):
    def __init__(self, config: ParleyConfig, context: Context) -> None:
        super().__init__(config, context)
        self.sessions: list[Talk] = []

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        async with super().session(chat) as session:
            assert isinstance(session, Talk)
            self.sessions.append(session)
            yield session

    async def forget(self, chat: Chat) -> None:
        await super().forget(chat)
        for session in self.sessions:
            session.conversation = secrets.token_hex(8)


@breaks("two chats keep apart")
class SharesOneConversation(Parley):
    def file(self, chat: Chat) -> Path:
        return self.context.folder / "conversation"


@breaks("two chats are answered side by side")
class AnswersOneChatAtATime(Parley):
    def __init__(self, config: ParleyConfig, context: Context) -> None:
        super().__init__(config, context)
        self.one_at_a_time = anyio.Semaphore(1)

    class Patient(Talk):
        async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
            assert isinstance(self.backend, AnswersOneChatAtATime)
            async with self.backend.one_at_a_time, aclosing(super().prompt(turn)) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event

    talk = Patient


@breaks("two instances share nothing")
class KeepsConversationsInAGlobal(Parley):
    conversations: ClassVar[dict[Path, str]] = {}

    def conversation(self, chat: Chat) -> str:
        return self.conversations.setdefault(chat.folder, secrets.token_hex(8))

    async def forget(self, chat: Chat) -> None:
        self.conversations.pop(chat.folder, None)


# --------------------------------------------------------------------- stopping
@breaks("a turn can be stopped")
class IgnoresCancel(Talk):
    async def cancel(self) -> None:
        return


@breaks("a turn can be stopped")
class FailsWhenStopped(Talk):
    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        async with aclosing(super().prompt(turn)) as events:  # type: ignore[type-var]
            async for event in events:
                yield event
        if self.stopped:
            raise AgentError(Failure.CRASHED, "the turn was stopped")


@breaks("a turn can be stopped")
class StaysStopped(Talk):
    """A turn that was stopped in mid-answer stops the next one too."""

    midst = False
    spoiled = False

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        if self.spoiled:
            return
        async with aclosing(super().prompt(turn)) as events:  # type: ignore[type-var]
            async for event in events:
                self.midst = True
                yield event
        self.midst = False

    async def cancel(self) -> None:
        self.spoiled = self.midst
        await super().cancel()


@breaks("stopping nothing does nothing")
class CanStopATurnOnly(Talk):
    running = False

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.running = True
        try:
            async with aclosing(super().prompt(turn)) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event
        finally:
            self.running = False

    async def cancel(self) -> None:
        if not self.running:
            raise ValueError("no turn runs")
        await super().cancel()


@breaks("a turn closed early leaves nothing behind")
class SaysTheRestLater(Parley):
    """Keeps the connection of a turn that was closed early, and reads on from it in the next."""

    class Slow(Talk):
        left: tuple[ByteStream, BufferedByteReceiveStream] | None = None

        async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
            if self.left is not None:
                while (text := await self.next(self.left[1])) is not None:
                    yield Text(text)
                await self.drop()
            self.stopped = False
            stream, lines = self.left = await self.backend.connect()
            await stream.send(json.dumps(self.request(turn)).encode() + b"\n")
            said = False
            try:
                while (text := await self.next(lines)) is not None:
                    said = True
                    yield Text(text)
            except (AgentError, anyio.get_cancelled_exc_class()):
                await self.drop()
                raise
            await self.drop()
            if not (said or self.stopped):
                raise AgentError(Failure.NO_ANSWER, "the agent ended the turn without a word")

        async def drop(self) -> None:
            left, self.left = self.left, None
            if left is not None:
                await anyio.aclose_forcefully(left[0])

    talk = Slow

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        async with super().session(chat) as session:
            assert isinstance(session, self.Slow)
            try:
                yield session
            finally:
                await session.drop()


@breaks("a listener can be cancelled")
class RaisesWhenLeftAlone(Talk):
    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        try:
            async with aclosing(super().prompt(turn)) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event
        except anyio.get_cancelled_exc_class():
            raise ConnectionError("the line was cut") from None


@breaks("no scope is open across a yield")
class YieldsInsideATaskGroup(Talk):
    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        async with anyio.create_task_group(), aclosing(super().prompt(turn)) as events:  # type: ignore[type-var]
            async for event in events:
                yield event


@breaks("no scope is open across a yield")
class YieldsInsideALimit(Talk):
    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        with anyio.fail_after(600):
            async with aclosing(super().prompt(turn)) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event


@breaks("entering can be cancelled")
class EntersToTheEnd(Parley):
    async def connect(self) -> tuple[ByteStream, BufferedByteReceiveStream]:
        try:
            return await super().connect()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)
            raise


# --------------------------------------------------------------------- failures
@breaks("a failure has its name")
class RaisesPlainErrors(Talk):
    async def fail(self, kind: Failure, reply: dict[str, Any]) -> None:
        try:
            await super().fail(kind, reply)
        except AgentError as error:
            raise RuntimeError(str(error)) from None


@breaks("a failure has its name")
class TakesQuotaForARateLimit(Talk):
    async def fail(self, kind: Failure, reply: dict[str, Any]) -> None:
        await super().fail(Failure.RATE_LIMIT if kind is Failure.QUOTA else kind, reply)


@breaks("a failure has its name")
class SaysNothingOfTheWait(Talk):
    async def fail(self, kind: Failure, reply: dict[str, Any]) -> None:
        reply.pop("wait", None)
        await super().fail(kind, reply)


@breaks("a failure has its name")
class GivesNoCause(Talk):
    async def fail(self, kind: Failure, reply: dict[str, Any]) -> None:
        await super().fail(kind, reply | {"why": ""})


@breaks("a failure has its name")
class SwallowsFailures(Talk):
    async def fail(self, kind: Failure, reply: dict[str, Any]) -> None:
        if kind is Failure.CREDENTIALS:
            await self.chat.auth.rejected(self.grant, reply["why"])
        reply["text"] = "Something went wrong, try later."


@breaks("after a failure the turn is answered")
class FailsOnceFailsAlways(Parley):
    def __init__(self, config: ParleyConfig, context: Context) -> None:
        super().__init__(config, context)
        self.failed: dict[str, AgentError] = {}

    class Grudging(Talk):
        async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
            assert isinstance(self.backend, FailsOnceFailsAlways)
            if turn.id in self.backend.failed:
                raise self.backend.failed[turn.id]
            try:
                async with aclosing(super().prompt(turn)) as events:  # type: ignore[type-var]
                    async for event in events:
                        yield event
            except AgentError as error:
                self.backend.failed[turn.id] = error
                raise

    talk = Grudging


@breaks("the account hears of a refusal")
class TellsTheAccountNothing(Talk):
    async def fail(self, kind: Failure, reply: dict[str, Any]) -> None:
        raise AgentError(kind, reply["why"], retry_after=timedelta(minutes=15))


@breaks("a repeated turn is asked once")
class AsksTwice(Talk):
    def request(self, turn: Turn) -> dict[str, Any]:
        return super().request(replace(turn, id=secrets.token_hex(8)))


@breaks("a repeated turn is asked once")
class AsksTwiceAfterARestart(Parley):
    def __init__(self, config: ParleyConfig, context: Context) -> None:
        super().__init__(config, context)
        self.run = secrets.token_hex(8)

    class Restarted(Talk):
        def request(self, turn: Turn) -> dict[str, Any]:
            assert isinstance(self.backend, AsksTwiceAfterARestart)
            return super().request(replace(turn, id=f"{turn.id} of {self.backend.run}"))

    talk = Restarted


# --------------------------------------------------------------------- grants
@breaks("a changed grant is used")
class KeepsItsFirstGrant(Parley):
    first: Grant | None = None

    async def grant(self, chat: Chat) -> Grant:
        self.first = self.first or await super().grant(chat)
        return self.first


@breaks("a missing login is said")
class TakesAMissingLoginForACrash(Parley):
    async def grant(self, chat: Chat) -> Grant:
        try:
            return await super().grant(chat)
        except LoginNeeded as error:
            raise AgentError(Failure.CRASHED, str(error)) from error


@breaks("no secret is said or logged")
class PutsTheKeyIntoErrors(Talk):
    async def fail(self, kind: Failure, reply: dict[str, Any]) -> None:
        key = self.grant.api_key.get_secret_value() if self.grant.api_key else ""
        await super().fail(kind, reply | {"why": f"{reply['why']} to {key}"})


@breaks("no secret is said or logged")
class LogsWhatItSends(Talk):
    def request(self, turn: Turn) -> dict[str, Any]:
        request = super().request(turn)
        self.backend.context.log.debug("asking: %s", request)
        return request


@breaks("no secret is said or logged")
class ShowsTheKey(Talk):
    def __repr__(self) -> str:
        return f"Talk({self.request(Turn('none', ()))})"


@breaks("no secret is in a process list")
class StartsWithTheKey(Parley):
    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        async with super().session(chat) as session:
            assert isinstance(session, Talk)
            command = [sys.executable, "-Sc", "import sys; sys.stdin.read()", session.request(Turn("none", ()))["key"]]
            async with await anyio.open_process(command, stdout=None, stderr=None) as process:
                yield session
                assert process.stdin is not None
                await process.stdin.aclose()
