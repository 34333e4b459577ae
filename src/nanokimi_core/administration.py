"""The owner's hands on an assistant: what ``Operations`` promises, done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from logging import getLogger
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from nanokimi_core import __version__
from nanokimi_core.contracts.auth import AuthStatus, Quota
from nanokimi_core.contracts.transport import TellsState
from nanokimi_core.conversation.catalogue.values import tidy
from nanokimi_core.errors import CommandError, PluginError
from nanokimi_core.instances import Instance
from nanokimi_core.logs import redact
from nanokimi_core.places import unplaced
from nanokimi_core.shapes import offers
from nanokimi_core.status import AccountStatus, HeldLane, InstanceStatus, LoginAsked, QuotaStatus, Status
from nanokimi_core.store import ChatRecord, DeadLetter
from nanokimi_core.supervision import guarded, guarded_call, named

if TYPE_CHECKING:
    from nanokimi_core.runtime import Assistant

_LONGEST_LOOK = 5.0
_LONGEST_SAID = 200
_MOST_HELD = 100
_MOST_QUOTAS = 20
_LOW = 0.8
_USABLE = ("ok", "expiring")

log = getLogger("nanokimi")


class Administration:
    """Works on an assistant that runs, or whose store is open.

    Args:
        assistant: The assistant.
    """

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    async def status(self) -> Status:
        """Say how everything stands."""
        assistant = self._assistant
        conversation, settings = assistant.conversation, assistant.settings
        counters = await assistant.store.counters()
        lanes, problem = conversation.lanes, conversation.health.problem
        return Status(
            running=assistant.running,
            assistant=settings.assistant,
            version=__version__,
            process=os.getpid() if assistant.running else None,
            since=assistant.since if assistant.running else None,
            owner=conversation.ownership.chat() or "",
            instances=tuple(self._instance(each) for each in assistant.instances.values()),
            accounts=await self._accounts(),
            chats=counters.get("chats", 0),
            warm=conversation.pool.warm,
            turns=lanes.running,
            waiting=counters.get("pending", 0),
            held=self._held(),
            owed=counters.get("owed", 0),
            counters=counters,
            problems=(*((str(problem),) if problem is not None else ()), *settings.problems),
        )

    async def reload(self) -> Sequence[str]:
        """Read the toml again, and use what can be used at once."""
        if not self._assistant.running:
            raise CommandError("nothing runs that could read the toml again", remedy="start it with: nanokimi run")
        return await self._assistant.reload()

    async def log_in(self, name: str | None = None, chat: str = "") -> LoginAsked:
        """Begin a login by a code that is shown in chat, or give the code that waits."""
        if not self._assistant.running:
            raise CommandError("nothing runs that could show a code in chat", remedy="run: nanokimi auth login")
        return await self._assistant.conversation.logins.ask(name, chat)

    async def chats(self) -> Sequence[ChatRecord]:
        """List the chats that are known, the latest first."""
        return await self._assistant.store.chats()

    async def find(self, chat: str) -> ChatRecord | None:
        """Find a chat by its number or its id."""
        number = chat.isascii() and chat.isdecimal() and len(chat) < 19
        return await self._assistant.store.chat(int(chat) if number else chat)

    async def grant(self, chat: ChatRecord, granted: bool) -> bool:
        """Let a chat in, or shut it out; ``False`` where the toml lets it in already."""
        if self._assistant.settings.rules((chat.id,)).known:
            return False
        await self._assistant.conversation.grants.set(chat.id, granted)
        return True

    async def forget(self, chat: ChatRecord) -> int:
        """Erase a chat's messages, its files and its agent's memory.

        Raises:
            PluginError: The backend can't forget it; all else is erased.
        """
        conversation, settings = self._assistant.conversation, self._assistant.settings
        rules = settings.rules((chat.id,))
        seat = conversation.seats.seat(chat.id, rules, name=chat.name, kind=chat.kind)
        await conversation.turns.stop(chat.id, by_person=False)
        transport, _, name = chat.id.partition(":")
        waiting = conversation.lanes.waiting((transport, name))
        erased = await self._assistant.store.forget(chat.id)
        conversation.lanes.emptied((transport, name), waiting)
        conversation.delivery.forget(transport, name)
        conversation.router.forgotten(chat.id)
        fault: Exception | None = None
        try:
            await conversation.turns.forget(seat)
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            fault = named(seat.plugin, f"to forget {chat.id}", error)
        part = chat.id if rules.sandbox else ""
        await anyio.to_thread.run_sync(self._assistant.folder.erase_chat, seat.chat.sandbox, part)
        if fault is not None:
            raise fault
        return erased

    async def dead(self, *, limit: int = 100, chat: str | None = None) -> Sequence[DeadLetter]:
        """List dead letters, the latest first."""
        return await self._assistant.store.dead(limit=limit, chat=chat)

    async def dead_letter(self, letter: str) -> DeadLetter | None:
        """Give one by its id."""
        return await self._assistant.store.dead_letter(letter)

    async def revive(self, letter: str) -> DeadLetter | None:
        """Try a dead letter again."""
        found = await self._assistant.store.revive(letter)
        if found is not None:
            transport, _, chat = found.chat.partition(":")
            if found.kind == "message":
                self._assistant.conversation.lanes.look((transport, chat))
            else:
                self._assistant.conversation.delivery.look(transport, chat)
        return found

    async def drop(self, letter: str) -> DeadLetter | None:
        """End a dead letter for good."""
        return await self._assistant.store.drop(letter)

    def _instance(self, instance: Instance) -> InstanceStatus:
        route = self._assistant.conversation.delivery.route(instance.name) if instance.kind == "transport" else None
        return InstanceStatus(
            name=instance.name,
            kind=instance.kind,
            state=instance.state,
            since=instance.since,
            last_error=redact(instance.last_error),
            restarts=instance.restarts,
            connected=route.connected if route is not None else None,
            said=self._said(instance),
        )

    def _said(self, instance: Instance) -> str:
        """Ask a transport how its connection stands, if it can tell."""
        transport: Any = instance.value
        if instance.kind != "transport" or not offers(transport, TellsState):
            return ""
        plugin, doing = instance.provided.plugin, "to say how its connection stands"
        try:
            said = guarded_call(transport.state, plugin=plugin, doing=doing, returns=str)
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            found = error if isinstance(error, PluginError) else named(plugin, doing, error)
            log.warning("%s", found)
            said = unplaced(str(found))
        return tidy(redact(said), _LONGEST_SAID)

    def _held(self) -> tuple[HeldLane, ...]:
        now = anyio.current_time()
        held = list(self._assistant.conversation.lanes.held.items())[:_MOST_HELD]
        return tuple(HeldLane(":".join(lane), redact(hold.cause), max(0.0, hold.until - now)) for lane, hold in held)

    async def _accounts(self) -> tuple[AccountStatus, ...]:
        auths = [each for each in self._assistant.instances.values() if each.kind == "auth" and each.value is not None]
        found = [await self._account(instance) for instance in auths]
        usable = {each.name for each in found if each.state in _USABLE and not each.down}
        serving = next((name for name in self._assistant.settings.auth if name in usable), None)
        return tuple(replace(each, serves=each.name == serving) for each in found)

    async def _account(self, instance: Instance) -> AccountStatus:
        value: Any = instance.value
        try:
            status = await guarded(
                value.status,
                plugin=instance.provided.plugin,
                doing="to say how its account stands",
                within=_LONGEST_LOOK,
                returns=AuthStatus,
            )
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            return AccountStatus(instance.name, "unknown", remedy=redact(str(error)))
        conversation, name = self._assistant.conversation, instance.name
        standing = conversation.standings.down(name)
        return AccountStatus(
            name,
            status.state,
            status.who,
            _written(status.until),
            status.remedy,
            tuple(_quota(each) for each in status.quotas[:_MOST_QUOTAS]),
            login_until=_written(conversation.logins.waits_until(name)),
            chats=conversation.seats.served(name),
            down=redact(f"{standing.kind.value}: {standing.why}") if standing is not None else "",
        )


def _quota(quota: Quota) -> QuotaStatus:
    low = quota.used is not None and quota.used >= _LOW
    return QuotaStatus(quota.name, quota.used, quota.left, _written(quota.resets_at), low)


def _written(moment: datetime | None) -> str:
    return moment.isoformat(timespec="minutes") if moment is not None else ""
