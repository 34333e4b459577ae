"""Instances of plugins: made from the toml, kept alive in a task of their own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from logging import LoggerAdapter
from pathlib import Path
from typing import Any, Literal

import anyio
from anyio.abc import TaskStatus
from pydantic import BaseModel

from nanokimi_core.config import Location, Settings, validate_table
from nanokimi_core.contracts.auth import AgentCommands, UsesAgent
from nanokimi_core.contracts.plugin import Check
from nanokimi_core.errors import ConfigError, NanoKimiError, NetworkAway, NotAccepted, PluginError
from nanokimi_core.folder import DataFolder
from nanokimi_core.logs import instance_log, keep_secrets_of
from nanokimi_core.plugins import Kind, PluginHost, Provided
from nanokimi_core.shapes import flaw, offers
from nanokimi_core.supervision import BackOff, entered, fault, guarded, guarded_call, named, wrong_return

_LONG_AWAY = 60.0  # seconds after which the owner hears that a network is away
STARTING = 60.0  # seconds in which an object must be entered

State = Literal["starting", "running", "waiting", "ended", "failed"]
Tell = Callable[[str, str], Awaitable[None]]


@dataclass
class InstanceContext:
    """The core's ``Context``."""

    name: str
    assistant: str
    folder: Path
    log: LoggerAdapter[Any]
    installation: str
    tell: Tell

    async def tell_owner(self, key: str, text: str) -> None:
        """Say something to the owner, once for each ``key`` until ``text`` changes."""
        await self.tell(f"{self.name} {key}", f"{self.name}: {text}")


@dataclass
class Instance:
    """A plugin instance that the toml asks for, and how it stands.

    Attributes:
        name: In the toml.
        kind: What it is used as.
        provided: The ``Spec`` and the plugin that it comes from.
        config: Its table, checked.
        context: What it gets from the core.
        value: The plugin's object, once it is made; another one after it had to be made again.
        state: ``waiting`` is for the next attempt; ``ended`` is in peace, and the object can still be used.
        since: When it came into that state, in seconds since 1970.
        last_error: What went wrong last; empty where nothing did.
        restarts: How often it was started again.
        alive: Whether ``live`` has yet to end: at a stop, those that remain hold it up.
        back_off: Makes what says how long to wait before it is started again.
        agent: For an account that needs the agent's own commands.
    """

    name: str
    kind: Kind
    provided: Provided
    config: BaseModel
    context: InstanceContext
    value: Any = None
    state: State = "starting"
    since: float = field(default_factory=time.time)
    last_error: str = ""
    restarts: int = 0
    alive: bool = False
    back_off: Callable[[], BackOff] = BackOff
    agent: AgentCommands | None = None
    _away_since: float | None = None

    async def check(self) -> list[Check]:
        """Ask the plugin's lines for ``nanokimi doctor``."""
        look = self.provided.spec.check
        if look is None:
            return []
        plugin, doing = self.provided.plugin, "to check itself"
        try:
            lines = await guarded(partial(look, self.config, self.context), plugin=plugin, doing=doing)
            if not isinstance(lines, Sequence):
                raise wrong_return(plugin, doing, look, lines, "a list of Check")
            return [_real_check(line) for line in lines]
        except PluginError as error:
            return [Check(self.name, "failed", error.message, error.remedy)]
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            said = named(plugin, doing, error)
            return [Check(self.name, "failed", said.message, said.remedy)]

    async def live(
        self,
        work: Callable[[Any], Awaitable[None] | None] | None,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Make the object, enter it where it is an async context manager, and do its work until cancelled.

        Where the object's own tasks end it after the start, it is left and made again, after a back-off.

        Args:
            work: Gives what to run for the made object; ``None`` from it, or for it, just keeps the object alive. It
                is called anew for each run, in a new task, when the run before is over; so a ``finally`` in what it
                gives closes what belongs to one run. A run that raises is repeated after a back-off; one that returns
                has ended in peace, and the object stays.
            task_status: Started when the object is made.

        Raises:
            PluginError: The object can't be made at the start.
        """
        waits, made = self.back_off(), False
        self.alive = True
        try:
            while True:
                begun = anyio.current_time()
                try:
                    async with self._made() as self.value:
                        if not made:
                            task_status.started()
                        made = True
                        await self._keep_running(work)
                except NanoKimiError as error:
                    if not made:
                        self._stands("failed", error)
                        raise
                    await self._wait(error, waits.after(anyio.current_time() - begun))
        finally:
            self.alive = False
            if self.state != "failed":
                self._stands("ended")

    @asynccontextmanager
    async def _made(self) -> AsyncIterator[Any]:
        plugin, doing = self.provided.plugin, f'to make "{self.name}"'
        self._stands("starting")
        try:
            value = guarded_call(
                lambda: self.provided.spec.create(self.config, self.context), plugin=plugin, doing=doing
            )
            async with AsyncExitStack() as stack:
                maker: object = self.provided.spec.create
                if hasattr(value, "__aenter__"):
                    maker = value.__aenter__
                    value = await stack.enter_async_context(entered(value, plugin=plugin, doing=doing, start=STARTING))
                self._check_object(value, maker)
                if self.agent is not None and offers(value, UsesAgent):
                    guarded_call(partial(value.use_agent, self.agent), plugin=plugin, doing=doing)
                yield value
        except NanoKimiError:
            raise
        except Exception as error:  # a plugin boundary
            raise named(plugin, doing, error) from error

    def _check_object(self, value: Any, maker: object) -> None:
        if (found := flaw(value, self.kind, maker)) is not None:
            raise fault(self.provided.plugin, f'to make "{self.name}"', found.said, found.remedy)

    async def _keep_running(self, work: Callable[[Any], Awaitable[None] | None] | None) -> None:
        waits = self.back_off()
        self._stands("running")
        while work is not None:
            begun = anyio.current_time()
            error = await self._run_once(work)
            if error is None:
                break
            lasted = anyio.current_time() - begun
            if lasted >= _LONG_AWAY:
                self._away_since = None
            await self._wait(error, waits.after(lasted))
            self._stands("running")
        await anyio.sleep_forever()

    async def _run_once(self, work: Callable[[Any], Awaitable[None] | None]) -> NanoKimiError | None:
        """Run in a task that ends with the run, so that no scope or cancellation that a plugin leaves behind stays."""
        plugin, doing = self.provided.plugin, f'while "{self.name}" was running'
        raised: NanoKimiError | None = None

        async def run() -> None:
            nonlocal raised
            try:
                running = guarded_call(lambda: work(self.value), plugin=plugin, doing=doing)
                if running is not None:
                    await guarded(lambda: running, plugin=plugin, doing=doing)
                    self._stands("ended")
            except PluginError as error:
                raised = error
            except ConfigError as error:
                raised = error
            except Exception as error:  # noqa: BLE001  # a plugin boundary
                raised = named(plugin, doing, error)
                if raised is not error:
                    raised.__cause__ = error

        async with anyio.create_task_group() as task:
            task.start_soon(run, name=f"{self.kind} {self.name}, run {self.restarts}")
        return raised

    async def _wait(self, error: NanoKimiError, seconds: float) -> None:
        self._stands("waiting", error)
        if isinstance(error, NotAccepted):  # the store's trouble, which has been said
            await anyio.sleep(seconds)
            self.restarts += 1
            return
        if isinstance(error, (ConfigError, NetworkAway)):  # what the owner has to mend, or the network itself
            said = f"{self.name}: {error}"
            self.context.log.warning("%s (tried again in %.1f s)", said, seconds)
        else:
            said = str(error)
            self.context.log.error("%s (tried again in %.1f s)", said, seconds, exc_info=error.__cause__ or error)
        if not isinstance(error, NetworkAway) or self._is_long_away():
            await self.context.tell("fault " + self.name, said)
        await anyio.sleep(seconds)
        self.restarts += 1

    def _is_long_away(self) -> bool:
        now = anyio.current_time()
        self._away_since = now if self._away_since is None else self._away_since
        return now - self._away_since >= _LONG_AWAY

    def _stands(self, state: State, error: NanoKimiError | None = None) -> None:
        self.state, self.since = state, time.time()
        if error is not None:
            self.last_error = str(error)


def _real_check(line: Any) -> Check:
    if isinstance(line, Check) and line.outcome in ("ok", "warning", "failed"):
        return line
    raise TypeError(f"{line!r} is no Check with an outcome of ok, warning or failed")


def make(kind: Kind, name: str, *, settings: Settings, location: Location, host: PluginHost, tell: Tell) -> Instance:
    """Find the plugin of an instance, check its table, and give it its context. No log shows a secret of its table.

    Raises:
        PluginError: The plugin is missing or broken.
        ConfigError: The table is wrong.
    """
    provided = host.spec(kind, settings.use(name))
    config = validate_table(provided.spec.config, settings.table(name), name, location)
    keep_secrets_of(config)
    folder = DataFolder(location.data)
    context = InstanceContext(
        name=name,
        assistant=settings.assistant,
        folder=folder.plugin(name),
        log=instance_log(name),
        installation=folder.installation,
        tell=tell,
    )
    return Instance(name, kind, provided, config, context)
