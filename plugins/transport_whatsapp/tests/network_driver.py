"""The whole transport against the stand-in server: real child, real library. Its face blocks, as the friend's does."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal

from nanokimi_core import Attachment, Inbound, Outbound, Receipt
from nanokimi_core.testing import ScriptedContext
from nanokimi_transport_whatsapp import Settings, WhatsApp
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.standing import read_standing
from nanokimi_transport_whatsapp.terminal.holding import session_held

T = TypeVar("T")
SECONDS = 30.0
STOP_SECONDS = 8.0
"""A transport promises to stop within 5; a loaded machine may need longer."""
TICK = 0.01
QUICK: dict[str, Any] = {"per_minute": 600, "per_minute_chat": 600, "burst": 20, "first_retry": 0.1, "longest_retry": 1}
_MEMORY = Path("/dev/shm")
_NUMBERS = itertools.count(1)  # of keys: a child remembers them, whichever transport it works for


def until(look: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
    """Wait until something is so; gives it."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(TICK)
    return found


def in_memory() -> TemporaryDirectory[str]:
    """Give a folder for the friends' logins: on a disk, 800 keys that are written one by one take seconds."""
    return TemporaryDirectory(prefix="nanokimi-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)


class Telling(ScriptedContext):
    """A context that notes each thing that the owner is told, repetitions too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.words: list[tuple[str, str]] = []

    async def tell_owner(self, key: str, text: str) -> None:
        """Note it."""
        self.words.append((key, text))


class Running:
    """A transport that runs in a thread of its own between ``with`` and its end; also its inbox, which counts.

    Args:
        folder: With a linked account in it.
        name: The instance's.
        table: What stands in its table, beside a hurry.

    Attributes:
        context: What it was made with.
        kept: What it has delivered, oldest first; nothing is passed over.
        typing_in: Chats in which somebody wrote.
    """

    def __init__(self, folder: Path, *, name: str = "whatsapp", **table: Any) -> None:
        self.context = Telling(folder, name)
        self.kept: list[Inbound] = []
        self.typing_in: list[str] = []
        self._settings = Settings.model_validate(QUICK | table)
        self._places = Places(folder)
        self._is_ready = False
        self._portal: BlockingPortal | None = None
        self._thread: AbstractContextManager[BlockingPortal] | None = None
        self._over: Future[None] | None = None
        self._scope: anyio.CancelScope | None = None

    def __enter__(self) -> Self:
        self._thread = start_blocking_portal("asyncio")
        self._portal = self._thread.__enter__()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            if self._thread is not None:
                self._thread.__exit__(None, None, None)

    def start(self) -> None:
        """Begin a transport on the folder, as a new process of the assistant's would."""
        assert self._portal is not None
        self.transport = WhatsApp(self._settings, self.context, look_seconds=0.05)
        self._over = self._portal.start_task_soon(self._run, self.transport)

    async def _run(self, transport: WhatsApp) -> None:
        with anyio.CancelScope() as self._scope:
            await transport.run(self)

    def stop(self) -> None:
        """End it, as the core does: by cancelling."""
        if self._portal is not None and self._over is not None:
            child = self.child
            if self._scope is not None:
                self._portal.call(self._scope.cancel)
            self._over.result(STOP_SECONDS)
            self._over = None
            assert not child or not Path(f"/proc/{child}").exists(), "its child is left"

    # ------------------------------------------------------------------ the core's side
    def ready(self) -> None:
        """Note that it is connected."""
        self._is_ready = True

    def away(self) -> None:
        """Note that it isn't."""
        self._is_ready = False

    async def deliver(self, message: Inbound) -> None:
        """Keep a message; its file is taken away, as the core does."""
        for file in message.attachments:
            file.path.rename(file.path.with_name(f"kept-{file.path.name}"))
        self.kept.append(message)

    def sent(self, key: str, network_id: str) -> None:
        """Take note of nothing."""

    def typing(self, chat: str) -> None:
        """Note where somebody writes."""
        self.typing_in.append(chat)

    def send(
        self,
        chat: str,
        text: str,
        *,
        key: str = "",
        reply_to: str | None = None,
        files: Sequence[tuple[Path, str]] = (),
        seconds: float = SECONDS,
    ) -> Receipt:
        """Send, under a key of its own unless told; ``files`` are paths with their types.

        Raises:
            NotSent: As the transport says.
            Undeliverable: As the transport says.
            OutcomeUnknown: As the transport says.
        """
        return self.sending(chat, text, key=key, reply_to=reply_to, files=files).result(seconds)

    def sending(
        self,
        chat: str,
        text: str,
        *,
        key: str = "",
        reply_to: str | None = None,
        files: Sequence[tuple[Path, str]] = (),
    ) -> Future[Receipt]:
        """Begin to send."""
        assert self._portal is not None
        attached = tuple(Attachment(path.name, kind, path, path.stat().st_size) for path, kind in files)
        key = key or f"key-{next(_NUMBERS)}"
        message = Outbound(key, chat, text, reply_to=reply_to, attachments=attached)
        return self._portal.start_task_soon(self.transport.send, message)

    def show_typing(self, chat: str, on: bool) -> None:
        """Show that the assistant writes."""
        assert self._portal is not None
        self._portal.call(self.transport.typing, chat, on)

    # ------------------------------------------------------------------ how it stands
    @property
    def state(self) -> str:
        """Its state, as everybody can read it on disk."""
        standing = read_standing(self._places)
        return standing.state if standing else ""

    @property
    def child(self) -> int:
        """Its child's process id, or 0."""
        standing = read_standing(self._places)
        return standing.child if standing else 0

    def wait_until_connected(self, seconds: float = SECONDS) -> None:
        """Wait until the core may send."""
        until(lambda: self._is_ready and self.state == "connected", "it is connected", seconds)

    def wait_for_state(self, state: str) -> None:
        """Wait until it stands so."""
        until(lambda: self.state == state, f"it is {state}, not {self.state}")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the login, as commands do; afterwards it is begun anew, also after a final state."""
        with session_held(self._places, self.context.name) as held:
            assert held.by_transport(SECONDS)
            yield

    def message(self, wanted: Callable[[Inbound], bool]) -> Inbound:
        """Wait for a message."""
        return until(lambda: next(filter(wanted, list(self.kept)), None), "a message came")

    def text(self, text: str) -> Inbound:
        """Wait for a message with this text."""
        return self.message(lambda message: message.text == text)

    def times(self) -> Counter[tuple[str, str]]:
        """How often each message was delivered, by chat and id."""
        return Counter((message.chat, message.id) for message in list(self.kept))

    def told(self) -> list[tuple[str, str]]:
        """What the owner was told since this was asked last."""
        words, self.context.words = self.context.words, []
        return words


class Road:
    """A proxy between one account and the server, for trouble that others don't have. Between ``with`` and its end.

    Args:
        server: The server's own proxy.
    """

    def __init__(self, server: str) -> None:
        self._port = int(server.rpartition(":")[2])
        self._stack = ExitStack()
        self._open = True
        self._scopes: set[anyio.CancelScope] = set()

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        self._moves = self._portal.call(anyio.Event)
        self.clear()
        serving, self._own_port = self._portal.start_task(self._serve)
        self._stack.callback(serving.cancel)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """For the table's ``proxy``."""
        return f"http://127.0.0.1:{self._own_port}"

    def close(self) -> None:
        """Break all connections, and close new ones as soon as they are made."""
        self._open = False
        self._portal.call(self._break)

    def swallow(self) -> None:
        """Break all connections, and be a black hole for new ones."""

        def act() -> None:
            self._moves = anyio.Event()
            self._break()

        self._portal.call(act)

    def clear(self) -> None:
        """End the trouble; who waits in a black hole is served."""
        self._open = True
        self._portal.call(self._moves.set)

    def _break(self) -> None:
        for scope in list(self._scopes):
            scope.cancel()

    async def _serve(self, *, task_status: TaskStatus[int]) -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            task_status.started(listener.extra(SocketAttribute.local_port))  # noqa: S610  # not Django's
            await listener.serve(self._carry)

    async def _carry(self, near: SocketStream) -> None:
        async with near:
            if not self._open:
                return
            with anyio.CancelScope() as scope:
                self._scopes.add(scope)
                try:
                    await self._moves.wait()
                    far = await anyio.connect_tcp("127.0.0.1", self._port)
                    async with far, anyio.create_task_group() as both:
                        both.start_soon(_pump, near, far, scope)
                        both.start_soon(_pump, far, near, scope)
                finally:
                    self._scopes.discard(scope)


async def _pump(here: SocketStream, there: SocketStream, scope: anyio.CancelScope) -> None:
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for data in here:
            await there.send(data)
    scope.cancel()
