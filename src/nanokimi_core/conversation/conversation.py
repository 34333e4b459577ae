"""Everything between a transport's message and its answer, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from logging import Logger

import anyio
from anyio.abc import TaskGroup

from nanokimi_core.config import Settings
from nanokimi_core.conversation.account_owner import AccountOwner
from nanokimi_core.conversation.accounts.logins import Logins
from nanokimi_core.conversation.accounts.successions import Successions
from nanokimi_core.conversation.answering import Answering, waits_for
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.conversation.grants import Grants
from nanokimi_core.conversation.lanes import Lanes
from nanokimi_core.conversation.lost import Lost
from nanokimi_core.conversation.orders import Orders
from nanokimi_core.conversation.owner import Owner
from nanokimi_core.conversation.ownership import Ownership
from nanokimi_core.conversation.router import Router
from nanokimi_core.conversation.seats import Seats
from nanokimi_core.conversation.sessions import SessionPool
from nanokimi_core.conversation.turns import Turns
from nanokimi_core.delivery import Delivery
from nanokimi_core.folder import DataFolder
from nanokimi_core.instances import Instance
from nanokimi_core.operations import Operations
from nanokimi_core.store import Health, OwedRow, Store


class Conversation:
    """The way of a message, from one end to the other.

    Args:
        settings: Live.
        store: Where everything is kept; to be entered before ``load``.
        folder: Where chats have their files.
        instances: The plugins, under ``kind name``; live.
        room: Says how many sandboxes may be up at once, for a backend's instance.
        log: Of the core.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        store: Store,
        folder: DataFolder,
        instances: Mapping[str, Instance],
        *,
        room: Callable[[str], Awaitable[int]],
        log: Logger,
    ) -> None:
        self._settings = settings
        self._store = store
        self._folder = folder
        self._log = log
        self._turning: TaskGroup | None = None
        self.health = Health(log)
        lost = Lost(settings, store, lambda: self.owner, lambda: self.delivery)
        self.delivery = Delivery(store, lambda: settings().limits, health=self.health, lost=lost, log=log)
        of_account = AccountOwner(settings, instances, log=log).chat
        self.ownership = Ownership(settings, store, of_account=of_account, log=log)
        self.owner = Owner(settings, self.ownership.chat, store, self.delivery, log)
        self.grants = Grants(store)
        self.seats = Seats(settings, folder, instances)
        self.pool = SessionPool(settings, room=room, log=log)
        self.standings = self.seats.standings
        self.logins = Logins(settings, store, self.delivery, self.owner, instances, standings=self.standings, log=log)
        self.standings.on_change, self.standings.on_lost = self._account_changed, self.logins.is_lost
        self.successions = Successions(self.standings, self.owner, store, by_code=self.logins.by_code, log=log)
        self.turns = Turns(self.pool, lambda: settings().limits, log)
        self.answering = Answering(
            settings,
            store,
            self.turns,
            self.delivery,
            self.owner,
            seat=self.seats.of_message,
            standings=self.standings,
            successions=self.successions,
            passed=lambda cause: self.lanes.passed(cause),
            gets_code=self.logins.takes_care_of,
            by_code=self.logins.by_code,
            log=log,
        )
        self.lanes = Lanes(
            store,
            lambda: settings().limits,
            context=lambda: settings().most_context,
            run=self.answering,
            take=self._take,
            health=self.health,
            log=log,
        )

    def use_operations(self, operations: Operations) -> None:
        """Give the owner's orders the hands that carry them out."""
        self.router = Router(
            self._settings,
            self._store,
            self.lanes,
            self.turns,
            self.delivery,
            owner=self.owner,
            ownership=self.ownership,
            grants=self.grants,
            orders=Orders(operations),
            folder=self._folder,
            log=self._log,
        )

    @property
    def failed(self) -> int:
        """Count the attempts to answer that have failed since the start."""
        return self.answering.failed

    async def load(self) -> None:
        """Read what every message needs from the store.

        Raises:
            StoreError: It can't be read.
        """
        await self.grants.load()
        await self.ownership.load()
        await self.successions.load()
        await self.logins.load()

    async def start(self, tasks: TaskGroup) -> None:
        """Make ready to send and to answer."""
        self._turning = await tasks.start(self._hold_turns)
        self.pool.open(tasks)
        self.logins.open(tasks)
        await tasks.start(self.delivery.run)
        tasks.start_soon(self._tell_of_health)
        tasks.start_soon(self.standings.watch)
        tasks.start_soon(self.pool.watch)

    async def open(self) -> None:
        """Go on with what waits in the store; the transports must be there: what they say of themselves counts.

        Raises:
            StoreError: It can't be read.
        """
        assert self._turning is not None  # noqa: S101  # started before
        await self.owner.catch_up()
        await self.lanes.open(self._turning)

    def offer_ownership(self) -> None:
        """Say in the log how somebody becomes the owner, where nobody is."""
        code = self.ownership.offer()
        if code is not None:
            settings = self._settings()
            self._log.info("%s", phrase(settings.language, "owner_code", name=settings.assistant, code=code))

    async def settings_changed(self) -> None:
        """Follow a reload: lanes that are held try again at once, since their cause may have been mended."""
        self.lanes.fill()
        await self.logins.settings_changed()
        self.standings.restored_all()
        self.pool.look_soon()
        for lane in list(self.lanes.held):
            self.lanes.let_go(lane)
        for problem in self._settings().problems:
            await self.owner.tell(f"senders {problem}", phrase(self.owner.language, "owner_senders", cause=problem))

    def _account_changed(self, name: str, usable: bool) -> None:
        """Let the chats go on that waited for an account, and the agents go that it pays for no more."""
        self.pool.look_soon()
        self.logins.changed(name, usable)
        if usable:
            for lane, hold in list(self.lanes.held.items()):
                if waits_for(hold.passes_with, name):
                    self.lanes.let_go(lane)

    async def settled(self) -> None:
        """Wait until everything is answered that can be, and sent."""
        await self.lanes.settled()
        await self.delivery.settled()

    async def wind_up(self, seconds: float) -> bool:
        """Start no more turns, and let those that run finish within so many seconds; whether all did.

        Those that don't are handed back: the next start goes on with them.
        """
        self.lanes.close()
        with anyio.move_on_after(seconds):
            await self.lanes.settled()
            return True
        assert self._turning is not None  # noqa: S101  # started before
        self._turning.cancel_scope.cancel()
        with anyio.move_on_after(seconds, shield=True):
            await self.lanes.give_back()
        return False

    async def _tell_of_health(self) -> None:
        """Tell the owner when the store can't be written, past the outbox, since that is in the store."""
        while True:
            await self.health.changed()
            if (problem := self.health.problem) is not None:
                language = self.owner.language
                said = phrase(language, "owner_store", cause=problem.message, remedy=problem.remedy)
                await self.owner.tell_past_the_outbox(said)

    def _take(self, rows: Sequence[OwedRow]) -> None:
        self.delivery.take(rows)

    async def _hold_turns(self, *, task_status: anyio.abc.TaskStatus[TaskGroup]) -> None:
        """Keep a task group for turns only, which can be cancelled by itself."""
        async with anyio.create_task_group() as tasks:
            task_status.started(tasks)
            await anyio.sleep_forever()
