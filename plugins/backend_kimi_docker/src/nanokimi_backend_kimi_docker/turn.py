"""One turn: a prompt to an agent, what it says meanwhile, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import acp
import anyio
from acp import schema
from pydantic import ValidationError

from nanokimi_backend_kimi_docker import failures
from nanokimi_backend_kimi_docker.mounts import Folders
from nanokimi_backend_kimi_docker.process import AgentProcess
from nanokimi_backend_kimi_docker.prompt import Block
from nanokimi_core import AgentError, AgentEvent, Failure, Grant, Text, ToolCall, Usage

_MOST_UNREAD = 10_000
_CANCEL_SECONDS = 5.0
_RECORD_SECONDS = 2.0
_LATE_RECORD_SECONDS = 15.0
_LOOK_EVERY = 1.0
_QUIET = 2.0
_LONGEST_WAIT = 5.0


@dataclass(frozen=True)
class Place:
    """Where a chat's turns are done.

    Attributes:
        process: The agent.
        grant: What it was started with.
        session: ACP's name of the chat's session.
        folders: The sandbox's.
    """

    process: AgentProcess
    grant: Grant
    session: str
    folders: Folders

    @property
    def secret(self) -> str:
        """The key of the grant; empty where it has none."""
        return self.grant.api_key.get_secret_value() if self.grant.api_key is not None else ""


class RunningTurn:
    """Runs in a task of its own, so that whoever listens may stop doing so at any time.

    Attributes:
        events: What the agent says; ends with the turn.
        error: Why the turn failed, once it has ended; ``None`` if it didn't.
    """

    def __init__(self, place: Place, blocks: Sequence[Block]) -> None:
        self._place = place
        self._blocks = list(blocks)
        self._send, self.events = anyio.create_memory_object_stream[AgentEvent](_MOST_UNREAD)
        self._ended = anyio.Event()
        self._cancelled = False
        self._answered = False
        self._last = anyio.current_time()
        self._said = False
        self._paragraph = False
        self._gave_up: AgentError | None = None
        self.error: Exception | None = AgentError(Failure.CRASHED, "NanoKimi stopped in mid-turn")

    async def run(self) -> None:
        """Prompt, until the agent has answered or is gone."""
        process, session = self._place.process, self._place.session
        process.client.listen(session, self._hear)
        process.records.drop(session)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch)
                outcome = await self._ask()
                tasks.cancel_scope.cancel()
            self.error = None if self._cancelled else self._gave_up or outcome
        except Exception as fault:  # noqa: BLE001  # raised again where the turn is listened to
            self.error = fault
        finally:
            process.client.unlisten(session)
            self._send.close()
            self._ended.set()

    async def cancel(self) -> None:
        """Stop the turn, and wait until it has; an agent that doesn't obey loses its container."""
        self._cancelled = True
        await self._stop()

    async def cancel_unless_ended(self) -> None:
        """Stop the turn when nobody listens any more; nothing to do when it has ended."""
        if not self._ended.is_set():
            await self.cancel()

    async def _stop(self) -> None:
        if self._ended.is_set():
            return
        try:
            await self._place.process.connection.cancel(session_id=self._place.session)
        except ConnectionError:
            return
        with anyio.move_on_after(_CANCEL_SECONDS):
            await self._ended.wait()
        if not self._ended.is_set():
            await self._place.process.kill()
            with anyio.move_on_after(_CANCEL_SECONDS):
                await self._ended.wait()

    async def _ask(self) -> AgentError | None:
        process = self._place.process
        try:
            answer = await process.connection.prompt(session_id=self._place.session, prompt=self._blocks)
        except acp.RequestError as error:
            return await self._refused(error)
        except ConnectionError:
            return None if self._cancelled else await process.failure()
        except ValidationError as error:
            return failures.no_protocol(error)
        if answer.usage is not None:
            self._hear(Usage(answer.usage.input_tokens, answer.usage.output_tokens))
        return await self._judge(answer.stop_reason)

    async def _refused(self, error: acp.RequestError) -> AgentError:
        """Take the hook's word, which says more than ACP's error, where there is one."""
        end = await self._place.process.records.get(self._place.session, within=_RECORD_SECONDS)
        if end is not None and end.failed:
            return self._named(end.kind, end.message)
        return failures.refused(error, model=self._place.grant.model, secret=self._place.secret)

    async def _judge(self, stop_reason: schema.StopReason) -> AgentError | None:
        if stop_reason == "max_turn_requests":
            return self._named("MaxStepsReached", "the turn took more steps than it may")
        if stop_reason == "refusal" and not self._answered:
            return AgentError(Failure.NO_ANSWER, "the model refused to answer")
        if stop_reason != "end_turn":
            return None
        records = self._place.process.records
        wait = 0.0 if self._answered and records.silent else _RECORD_SECONDS
        if not self._answered and records.seen:
            wait = _LATE_RECORD_SECONDS  # many turns that fail at once start as many hooks
        end = await records.get(self._place.session, within=wait)
        if end is not None:
            return self._named(end.kind, end.message) if end.failed else None
        records.silent = not records.seen
        return None if self._answered else failures.from_agent("", "")

    def _named(self, kind: str, message: str) -> AgentError:
        return failures.from_agent(kind, message, model=self._place.grant.model, secret=self._place.secret)

    def _hear(self, event: AgentEvent) -> None:
        self._last = anyio.current_time()
        self._place.process.records.goes_on(self._place.session)
        if isinstance(event, ToolCall):
            self._answered, self._paragraph = True, self._said
        elif isinstance(event, Text):
            event = Text("\n\n" + event.delta) if self._paragraph else event
            self._answered, self._said, self._paragraph = True, True, False
        try:
            self._send.send_nowait(event)
        except anyio.WouldBlock:
            self._gave_up = AgentError(Failure.TOO_LONG, f"{_MOST_UNREAD} pieces of the answer were not listened to")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    async def _watch(self) -> None:
        """Give the turn up when nobody listens, or when the agent waits silently for a long time."""
        began = time.time()
        while self._gave_up is None:
            await anyio.sleep(_LOOK_EVERY)
            if self._gave_up is None and anyio.current_time() - self._last > _QUIET:
                self._gave_up = await anyio.to_thread.run_sync(self._waits, began)
        await self._stop()

    def _waits(self, since: float) -> AgentError | None:
        place = self._place
        waiting = place.process.agent.waiting(place.folders.home, place.session, since)
        if waiting is None or waiting.rest.total_seconds() < _LONGEST_WAIT:
            return None
        return failures.from_agent(
            "", waiting.cause, model=place.grant.model, retry_after=waiting.rest, secret=place.secret
        )
