"""Puts everything together, and owns every task group."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from logging import getLogger
from typing import Any

import anyio
from anyio.abc import TaskGroup

from nanokimi_core.administration import Administration
from nanokimi_core.borrowing import BorrowedAgent
from nanokimi_core.builtin.console import CHAT
from nanokimi_core.config import Location, Settings, load
from nanokimi_core.config.location import FILE_NAME
from nanokimi_core.contracts.backend import HasRoom
from nanokimi_core.contracts.plugin import HasBackgroundWork
from nanokimi_core.contracts.transport import Transport
from nanokimi_core.control.console import JoinedConsole
from nanokimi_core.control.server import serve
from nanokimi_core.control.sockets import SOCKET
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.conversation.conversation import Conversation
from nanokimi_core.delivery import Route
from nanokimi_core.errors import CommandError, ConfigError, NanoKimiError
from nanokimi_core.folder import DataFolder
from nanokimi_core.housekeeping import keep_house
from nanokimi_core.inbox import TransportInbox
from nanokimi_core.instances import Instance, make
from nanokimi_core.plugins import Kind, Plugin, PluginHost
from nanokimi_core.reloading import changed_auths, merged
from nanokimi_core.store import Store
from nanokimi_core.store.sqlite import SqliteStore
from nanokimi_core.supervision import guarded
from nanokimi_core.watchdog import Watchdog

CONSOLE = ("console", CHAT)

_LAST_SENDS = 5.0
_LEAVING = 30.0
_ROOM_WITHOUT_ADVICE = 8

log = getLogger("nanokimi")


@dataclass
class Assistant:
    """One assistant, made from the toml; ``run`` is its life.

    Attributes:
        settings: The toml's; replaced by a reload.
        location: Where the toml and the data lie.
        host: The plugins.
    """

    settings: Settings
    location: Location
    host: PluginHost

    def __post_init__(self) -> None:
        self.folder = DataFolder(self.location.data)
        self.store: Store = SqliteStore(self.location.data / "nanokimi.db", log=log)
        self.instances: dict[str, Instance] = {}
        self.conversation = Conversation(
            lambda: self.settings, self.store, self.folder, self.instances, room=self._room, log=log
        )
        self.since = time.time()
        self.operations = Administration(self)
        self.conversation.use_operations(self.operations)
        self._stopping = anyio.Event()
        self._receiving = 0
        self._plugins: TaskGroup | None = None
        self._work: TaskGroup | None = None
        self._background = False
        self._console: JoinedConsole | None = None
        self._watchdog: Watchdog | None = None
        self._auth_scopes: dict[str, anyio.CancelScope] = {}
        self._reloading = anyio.Lock()

    @property
    def stopping(self) -> bool:
        """Whether a stop has been asked for."""
        return self._stopping.is_set()

    @property
    def running(self) -> bool:
        """Whether it runs, with its transports."""
        return self._receiving > 0

    @property
    def failed(self) -> int:
        """Count the attempts to answer that have failed since the start."""
        return self.conversation.failed

    def prepare(self) -> None:
        """Load the plugins that the toml enables, and check their tables.

        Raises:
            PluginError: One is missing or broken.
            ConfigError: A table is wrong, or one name is used for two kinds of plugins.
        """
        self.folder.make()
        self._check_tables(self.settings)
        kinds: dict[str, Kind] = {}
        for kind, name in _wanted(self.settings):
            if (other := kinds.setdefault(name, kind)) != kind:
                said = f'the toml uses "{name}" as {other} and as {kind}, which would share one table and folder'
                raise ConfigError(
                    said, remedy=f'give one another name: [plugins.NAME] use = "{self.settings.use(name)}"'
                )
            self.instances[f"{kind} {name}"] = self._make(kind, name, self.settings)

    def _make(self, kind: Kind, name: str, settings: Settings) -> Instance:
        made = make(kind, name, settings=settings, location=self.location, host=self.host, tell=self._plugin_says)
        if kind == "auth":
            made.agent = BorrowedAgent(self.instances)
        return made

    async def _plugin_says(self, key: str, text: str) -> None:
        await self.conversation.owner.plugin_says(key, text)

    def _check_tables(self, settings: Settings) -> None:
        """Refuse a table of a plugin that there is none of: most often a misspelt name."""
        known = {plugin.name for plugin in self.host.plugins} | {name for _, name in _wanted(settings)}
        for name in settings.plugins:
            if settings.use(name) not in known:
                from difflib import get_close_matches

                close = get_close_matches(name, sorted(known), n=1)
                remedy = f"did you mean [plugins.{close[0]}]?" if close else f"installed: {', '.join(sorted(known))}"
                where = self.location.toml.name if self.location.toml else FILE_NAME
                raise ConfigError(
                    f"{where}: [plugins.{name}] is the table of no plugin that is installed", remedy=remedy
                )

    def stop(self) -> None:
        """Stop: intake ends, running turns finish within ``stop_timeout`` or go back into their lanes."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until stopped, or until every transport has come to its end.

        Raises:
            PluginError: A plugin can't be started.
            ConfigError: The store can't be opened.
        """
        async with flat_errors(), self.store, self._watched():
            await self.conversation.load()
            async with anyio.create_task_group() as plugins:
                await self._start_agents(plugins, background=True)
                await self._serve()
                plugins.cancel_scope.cancel()

    @asynccontextmanager
    async def without_transports(self) -> AsyncIterator[Assistant]:
        """Start the accounts and backends only, without their background work and the store, for commands."""
        async with flat_errors(), anyio.create_task_group() as plugins:
            await self._start_agents(plugins, background=False)
            try:
                yield self
            finally:
                plugins.cancel_scope.cancel()

    @asynccontextmanager
    async def offline(self) -> AsyncIterator[Assistant]:
        """Open the store, and start the accounts and backends, for commands that hold the folder's lock.

        Raises:
            ConfigError: The store can't be opened.
        """
        async with self.store:
            await self.conversation.load()
            async with self.without_transports():
                yield self

    async def reload(self) -> list[str]:
        """Read the toml again, and use what can be used at once; gives a sentence for each thing that can't.

        Raises:
            NanoKimiError: It is wrong, or an account can't be made of it: everything stays as it was.
        """
        async with self._reloading:
            read = load(self.location)
            self._check_tables(read)
            settings, later = merged(self.settings, read)
            made = {name: self._make("auth", name, settings) for name in changed_auths(self.settings, settings)}
            started = await self._start_auths(made.values())
            old = [self._auth_scopes.get(name) for name in started]
            self._auth_scopes.update(started)
            self.instances.update({f"auth {name}": instance for name, instance in made.items()})
            self.settings = settings
            if self._watchdog is not None:
                self._watchdog.hang_limit = settings.limits.hang_limit.total_seconds()
            for scope in old:
                if scope is not None:
                    scope.cancel()
            await self.conversation.settings_changed()
            return later

    async def reload_and_tell(self) -> None:
        """Read the toml again, and say in the log what came of it."""
        try:
            later = await self.reload()
        except NanoKimiError as error:
            log.error("the toml is not used: %s", error)
        else:
            log.info("the toml is read again%s", "".join(f"; {sentence}" for sentence in later))

    async def receive(self, name: str, transport: Transport, plugin: Plugin | str) -> None:
        """Run a transport once, with an inbox of its own; ends as its ``run`` does."""
        delivery, patience = self.conversation.delivery, anyio.CancelScope()
        route = delivery.route(name)
        if route is None:
            route = Route(name, transport, plugin, log)
            await delivery.add(route)
        route.use(transport)
        route.close()
        inbox = TransportInbox(route, self.conversation, self.store, self._stopping)
        if self._work is not None:
            self._work.start_soon(route.open_anyway, patience)
        try:
            await guarded(lambda: transport.run(inbox), plugin=plugin, doing=f'while "{name}" was running')
        except BaseException:
            route.close()
            raise
        finally:
            patience.cancel()
            inbox.end()
        route.open()  # it has nothing more to bring, and may still send

    @asynccontextmanager
    async def join(self, drop: bool) -> AsyncIterator[JoinedConsole]:
        """Let a terminal be the console of this process.

        Args:
            drop: End what waits in the console's chat, before and after: the terminal asks for single answers.

        Raises:
            CommandError: The process has a console of its own, or another terminal has joined.
        """
        if self._work is None or "transport console" in self.instances:
            raise CommandError("the running process has the console itself", remedy="write to it in its own terminal")
        if self._console is None:
            self._console = JoinedConsole(self.settings.assistant, lambda: self.conversation.answering.unanswered)
            self._work.start_soon(self.receive, "console", self._console, "the console")
        with self._console.reserved(once=drop):
            if drop:
                await self.drop_waiting(*CONSOLE)
            try:
                yield self._console
            finally:
                if drop:
                    with anyio.move_on_after(_LAST_SENDS, shield=True):
                        await self.drop_waiting(*CONSOLE)

    async def drop_waiting(self, transport: str, chat: str) -> int:
        """End what waits unanswered in a chat, and give its count.

        Raises:
            StoreError: It can't be written now.
        """
        count = await self.store.cancel_waiting(transport, chat)
        self.conversation.lanes.emptied((transport, chat), count)
        return count

    def _of(self, kind: str) -> list[Instance]:
        return [instance for instance in self.instances.values() if instance.kind == kind]

    async def _start_agents(self, tasks: TaskGroup, *, background: bool) -> None:
        self._plugins, self._background = tasks, background
        self._auth_scopes = await self._start_auths(self._of("auth"))
        for instance in self._of("backend"):
            await tasks.start(instance.live, _background if background else None, name=f"backend {instance.name}")

    async def _start_auths(self, instances: Iterable[Instance]) -> dict[str, anyio.CancelScope]:
        """Start accounts, each in a scope of its own, so that a reload can end it by itself: all of them or none."""
        started: dict[str, anyio.CancelScope] = {}
        if self._plugins is None:
            return started
        work = _background if self._background else None
        try:
            for instance in instances:
                scope = anyio.CancelScope()
                await self._plugins.start(_live_within, scope, instance, work, name=f"auth {instance.name}")
                started[instance.name] = scope
        except BaseException:
            for scope in started.values():
                scope.cancel()
            raise
        return started

    async def _room(self, backend: str) -> int:
        if self.settings.limits.max_warm != "auto":
            return self.settings.limits.max_warm
        value = self.instances[f"backend {backend}"].value
        if not isinstance(value, HasRoom):
            return _ROOM_WITHOUT_ADVICE
        plugin = self.instances[f"backend {backend}"].provided.plugin
        return await guarded(value.room, plugin=plugin, doing="to say how much room there is", within=30, returns=int)

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        limit = self.settings.limits.hang_limit.total_seconds()
        async with Watchdog(self.instances.values(), hang_limit=limit) as watchdog:
            self._watchdog = watchdog
            yield

    async def _serve(self) -> None:
        async with anyio.create_task_group() as work:
            self._work = work
            await self.conversation.start(work)
            work.start_soon(keep_house, self.store, lambda: self.settings.limits, log)
            await work.start(serve, self.folder.path / SOCKET, self.operations, self.join)
            async with anyio.create_task_group() as transports:
                await self._open(transports)
                await self.conversation.open()
                await self._introduce()
                await self._stopping.wait()
                await self._wind_up()
                transports.cancel_scope.cancel()
            work.cancel_scope.cancel()

    async def _introduce(self) -> None:
        """Say what the owner must know at the start."""
        owner = self.conversation.owner
        for problem in self.settings.problems:
            await owner.tell(f"senders {problem}", phrase(owner.language, "owner_senders", cause=problem))
        if any(name != "console" for name in self.settings.transports):
            self.conversation.offer_ownership()

    async def _wind_up(self) -> None:
        wait = self.settings.limits.stop_timeout.total_seconds()
        if self._watchdog is not None:
            self._watchdog.stop_within(3 * wait + _LEAVING)
        if not await self.conversation.wind_up(wait):
            log.warning("stopped with turns unfinished after %g s; they go on at the next start", wait)
        with anyio.move_on_after(min(wait, _LAST_SENDS)):
            await self.conversation.delivery.settled()
        with anyio.move_on_after(wait):
            await self.conversation.pool.leave_all()

    async def _open(self, tasks: TaskGroup) -> None:
        transports = self._of("transport")
        self._receiving = len(transports)
        for transport in transports:
            work = partial(self._receive, transport)
            await tasks.start(transport.live, work, name=f"transport {transport.name}")

    def _receive(self, instance: Instance, transport: Any) -> Awaitable[None]:
        return self._until_end(self.receive(instance.name, transport, instance.provided.plugin))

    async def _until_end(self, running: Awaitable[None]) -> None:
        """When the last transport has come to its end and everything is answered, the assistant stops."""
        await running
        self._receiving -= 1
        if self._receiving == 0:
            await self.conversation.settled()
            self.stop()
        await anyio.sleep_forever()


def _wanted(settings: Settings) -> Iterator[tuple[Kind, str]]:
    """Name the instances that the toml asks for."""
    for name in settings.transports:
        yield "transport", name
    for name in settings.backends():
        yield "backend", name
    for name in settings.auths():
        yield "auth", name


async def _live_within(
    scope: anyio.CancelScope,
    instance: Instance,
    work: Callable[[Any], Awaitable[None] | None] | None,
    *,
    task_status: anyio.abc.TaskStatus[None],
) -> None:
    with scope:
        await instance.live(work, task_status=task_status)


def _background(value: Any) -> Awaitable[None] | None:
    return value.run() if isinstance(value, HasBackgroundWork) else None


@asynccontextmanager
async def flat_errors() -> AsyncIterator[None]:
    """Take a single error out of the groups that task groups wrap around it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, Exception) and not isinstance(error, ExceptionGroup):
            raise error from error.__cause__
        raise
