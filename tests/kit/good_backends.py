"""A backend that keeps its contract: it speaks to a small agent over a socket, a connection for each turn."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from pydantic import BaseModel, ConfigDict

from nanokimi_core import (
    AgentError,
    AgentEvent,
    Attachment,
    Backend,
    Chat,
    Context,
    Failure,
    Grant,
    Need,
    Session,
    Spec,
    Text,
    Turn,
    private_folder,
    prompt_text,
)
from nanokimi_core.testing import BackendRig

NEED = Need("parley", PurePosixPath("/home/parley"), (1000, 1000))
LOST = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class ParleyConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    port: int


class Talk:
    """A session."""

    def __init__(self, backend: Parley, chat: Chat, grant: Grant, conversation: str) -> None:
        self.backend, self.chat, self.grant, self.conversation = backend, chat, grant, conversation
        self.step = anyio.CancelScope()
        self.stopped = False

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.stopped = False
        stream, lines = await self.backend.connect()
        try:
            await stream.send(json.dumps(self.request(turn)).encode() + b"\n")
            said = False
            while (text := await self.next(lines)) is not None:
                said = True
                yield Text(text)
            if not (said or self.stopped):
                raise AgentError(Failure.NO_ANSWER, "the agent ended the turn without a word")
        finally:
            await anyio.aclose_forcefully(stream)

    def request(self, turn: Turn) -> dict[str, Any]:
        key = self.grant.api_key.get_secret_value() if self.grant.api_key else ""
        text, instructions = self.text(turn), self.chat.instructions
        return {
            "conversation": self.conversation,
            "key": key,
            "turn": turn.id,
            "text": text,
            "instructions": instructions,
        }

    def text(self, turn: Turn) -> str:
        return prompt_text(turn)

    async def next(self, lines: BufferedByteReceiveStream) -> str | None:
        line = b"{}"
        try:
            with anyio.CancelScope() as self.step:
                if self.stopped:
                    self.step.cancel()
                line = await lines.receive_until(b"\n", 1_000_000)
        except LOST:
            raise AgentError(Failure.CRASHED, "the agent has gone in mid-answer") from None
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            await self.fail(Failure(reply["error"]), reply)
        return reply.get("text")

    async def fail(self, kind: Failure, reply: dict[str, Any]) -> None:
        if kind is Failure.CREDENTIALS:
            await self.chat.auth.rejected(self.grant, reply["why"])
        wait = timedelta(seconds=reply["wait"]) if "wait" in reply else None
        raise AgentError(kind, reply["why"], retry_after=wait)

    async def cancel(self) -> None:
        self.stopped = True
        self.step.cancel()


class Parley:
    """The backend."""

    talk: ClassVar[type[Talk]] = Talk

    def __init__(self, config: ParleyConfig, context: Context) -> None:
        self.port, self.context = config.port, context

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        grant = await self.grant(chat)
        stream, _ = await self.connect()
        await anyio.aclose_forcefully(stream)
        yield self.talk(self, chat, grant, self.conversation(chat))

    async def forget(self, chat: Chat) -> None:
        self.file(chat).unlink(missing_ok=True)

    async def grant(self, chat: Chat) -> Grant:
        return await chat.auth.grant(NEED)

    def conversation(self, chat: Chat) -> str:
        file = self.file(chat)
        if not file.exists():
            file.write_text(secrets.token_hex(8))
        return file.read_text()

    def file(self, chat: Chat) -> Path:
        return private_folder(chat.folder / "agent" / self.context.name) / "conversation"

    async def connect(self) -> tuple[ByteStream, BufferedByteReceiveStream]:
        try:
            stream = await anyio.connect_tcp("127.0.0.1", self.port)
        except OSError as error:
            raise AgentError(Failure.ENGINE, f"no agent listens on port {self.port}: {error}") from error
        try:
            lines = BufferedByteReceiveStream(stream)
            await lines.receive_until(b"ready\n", 100)
        except LOST as error:
            await anyio.aclose_forcefully(stream)
            raise AgentError(Failure.ENGINE, f"what listens on port {self.port} is no agent") from error
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise
        return stream, lines


class Agent:
    """What listens there. It keeps conversations by name, and takes a turn's question once."""

    def __init__(self) -> None:
        self.port = 0
        self.keys: set[str] = set()
        self.key = ""
        self.told = ""
        self.last: list[str] = []
        self.conversations: dict[str, dict[str, str]] = {}
        self.failing: Failure | None = None
        self.holding = False
        self.standing = 0
        self.gate = anyio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            self.port = listener.extra(SocketAttribute.local_port)  # noqa: S610  # anyio's, not Django's
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, self.greet, tasks)
                yield
                tasks.cancel_scope.cancel()

    async def greet(self, stream: ByteStream) -> None:
        async with stream:
            try:
                if self.failing is not Failure.ENGINE:
                    await stream.send(b"ready\n")
                    await self.serve(stream)
            except LOST:
                return

    async def serve(self, stream: ByteStream) -> None:
        asked = json.loads(await BufferedByteReceiveStream(stream).receive_until(b"\n", 1_000_000))
        self.key, self.told = asked["key"], asked["instructions"]
        conversation = self.conversations.setdefault(asked["conversation"], {})
        conversation.setdefault(asked["turn"], asked["text"])
        self.last = list(conversation.values())
        if self.failing is Failure.CRASHED:
            await send(stream, text="I was about to")
            return
        if self.failing is Failure.NO_ANSWER:
            await send(stream)
            return
        if self.failing is not None or self.key not in self.keys:
            kind = self.failing or Failure.CREDENTIALS
            wait = {"wait": 900} if kind is Failure.RATE_LIMIT else {}
            await send(stream, error=kind.value, why=f"the server said: {kind.value}", **wait)
            return
        if self.holding:
            self.holding, self.standing = False, self.standing + 1
            await send(stream, text="Wait, I am thinking.\n")
            await self.gate.wait()
        for word in self.answer(asked["text"], list(conversation.values())[:-1]).splitlines(keepends=True):
            await send(stream, text=word)
        await send(stream)

    def answer(self, text: str, before: Sequence[str]) -> str:
        if "did I ask you" in text:
            return "You asked me:\n" + "\n".join(before)
        if file := re.search(r"^\[file\] (.*) \(", text, re.MULTILINE):
            path = Path(file[1])
            return path.read_text() if path.exists() else f"{path} is not there"
        return f"You said:\n{text}"


async def send(stream: ByteStream, **reply: Any) -> None:
    await stream.send(json.dumps(reply).encode() + b"\n")


class ParleyRig(BackendRig):
    """The agent, with all that a rig can be able to do."""

    spec: ClassVar[Spec[Backend]] = Spec("parley", Parley, config=ParleyConfig)
    agent: Agent

    async def __aenter__(self) -> Self:
        self.agent = Agent()
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(self.agent.listening())
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def table(self) -> Mapping[str, Any]:
        return {"port": self.agent.port}

    def new_key(self) -> str:
        key = super().new_key()
        self.agent.keys.add(key)
        return key

    async def hold(self) -> None:
        self.agent.holding = True

    async def held(self) -> bool:
        return self.agent.standing > 0

    async def let_go(self) -> None:
        self.agent.holding, self.agent.standing = False, 0
        self.agent.gate.set()
        self.agent.gate = anyio.Event()

    def failures(self) -> Collection[Failure]:
        kinds = {Failure.CREDENTIALS, Failure.QUOTA, Failure.RATE_LIMIT, Failure.MODEL}
        return kinds | {Failure.ENGINE, Failure.CRASHED, Failure.NO_ANSWER}

    async def bring_about(self, failure: Failure) -> timedelta | None:
        self.agent.failing = failure
        return timedelta(seconds=900) if failure is Failure.RATE_LIMIT else None

    async def mend(self) -> None:
        self.agent.failing = None

    async def asked(self) -> Sequence[str]:
        return self.agent.last

    async def key_seen(self) -> str:
        return self.agent.key

    async def instructed(self) -> str:
        return self.agent.told

    async def reading(self, file: Attachment) -> str:
        return f"Read {file.name} to me."
