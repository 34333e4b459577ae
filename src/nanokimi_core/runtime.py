"""Puts everything together, and owns every task group."""

from __future__ import annotations

import difflib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from logging import getLogger
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from nanokimi_core.config import ChatRules, Location, Settings
from nanokimi_core.config.location import FILE_NAME
from nanokimi_core.contracts.backend import Chat, HasRoom
from nanokimi_core.contracts.plugin import HasBackgroundWork
from nanokimi_core.conversation.accounts import Account
from nanokimi_core.conversation.lanes import Lanes
from nanokimi_core.conversation.router import Counters, Router
from nanokimi_core.conversation.sessions import SessionPool
from nanokimi_core.conversation.turns import Seat, Turns
from nanokimi_core.delivery import Delivery
from nanokimi_core.errors import ConfigError
from nanokimi_core.folder import DataFolder
from nanokimi_core.instances import Instance, make
from nanokimi_core.logs import keep_secret
from nanokimi_core.messages import ChatKind, Inbound
from nanokimi_core.owner import Owner
from nanokimi_core.plugins import Kind, PluginHost

_ROOM_WITHOUT_ADVICE = 8

log = getLogger("nanokimi")


class _Intake:
    """The ``Inbox`` of one transport."""

    def __init__(self, name: str, router: Router, closed: anyio.Event) -> None:
        self.name = name
        self._router = router
        self._closed = closed

    def ready(self) -> None:
        log.info("%s is connected", self.name)

    async def deliver(self, message: Inbound) -> None:
        if not self._closed.is_set():
            await self._router.receive(self.name, message)

    def sent(self, key: str, network_id: str) -> None:
        log.debug("%s: receipt for %s: %s", self.name, key, network_id)

    def typing(self, chat: str) -> None:
        log.debug("%s: somebody writes in %s", self.name, chat)


@dataclass
class Assistant:
    """One assistant, made from the toml; ``run`` is its life.

    Attributes:
        settings: The toml's.
        location: Where the toml and the data lie.
        host: The plugins.
    """

    settings: Settings
    location: Location
    host: PluginHost

    def __post_init__(self) -> None:
        self.folder = DataFolder(self.location.data)
        self.delivery = Delivery(log)
        self.owner = Owner(self.settings.owner, self.delivery, log)
        self.instances: dict[str, Instance] = {}
        self.counters = Counters()
        self._stopping = anyio.Event()
        self._receiving = 0
        self._accounts: dict[str, Account] = {}

    @property
    def stopping(self) -> bool:
        """Whether a stop has been asked for."""
        return self._stopping.is_set()

    def prepare(self) -> None:
        """Load the plugins that the toml enables, and check their tables.

        Raises:
            PluginError: One is missing or broken.
            ConfigError: A table is wrong, or one name is used for two kinds of plugins.
        """
        self.folder.make()
        self._check_tables()
        kinds: dict[str, Kind] = {}
        for kind, name in self._wanted():
            if (other := kinds.setdefault(name, kind)) != kind:
                said = f'the toml uses "{name}" as {other} and as {kind}, which would share one table and folder'
                raise ConfigError(
                    said, remedy=f'give one another name: [plugins.NAME] use = "{self.settings.use(name)}"'
                )
            made = make(
                kind, name, settings=self.settings, location=self.location, host=self.host, tell=self.owner.tell
            )
            self.instances[f"{kind} {name}"] = made

    def _check_tables(self) -> None:
        """Refuse a table of a plugin that there is none of: most often a misspelt name."""
        known = {plugin.name for plugin in self.host.plugins} | {name for _, name in self._wanted()}
        for name in self.settings.plugins:
            if self.settings.use(name) not in known:
                close = difflib.get_close_matches(name, sorted(known), n=1)
                remedy = f"did you mean [plugins.{close[0]}]?" if close else f"installed: {', '.join(sorted(known))}"
                where = self.location.toml.name if self.location.toml else FILE_NAME
                raise ConfigError(
                    f"{where}: [plugins.{name}] is the table of no plugin that is installed", remedy=remedy
                )

    def _wanted(self) -> Iterator[tuple[Kind, str]]:
        for name in self.settings.transports:
            yield "transport", name
        for name in self.settings.backends():
            yield "backend", name
        for name in self.settings.auths():
            yield "auth", name

    def stop(self) -> None:
        """Stop: intake ends, running turns finish within ``stop_timeout``."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until stopped, or until every transport has come to its end.

        Raises:
            PluginError: A plugin can't be started.
        """
        async with flat_errors(), anyio.create_task_group() as plugins:
            for kind in ("auth", "backend"):
                await self._start(plugins, kind, _background)
            async with anyio.create_task_group() as work:
                await self._serve(work)
                work.cancel_scope.cancel()
            plugins.cancel_scope.cancel()

    @asynccontextmanager
    async def without_transports(self) -> AsyncIterator[Assistant]:
        """Start the accounts and backends only, without their background work, for commands."""
        async with flat_errors(), anyio.create_task_group() as plugins:
            for kind in ("auth", "backend"):
                await self._start(plugins, kind, None)
            try:
                yield self
            finally:
                plugins.cancel_scope.cancel()

    def chat(self, transport: str, message: Inbound, rules: ChatRules) -> Seat:
        """Find the chat of a message, its account and its backend."""
        return self.seat(f"{transport}:{message.chat}", rules, name=message.chat_name, kind=message.kind)

    def seat(self, chat: str, rules: ChatRules, *, name: str = "", kind: ChatKind = "direct") -> Seat:
        """Give the chat, account and backend that go with a chat's id under its rules.

        Raises:
            ConfigError: A ``KIMI.md`` can't be read.
        """
        account = self._account(chat, rules.auth)
        sandbox = rules.sandbox or chat
        folder = self.folder.chat(sandbox)
        instructions = self.folder.instructions(self.settings.assistant, folder)
        value = Chat(chat, name, kind, folder, account, sandbox, instructions)
        return Seat(value, account, rules.backend, self.instances[f"backend {rules.backend}"].value)

    def _account(self, chat: str, chain: tuple[str, ...]) -> Account:
        if chat not in self._accounts:
            auths = [(name, self.instances[f"auth {name}"].value) for name in chain]
            self._accounts[chat] = Account(auths, keep_secret)
        return self._accounts[chat]

    def _of(self, kind: str) -> list[Instance]:
        return [instance for instance in self.instances.values() if instance.kind == kind]

    async def _start(self, tasks: TaskGroup, kind: str, work: Callable[[Any], Awaitable[None] | None] | None) -> None:
        for instance in self._of(kind):
            await tasks.start(instance.live, work, name=f"{kind} {instance.name}")

    async def _room(self, backend: str) -> int:
        if self.settings.limits.max_warm != "auto":
            return self.settings.limits.max_warm
        value = self.instances[f"backend {backend}"].value
        return await value.room() if isinstance(value, HasRoom) else _ROOM_WITHOUT_ADVICE

    async def _serve(self, work: TaskGroup) -> None:
        limits = self.settings.limits
        pool = SessionPool(
            work,
            idle_timeout=limits.idle_timeout.total_seconds(),
            enter_timeout=limits.turn_silence.total_seconds(),
            room=self._room,
            log=log,
        )
        work.start_soon(self.owner.run)
        lanes = Lanes(work, max_turns=limits.max_turns, max_waiting=limits.max_waiting)
        router = Router(self.settings, lanes, Turns(pool, limits), self.delivery, self.owner, seat=self.chat, log=log)
        self.counters = router.counters
        async with anyio.create_task_group() as transports:
            await self._open(transports, router, lanes)
            await self._stopping.wait()
            await self._wind_up(lanes, pool)
            transports.cancel_scope.cancel()

    async def _wind_up(self, lanes: Lanes, pool: SessionPool) -> None:
        wait = self.settings.limits.stop_timeout.total_seconds()
        with anyio.move_on_after(wait) as deadline:
            await lanes.drained()
        if deadline.cancelled_caught:
            log.warning("stopped with turns unfinished after %g s", wait)
        with anyio.move_on_after(wait):
            await pool.leave_all()

    async def _open(self, tasks: TaskGroup, router: Router, lanes: Lanes) -> None:
        transports = self._of("transport")
        self._receiving = len(transports)
        for transport in transports:
            intake = _Intake(transport.name, router, self._stopping)
            work = partial(self._receive, intake, lanes)
            await tasks.start(transport.live, work, name=f"transport {transport.name}")

    def _receive(self, intake: _Intake, lanes: Lanes, transport: Any) -> Awaitable[None]:
        self.delivery.add(intake.name, transport)
        return self._until_end(transport.run(intake), lanes)

    async def _until_end(self, running: Awaitable[None], lanes: Lanes) -> None:
        """When the last transport has come to its end and everything is answered, the assistant stops."""
        await running
        self._receiving -= 1
        if self._receiving == 0:
            await lanes.drained()
            self.stop()
        await anyio.sleep_forever()


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


async def stop_on_signals(
    assistant: Assistant,
    heard: Callable[[signal.Signals], None] | None = None,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Stop the assistant at the first SIGTERM or SIGINT, and the process at once at the second.

    Args:
        assistant: To be stopped.
        heard: Told of the first signal.
        task_status: Started when signals are listened for.
    """
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        first: signal.Signals | None = None
        async for number in signals:
            if first is not None:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            first = signal.Signals(number)
            log.info("%s: stopping", first.name)
            if heard is not None:
                heard(first)
            assistant.stop()
