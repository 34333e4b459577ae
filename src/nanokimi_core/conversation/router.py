"""From a delivered message to its answer: who gets in, what is a command, what becomes a turn."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from logging import Logger
from typing import Protocol

from nanokimi_core.config import ChatRules, Settings
from nanokimi_core.contracts.backend import Turn
from nanokimi_core.conversation import catalogue
from nanokimi_core.conversation.access import chat_ids, is_triggered
from nanokimi_core.conversation.attachments import take_in
from nanokimi_core.conversation.lanes import Lanes
from nanokimi_core.conversation.showing import Showing
from nanokimi_core.conversation.turns import Seat, Turns
from nanokimi_core.delivery import Delivery
from nanokimi_core.errors import AgentError, NanoKimiError
from nanokimi_core.messages import Inbound


class TellsOwner(Protocol):
    """Says something to the owner."""

    async def tell(self, key: str, text: str) -> None:
        """Say it, once for each ``key`` until ``text`` changes."""
        ...


@dataclass
class Counters:
    """What has happened since the start."""

    answered: int = 0
    failed: int = 0
    refused: int = 0


class Router:
    """Takes messages from every transport and sees to their answers.

    Args:
        settings: The toml's.
        lanes: Where turns wait.
        turns: Who runs them.
        delivery: Who sends answers.
        owner: Who hears of failures.
        seat: Finds the chat, account and backend of a message under its rules.
        log: For what nobody needs to be told.
    """

    def __init__(
        self,
        settings: Settings,
        lanes: Lanes,
        turns: Turns,
        delivery: Delivery,
        owner: TellsOwner,
        *,
        seat: Callable[[str, Inbound, ChatRules], Seat],
        log: Logger,
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._turns = turns
        self._delivery = delivery
        self._owner = owner
        self._seat = seat
        self._log = log
        self.counters = Counters()
        self._commands = {"/help": self._help, "/new": self._new}

    async def receive(self, transport: str, message: Inbound) -> None:
        """Take a message; returns when it waits in its chat's lane, or has been refused."""
        if message.event != "message" or (message.from_me and message.kind != "self"):
            return
        ids = chat_ids(transport, message)
        rules = self._settings.rules(ids)
        if not rules.known:
            self.counters.refused += 1
            remedy = f'to let it in, add to nanokimi.toml: [chats."{ids[0]}"]'
            await self._owner.tell(f"unknown {ids[0]}", f"refused a message from the unknown chat {ids[0]}; {remedy}")
            return
        command = message.text.strip().lower()
        if command == "/stop":
            await self._stop(transport, message)
        elif command in self._commands or is_triggered(message, rules, self._settings.assistant):
            await self._queue(transport, message, rules, command)

    async def _queue(self, transport: str, message: Inbound, rules: ChatRules, command: str) -> None:
        act = self._commands.get(command, self._answer)
        dated = message if message.at else replace(message, at=datetime.now(UTC).astimezone())

        async def job() -> None:
            await self._guarded(act, transport, dated, rules)

        if not self._lanes.submit(f"{transport}:{message.chat}", job):
            self.counters.refused += 1
            await self._say(transport, message, catalogue.TOO_MANY_WAITING)

    async def _guarded(self, act: _Act, transport: str, message: Inbound, rules: ChatRules) -> None:
        """Run a job; whatever goes wrong in it, the chat gets a sentence and the owner the cause."""
        try:
            await act(transport, message, rules)
            self.counters.answered += 1
        except AgentError as error:
            sentence = catalogue.failure(error.kind, retry_after=error.retry_after)
            cause = f"{error}; {error.remedy}" if error.remedy else str(error)
            await self._failed(transport, message, sentence, f"{error.kind.value}: {cause}")
        except NanoKimiError as error:
            await self._failed(transport, message, catalogue.FAULT, str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin boundary
            self._log.exception("a turn of %s:%s failed in backend %s", transport, message.chat, rules.backend)
            cause = f"backend {rules.backend} has a fault: {type(error).__name__}: {error}"
            await self._failed(transport, message, catalogue.FAULT, cause)

    async def _failed(self, transport: str, message: Inbound, sentence: str, cause: str) -> None:
        self.counters.failed += 1
        await self._say(transport, message, sentence)
        await self._owner.tell(f"failed {transport}:{message.chat}", f"{transport}:{message.chat}: {cause}")

    async def _answer(self, transport: str, message: Inbound, rules: ChatRules) -> None:
        seat = self._seat(transport, message, rules)
        taken = take_in(message, seat.chat.folder / "workspace")
        turn = Turn(id=uuid.uuid4().hex, messages=(taken,))
        network = self._delivery.transport(transport)
        async with Showing(network, message, name=transport, key=f"{turn.id}.0", log=self._log) as showing:
            answer = await self._turns.run(seat, turn, showing.grown)
        await self._say(transport, message, answer or catalogue.STOPPED, key=turn.id)

    async def _help(self, transport: str, message: Inbound, rules: ChatRules) -> None:
        await self._say(transport, message, catalogue.HELP)

    async def _new(self, transport: str, message: Inbound, rules: ChatRules) -> None:
        await self._turns.forget(self._seat(transport, message, rules))
        await self._say(transport, message, catalogue.FRESH)

    async def _stop(self, transport: str, message: Inbound) -> None:
        if not await self._turns.stop(f"{transport}:{message.chat}"):
            await self._say(transport, message, catalogue.NOTHING_TO_STOP)

    async def _say(self, transport: str, message: Inbound, text: str, *, key: str | None = None) -> None:
        reply_to = message.id if message.kind == "group" else None
        await self._delivery.send(
            transport, message.chat, text, key=key or uuid.uuid4().hex, thread=message.thread, reply_to=reply_to
        )


class _Act(Protocol):
    async def __call__(self, transport: str, message: Inbound, rules: ChatRules) -> None: ...
