"""A whole bot in a test: a real core with a real store, on the plugins under test and scripted ones beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NoReturn, Self

import anyio
import tomlkit

from nanokimi_core.config import Location, load
from nanokimi_core.errors import NanoKimiError
from nanokimi_core.messages import ChatKind, Outbound
from nanokimi_core.plugins import PluginHost, installed
from nanokimi_core.runtime import Assistant
from nanokimi_core.status import Status
from nanokimi_core.store import DeadLetter
from nanokimi_core.store.sqlite import SqliteStore
from nanokimi_core.testing.account import ScriptedAuth
from nanokimi_core.testing.agent import ScriptedBackend
from nanokimi_core.testing.clock import FakeClock
from nanokimi_core.testing.conformance.checks import CheckFailed, whether
from nanokimi_core.testing.counters import sums_differ
from nanokimi_core.testing.installing import part
from nanokimi_core.testing.life import Life
from nanokimi_core.testing.listening import Listening
from nanokimi_core.testing.network import CHAT, MemoryNetwork, MemoryTransport

_WITHIN = 10.0
_START = 30.0
_LAST_LINES = 12


class Bot:
    """An assistant that a test runs, writes to, stops, kills and starts again, always on the same folder.

    Enter it: the assistant is up then, and its transports are connected. Left, it is stopped, and its counters must
    add up.

    Args:
        folder: For the toml and the data; need not exist.
        transport: The plugin under test: a ``Spec``, a module or another object with hooks, the name of an installed
            plugin, or a ready-made object, which then outlives restarts. A ``MemoryTransport`` unless given.
        backend: Likewise; a ``ScriptedBackend`` unless given.
        auth: Likewise; a ``ScriptedAuth`` unless given.
        toml: More of nanokimi.toml, on top of what names these plugins and lets every chat in.
        clock: What the test's event loop runs on; ``advance`` waits for the store then.
        ready: Seconds in which the transport must have connected; ``None`` doesn't wait for it.
        sums: Check at the end that the counters add up.

    Attributes:
        folder: As given.
        toml: What nanokimi.toml says.
        assistant: The core's own object, a new one after each start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        transport: Any = None,
        backend: Any = None,
        auth: Any = None,
        toml: Mapping[str, Any] | None = None,
        clock: FakeClock | None = None,
        ready: float | None = _START,
        sums: bool = True,
    ) -> None:
        self.folder = folder
        self._transport = part("transport", "net", MemoryTransport() if transport is None else transport)
        self._backend = part("backend", "brain", ScriptedBackend() if backend is None else backend)
        self._auth = part("auth", "purse", ScriptedAuth() if auth is None else auth)
        self.toml: dict[str, Any] = {
            "transports": [self._transport.name],
            "backend": self._backend.name,
            "auth": self._auth.name,
            "chats": {f"{self._transport.name}:*": {}},
        } | dict(toml or {})
        self._clock, self._ready, self._sums = clock, ready, sums
        self._listening = Listening()
        self._life: Life | None = None
        self._read: dict[str, int] = {}
        self._stack = AsyncExitStack()

    # ------------------------------------------------------------------ its life
    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stack.enter_context(self._listening)
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        if self._clock is not None:
            self._clock.busy.append(self._busy)
            self._stack.callback(self._clock.busy.remove, self._busy)
        try:
            await self.start()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            if error is None:
                await self.stop()
                if self._sums and (wrong := sums_differ(await self.counters())):
                    self._fail(f"the counters don't add up: {wrong}")
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """End what still runs; what ended the test is not to come out in a group of errors."""
        self._tasks.cancel_scope.cancel()
        await self._stack.aclose()

    async def start(self) -> None:
        """Start the assistant; returns when its transports are connected. Does nothing where it runs.

        Raises:
            NanoKimiError: It can't be started: the toml is wrong, a plugin is broken.
            CheckFailed: A transport did not call ``ready()`` in time.
        """
        if self._life is not None and not self._life.over:
            return
        self._write_toml()
        location = Location(self._toml_file, self.folder / "data")
        parts = [each.plugin for each in (self._transport, self._backend, self._auth) if each.plugin is not None]
        names = {plugin.name for plugin in parts}
        host = PluginHost([*(each for each in installed() if each.name not in names), *parts])
        assistant = Assistant(load(location), location, host)
        assistant.prepare()
        self._life = Life(assistant)
        self._tasks.start_soon(self._life.run)
        if not await whether(self._has_started, self._ready or _START):
            self._fail(f"the transport should have called ready() within {self._ready or _START:g} s")
        self._life.raise_error()

    async def stop(self) -> None:
        """Stop the assistant as ``nanokimi run`` stops at Ctrl-C. Does nothing where it doesn't run.

        Raises:
            CheckFailed: It didn't come to its end in time.
            Exception: What it ended with by itself.
        """
        life = self._life
        if life is None:
            return
        life.assistant.stop()
        patience = 3 * life.assistant.settings.limits.stop_timeout.total_seconds() + _START
        if not await whether(lambda: life.over, patience):
            self._fail(f"the assistant should have stopped within {patience:g} s")
        life.raise_error()

    async def restart(self, toml: Mapping[str, Any] | None = None) -> None:
        """Stop, and start again on the same folder.

        Args:
            toml: Keys of nanokimi.toml that change.
        """
        await self.stop()
        self.toml |= dict(toml or {})
        await self.start()

    async def crash(self, toml: Mapping[str, Any] | None = None) -> None:
        """Abandon the assistant as a kill would, and start again on the same folder.

        What is on disk at this moment is all that the next one finds: what the old one still wrote is undone.

        Args:
            toml: Keys of nanokimi.toml that change.
        """
        await self._running.kill()
        self.toml |= dict(toml or {})
        await self.start()

    async def reload(self, toml: Mapping[str, Any]) -> list[str]:
        """Write the toml anew, and let the running assistant read it; gives a sentence for each thing that waits.

        Args:
            toml: Keys of nanokimi.toml that change.

        Raises:
            NanoKimiError: It is wrong: everything stays as it was.
        """
        old = dict(self.toml)
        self.toml |= dict(toml)
        self._write_toml()
        try:
            return await self.assistant.reload()
        except NanoKimiError:
            self.toml = old
            self._write_toml()
            raise

    # ------------------------------------------------------------------ people
    def chat(self, name: str = CHAT, *, kind: ChatKind = "direct") -> BotChat:
        """Give a chat of the in-memory network, to write in and to read."""
        return BotChat(self, name, kind)

    async def says(self, text: str, chat: str = CHAT, *, sender: str = "ana", **more: Any) -> None:
        """Let somebody write; returns when the transport has acknowledged it. See ``MemoryNetwork.write``."""
        await self.chat(chat).says(text, sender=sender, **more)

    async def answer(self, within: float = _WITHIN, chat: str = CHAT) -> Outbound:
        """Give the next message that a chat is shown. See ``BotChat.answer``."""
        return await self.chat(chat).answer(within)

    async def settled(self, within: float = _WITHIN) -> None:
        """Wait until everything is answered that can be, and sent.

        Raises:
            CheckFailed: It took longer than ``within`` seconds.
        """
        with anyio.move_on_after(within) as limit:
            await self.assistant.conversation.settled()
        if limit.cancelled_caught:
            self._fail(f"everything should have been answered within {within:g} s")

    # ------------------------------------------------------------------ what is under test
    @property
    def assistant(self) -> Assistant:
        """The core's own object."""
        if self._life is None:
            raise RuntimeError("this bot was never started: enter it with async with")
        return self._life.assistant

    @property
    def transport(self) -> Any:
        """The transport's live object."""
        return self.assistant.instances[f"transport {self.toml['transports'][0]}"].value

    @property
    def backend(self) -> Any:
        """The backend's live object."""
        return self.assistant.instances[f"backend {self.toml['backend']}"].value

    @property
    def auth(self) -> Any:
        """The account's live object; of a chain, the first."""
        auth = self.toml["auth"]
        return self.assistant.instances[f"auth {auth if isinstance(auth, str) else auth[0]}"].value

    @property
    def network(self) -> MemoryNetwork:
        """The in-memory network.

        Raises:
            TypeError: The transport under test has another one.
        """
        if not isinstance(self.transport, MemoryTransport):
            said = f"{type(self.transport).__name__} has a network of its own"
            raise TypeError(f"{said}: write and read there, and use bot.settled() to wait")
        return self.transport.network

    @property
    def log(self) -> Sequence[str]:
        """What was logged, a line each; the last 2000."""
        return list(self._listening.lines)

    @property
    def told(self) -> Sequence[str]:
        """What the owner was told, each once."""
        return list(self._listening.told)

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Give what was given up, the latest first."""
        return await self.assistant.operations.dead()

    async def status(self) -> Status:
        """Say how everything stands, as ``nanokimi status`` does."""
        return await self.assistant.operations.status()

    async def counters(self) -> Mapping[str, int]:
        """Give the counters: ``received``, ``accepted``, ``answered``, …; also of an assistant that is stopped."""
        if self._life is not None and not self._life.over:
            return await self.assistant.store.counters()
        async with SqliteStore(self.folder / "data" / "nanokimi.db") as store:
            return await store.counters()

    # ------------------------------------------------------------------ inside
    @property
    def _toml_file(self) -> Path:
        return self.folder / "nanokimi.toml"

    @property
    def _running(self) -> Life:
        if self._life is None or self._life.over:
            raise RuntimeError("this bot doesn't run: start it")
        return self._life

    def _write_toml(self) -> None:
        self._toml_file.write_text(tomlkit.dumps(self.toml))

    def _busy(self) -> bool:
        return self._life is not None and self._life.busy

    def _has_started(self) -> bool:
        life = self._life
        return life is None or life.over or (life.connected if self._ready is not None else life.open)

    def _fail(self, wanted: str, shown: Sequence[str] | None = None) -> NoReturn:
        """Say what was awaited, what was shown instead, and what the log says at the end."""
        said = [wanted]
        if shown is not None:
            said.append(f"it was shown {list(shown) or 'nothing'}")
        if self._life is not None and self._life.error is not None:
            said.append(f"the assistant has ended: {self._life.error}")
        lines = "".join(f"\n  {line}" for line in self.log[-_LAST_LINES:])
        raise CheckFailed("; ".join(said) + (f"; the log ends:{lines}" if lines else "; the log is empty"))


class BotChat:
    """A chat of the in-memory network.

    Args:
        bot: Whose.
        name: The network's own name of it.
        kind: A chat of two, a group, or the owner's chat with themselves.
    """

    def __init__(self, bot: Bot, name: str, kind: ChatKind = "direct") -> None:
        self._bot, self.name, self.kind = bot, name, kind

    async def says(self, text: str, *, sender: str = "ana", within: float = _WITHIN, **more: Any) -> None:
        """Let somebody write; returns when the transport has acknowledged it: it is on disk, or was refused.

        Args:
            text: As typed.
            sender: Who.
            within: Seconds.
            more: Other arguments of ``MemoryNetwork.write``.

        Raises:
            CheckFailed: It took longer.
        """
        network = self._bot.network
        message = network.write(text, self.name, sender=sender, **({"kind": self.kind} | more))
        taken: Callable[[], bool] = lambda: message not in network.unacknowledged  # noqa: E731
        if not await whether(taken, within):
            self._bot._fail(f'"{text}" should have been taken within {within:g} s')

    @property
    def shown(self) -> Sequence[str]:
        """What it has been shown, in order."""
        return self._bot.network.texts(self.name)

    @property
    def unread(self) -> Sequence[Outbound]:
        """What it has been shown and no ``answer`` has given yet, in order."""
        shown = [message for message in self._bot.network.sent if message.chat == self.name]
        return shown[self._bot._read.get(self.name, 0) :]

    async def answer(self, within: float = _WITHIN) -> Outbound:
        """Give the next message that this chat is shown; each is given once.

        Args:
            within: Seconds, on the event loop's clock.

        Raises:
            CheckFailed: None came in time; it says what was shown before, and how the log ends.
        """
        if not await whether(lambda: bool(self.unread), within):
            shown = self.shown
            self._bot._fail(f'"{self.name}" should have been shown an answer within {within:g} s', shown)
        answer = self.unread[0]
        self._bot._read[self.name] = self._bot._read.get(self.name, 0) + 1
        return answer

    async def stays_silent(self, within: float = _WITHIN) -> None:
        """See that nothing more is shown here, once everything is answered that can be.

        Raises:
            CheckFailed: Something was, or it took longer than ``within`` seconds.
        """
        await self._bot.settled(within)
        if unread := [message.text for message in self.unread]:
            self._bot._fail(f'"{self.name}" should have been shown nothing more', unread)
