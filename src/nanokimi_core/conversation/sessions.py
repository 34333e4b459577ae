"""Warm sessions: entered at first need, left when unused, for room, or when account or instructions have changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from logging import Logger

import anyio
from anyio.abc import TaskGroup, TaskStatus

from nanokimi_core.config import Settings
from nanokimi_core.contracts.backend import Backend, Chat, Session
from nanokimi_core.conversation.accounts.chain import Account
from nanokimi_core.errors import AgentError, Failure
from nanokimi_core.plugins import Plugin
from nanokimi_core.shapes import flaw
from nanokimi_core.supervision import entered, fault, guarded_call

_LEAVING = 20.0
_LOOK_EVERY = 10.0

Place = tuple[str, str]  # backend's instance, sandbox


@dataclass
class _Warm:
    """A session that is up, and the task that holds it open."""

    place: Place
    account: Account
    instructions: str
    last_used: float
    busy: bool = True
    session: Session | None = None
    fingerprint: str | None = None
    leaving: bool = False
    overdue: bool = False
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    changed: anyio.Event = field(default_factory=anyio.Event)
    use_awaited: bool = False
    left: anyio.Event = field(default_factory=anyio.Event)


class SessionPool:
    """Keeps the sessions of chats warm, within the room that there is.

    A session is entered and left by a task of its own, so that one which hangs holds up nobody else.

    Args:
        settings: Live; of how long an unused session stays, and in what time an agent must be up.
        room: Says how many sandboxes may be up at once, for a backend's instance.
        log: For faults on leaving.
    """

    def __init__(self, settings: Callable[[], Settings], *, room: Callable[[str], Awaitable[int]], log: Logger) -> None:
        self._settings = settings
        self._tasks: TaskGroup | None = None
        self._room = room
        self._log = log
        self._warm: dict[str, _Warm] = {}
        self._places: Counter[Place] = Counter()
        self._changed = anyio.Event()
        self._look = anyio.Event()

    def open(self, tasks: TaskGroup) -> None:
        """Make ready: sessions are held in these tasks."""
        self._tasks = tasks

    @property
    def warm(self) -> int:
        """Count the sessions that are up."""
        return len(self._warm)

    @asynccontextmanager
    async def use(
        self, chat: Chat, account: Account, name: str, backend: Backend, plugin: Plugin | str = ""
    ) -> AsyncIterator[Session]:
        """Give the chat's session, for one turn. Only one turn of a chat may run at a time.

        Args:
            chat: The chat.
            account: Its account.
            name: The backend's instance.
            backend: The plugin's object.
            plugin: The culprit, should it have a fault.

        Raises:
            AgentError: The agent can't be brought up.
            LoginNeeded: The account has no valid credentials.
            PluginError: The backend does something else than it should.
        """
        current = await self._current(chat, account, name)
        warm, session = current or await self._enter(chat, account, name, backend, plugin or name)
        try:
            yield session
        finally:
            self._unused(warm)

    async def _current(self, chat: Chat, account: Account, name: str) -> tuple[_Warm, Session] | None:
        """Give the warm session, marked as busy, if there is one, and nothing has changed that it depends on."""
        warm = self._warm.get(chat.id)
        if warm is None or warm.session is None:
            return None
        same = warm.instructions == chat.instructions and warm.place == (name, chat.sandbox) and warm.account is account
        if not warm.leaving and same:
            warm.busy = True
            try:
                if not await warm.account.changed_since(warm.fingerprint):
                    return warm, warm.session
            except BaseException:
                self._unused(warm)
                raise
        await self.leave(chat.id)
        return None

    def look_soon(self) -> None:
        """Look for sessions whose account has changed at once; at those that are in use, right after their turn."""
        for warm in self._warm.values():
            warm.overdue = warm.busy
        self._look.set()

    async def watch(self) -> None:
        """Leave what runs with credentials that its chat doesn't use any more, within seconds, until cancelled."""
        while True:
            with anyio.move_on_after(_LOOK_EVERY):
                await self._look.wait()
            self._look = anyio.Event()
            await self._leave_outdated()

    async def _leave_outdated(self) -> None:
        """Leave unused sessions that were made with another grant than their account would give now."""
        wanted: dict[Hashable, str | None] = {}
        for warm in list(self._warm.values()):
            plan = None if warm.busy or warm.leaving or warm.fingerprint is None else warm.account.plan
            if plan is None:
                continue
            if plan not in wanted:
                wanted[plan] = await warm.account.next_fingerprint()
            if wanted[plan] not in (None, warm.fingerprint) and not warm.busy:
                warm.leaving = True
                warm.changed.set()

    def _unused(self, warm: _Warm) -> None:
        warm.busy = False
        warm.last_used = anyio.current_time()
        if warm.overdue:
            warm.overdue = False
            self._look.set()
        if warm.use_awaited:
            warm.changed.set()
        self._changed.set()

    async def leave(self, chat: str) -> None:
        """Leave a chat's session, if there is one, and wait until it is gone; one that hangs is cancelled."""
        warm = self._warm.get(chat)
        if warm is not None:
            warm.leaving = True
            warm.changed.set()
            with anyio.move_on_after(_LEAVING):
                await warm.left.wait()
            warm.scope.cancel()
            await warm.left.wait()

    async def leave_all(self) -> None:
        """Leave every session."""
        async with anyio.create_task_group() as tasks:
            for chat in list(self._warm):
                tasks.start_soon(self.leave, chat)

    async def _enter(
        self, chat: Chat, account: Account, name: str, backend: Backend, plugin: Plugin | str
    ) -> tuple[_Warm, Session]:
        assert self._tasks is not None  # noqa: S101  # opened before the first turn
        place, limit = (name, chat.sandbox), self._settings().limits.turn_silence.total_seconds()
        await self._make_room(place)
        warm = _Warm(place, account, chat.instructions, anyio.current_time())
        try:
            with anyio.move_on_after(limit):
                session = await self._tasks.start(self._hold, chat, backend, warm, plugin, name=f"session {chat.id}")
                return warm, session
        finally:
            if warm.session is None and not warm.left.is_set():
                self._gone(chat.id, warm)
        raise AgentError(Failure.SILENT, f"the agent was not up within {limit:g} s")

    async def _hold(
        self,
        chat: Chat,
        backend: Backend,
        warm: _Warm,
        plugin: Plugin | str,
        *,
        task_status: TaskStatus[Session] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        doing = f"in the session of {chat.id}"
        try:
            with warm.scope:
                manager = guarded_call(lambda: backend.session(chat), plugin=plugin, doing=doing)
                async with entered(manager, plugin=plugin, doing=doing, leave=_LEAVING) as session:
                    if (found := flaw(session, "session", backend.session)) is not None:
                        raise fault(plugin, doing, found.said, found.remedy)
                    warm.session, warm.fingerprint = session, warm.account.fingerprint
                    self._warm[chat.id] = warm
                    task_status.started(session)
                    await self._until_unused(warm)
        except Exception:  # a plugin boundary
            if warm.session is None:
                raise
            self._log.exception("backend %s failed to leave the session of %s", warm.place[0], chat.id)
        finally:
            self._gone(chat.id, warm)

    async def _until_unused(self, warm: _Warm) -> None:
        """Wait until a session is to be left. Its uses are looked at when its time is up, not one by one."""
        while not warm.leaving:
            rest = warm.last_used + self._settings().limits.idle_timeout.total_seconds() - anyio.current_time()
            if not warm.busy and rest <= 0:
                warm.leaving = True
                return
            warm.use_awaited, warm.changed = warm.busy, anyio.Event()
            with anyio.move_on_after(None if warm.busy else rest):
                await warm.changed.wait()

    def _gone(self, chat: str, warm: _Warm) -> None:
        if self._warm.get(chat) is warm:
            del self._warm[chat]
        warm.left.set()
        self._places[warm.place] -= 1
        if self._places[warm.place] <= 0:
            del self._places[warm.place]
        self._changed.set()

    async def _make_room(self, place: Place) -> None:
        """Reserve a place; at the cap the least recently used idle sandbox leaves first, never a busy one."""
        while True:
            cap = max(1, await self._room(place[0]))
            mine = [other for other in self._places if other[0] == place[0]]
            if place in self._places or len(mine) < cap:
                self._places[place] += 1
                return
            victim = self._least_recently_used(mine)
            if victim is None:
                await self._change()
                continue
            victims = [chat for chat, warm in self._warm.items() if warm.place == victim]
            for chat in victims:
                self._warm[chat].leaving = True
            async with anyio.create_task_group() as tasks:
                for chat in victims:
                    tasks.start_soon(self.leave, chat)

    async def _change(self) -> None:
        """Wait until a session is unused or gone."""
        if self._changed.is_set():
            self._changed = anyio.Event()
        await self._changed.wait()

    def _least_recently_used(self, places: list[Place]) -> Place | None:
        idle = []
        for place in places:
            members = [warm for warm in self._warm.values() if warm.place == place]
            if len(members) == self._places[place] and not any(warm.busy for warm in members):
                idle.append((max(warm.last_used for warm in members), place))
        return min(idle)[1] if idle else None
