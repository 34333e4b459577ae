"""A chat's session: its conversation with the agent of its sandbox, whatever container that runs in."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
from acp import RequestError
from anyio.abc import TaskGroup

from nanokimi_backend_kimi_docker import repeats
from nanokimi_backend_kimi_docker.agents import AcpAgent
from nanokimi_backend_kimi_docker.conversations import Asked, Conversation, Conversations
from nanokimi_backend_kimi_docker.opening import open_conversation
from nanokimi_backend_kimi_docker.process import AgentProcess
from nanokimi_backend_kimi_docker.prompt import Block, prompt_blocks, text_of
from nanokimi_backend_kimi_docker.sandbox import Sandbox, Workshop
from nanokimi_backend_kimi_docker.turn import Place, RunningTurn
from nanokimi_core import AgentError, AgentEvent, Chat, Failure, Turn

_LATE_SECONDS = 0.5
_WRITTEN_SECONDS = 1.0
_LOOK_SOON = 0.01
_LOOK_EVERY = 0.05
_NEW_INSTRUCTIONS = "[Your instructions have changed since this conversation began. From now on they are:]\n\n"


class ChatSession:
    """The core's ``Session``.

    Args:
        chat: Whose it is.
        workshop: What containers are made with.
        sandbox: Where the agent runs.
        conversations: Remember it.
        tasks: Where turns run, so that they end well even when nobody listens any more.
    """

    def __init__(
        self, chat: Chat, workshop: Workshop, sandbox: Sandbox, conversations: Conversations, tasks: TaskGroup
    ) -> None:
        self._chat = chat
        self._workshop = workshop
        self._sandbox = sandbox
        self._conversations = conversations
        self._tasks = tasks
        self._place: Place | None = None
        self._turn: RunningTurn | None = None
        self._one_at_a_time = anyio.Semaphore(1)
        self._start = 0
        self._writes = True
        self._instructions = hashlib.sha256(chat.instructions.encode()).hexdigest()[:16]

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Ask the agent; it is brought up again first, and goes on where it was, if its container has ended.

        What it was asked before, and knows, is not asked in full again: it is reminded that it owes an answer.

        Raises:
            AgentError: The turn failed.
            LoginNeeded: A new container is needed, and the account has no valid credentials.
        """
        async with self._one_at_a_time, self._agent() as place:
            running = RunningTurn(place, await self._blocks(turn, place))
            self._turn = running
            self._tasks.start_soon(running.run)
            try:
                async for event in running.events:
                    yield event
            finally:
                self._turn = None
                running.events.close()
                with anyio.CancelScope(shield=True):
                    await running.cancel_unless_ended()
            if running.error is None:
                await self._written(place)
            await self._settle(running, place)

    async def cancel(self) -> None:
        """Stop the running turn, if there is one."""
        if self._turn is not None:
            await self._turn.cancel()

    async def open(self) -> None:
        """Bring the agent up and open the conversation.

        Raises:
            AgentError: It can't be.
            LoginNeeded: The account has no valid credentials.
        """
        async with self._opened():
            return

    async def leave(self) -> None:
        """Close the conversation in an agent that goes on for other chats; it can be opened again."""
        place, self._place = self._place, None
        if place is None or not self._sandbox.hold(place.process):
            return
        try:
            if (can := place.process.can.session_capabilities) is not None and can.close is not None:
                await place.process.ask(lambda agent: agent.close_session(session_id=place.session), "close a session")
        except (RequestError, AgentError) as error:
            self._workshop.context.log.debug("a session was not closed: %s", error)
        finally:
            self._sandbox.release()

    def forget(self) -> None:
        """Let the next turn start a fresh conversation."""
        self._place = None

    @asynccontextmanager
    async def _agent(self) -> AsyncIterator[Place]:
        """Hold the agent for a turn: the one of the turn before, if it is still there."""
        place = self._place
        if place is None or not self._sandbox.hold(place.process):
            async with self._opened() as place:
                yield place
            return
        try:
            yield place
        finally:
            self._sandbox.release()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Place]:
        async with self._sandbox.fresh(self._chat) as (process, grant):
            if self._place is None or self._place.process is not process:
                session = await self._conversation(process)
                self._place = Place(process, grant, session, self._workshop.folders(self._chat))
            yield self._place

    async def _conversation(self, process: AgentProcess) -> str:
        name = process.agent.name
        known = await anyio.to_thread.run_sync(self._conversations.get, self._chat.id, name)
        session, resumed = await open_conversation(process, known.session if known else None)
        if not resumed:
            if known is not None:
                self._workshop.context.log.warning(
                    "%s does not know the conversation of %s any more, and begins a new one", name, self._chat.id
                )
            new = Conversation(name, session, self._instructions)
            await anyio.to_thread.run_sync(self._conversations.put, self._chat.id, new)
        return session

    async def _known(self, place: Place) -> Conversation | None:
        known = await anyio.to_thread.run_sync(self._conversations.get, self._chat.id, place.process.agent.name)
        return known if known is not None and known.session == place.session else None

    async def _remember(self, conversation: Conversation) -> None:
        await anyio.to_thread.run_sync(self._conversations.change, self._chat.id, conversation)

    async def _blocks(self, turn: Turn, place: Place) -> list[Block]:
        """Write the prompt, and note durably that it is about to be asked."""
        known = await self._known(place)
        part = repeats.part(turn, await self._standing(turn, place, known.asked if known is not None else ()))
        told = {one.instructions for one in part.standing} | {known.instructions if known is not None else ""}
        changed = known is not None and self._instructions not in told
        opening = (_NEW_INSTRUCTIONS + self._chat.instructions if changed else "", part.reminder)
        images = place.process.takes_images and "image_in" in place.grant.capabilities
        blocks = await prompt_blocks(part.turn, place.folders.workspace, images=images, opening=opening)
        if known is not None:
            self._start = await anyio.to_thread.run_sync(repeats.length, *self._record(place))
            asked = repeats.note(part, text_of(blocks), self._start, self._instructions if changed else "")
            if asked != known.asked:
                await self._remember(replace(known, asked=asked))
        return blocks

    async def _standing(self, turn: Turn, place: Place, asked: tuple[Asked, ...]) -> tuple[Asked, ...]:
        """Look which noted prompts the agent has; one that it was given a moment ago may stand there a moment later."""
        found: tuple[Asked, ...] = ()
        if repeats.asks_again(turn, asked):
            with anyio.move_on_after(_LATE_SECONDS):
                while found != asked:
                    found = await anyio.to_thread.run_sync(repeats.standing, *self._record(place), asked)
                    await anyio.sleep(_LOOK_EVERY)
        return found

    async def _written(self, place: Place) -> None:
        """Wait a moment for the agent to write down what it has answered: killed before, it would have forgotten it."""
        agent, home, session = self._record(place)
        with anyio.move_on_after(_WRITTEN_SECONDS if self._writes else 0) as waited:
            while True:
                if await anyio.to_thread.run_sync(agent.has_written, home, session, self._start):
                    break
                await anyio.sleep(_LOOK_SOON)
        self._writes = self._writes and not waited.cancelled_caught

    def _record(self, place: Place) -> tuple[AcpAgent, Path, str]:
        return place.process.agent, place.folders.home, place.session

    async def _settle(self, running: RunningTurn, place: Place) -> None:
        error = running.error
        if error is None:
            await self._note_instructions(place)
            return
        if isinstance(error, AgentError) and error.kind in (Failure.CREDENTIALS, Failure.QUOTA):
            await self._tell_account(place, error)
        raise error

    async def _note_instructions(self, place: Place) -> None:
        """Remember that the agent knows them now; if that fails it hears them once more, and the answer stands."""
        try:
            known = await self._known(place)
            if self._place is place and known is not None and known.instructions != self._instructions:
                await self._remember(replace(known, instructions=self._instructions))
        except AgentError as error:
            self._workshop.context.log.warning("%s will be told its instructions again: %s", self._chat.id, error)

    async def _tell_account(self, place: Place, error: AgentError) -> None:
        try:
            await self._chat.auth.rejected(place.grant, str(error))
        except Exception as fault:  # the core's error names the account; it must not hide why the turn failed
            self._workshop.context.log.exception("the account of %s failed to hear: %s", self._chat.id, fault)
