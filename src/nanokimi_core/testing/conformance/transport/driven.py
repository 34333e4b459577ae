"""A transport as a check drives it: its run, the inbox that it delivers into, and what its network shows meanwhile."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup

from nanokimi_core.contracts.transport import Transport
from nanokimi_core.errors import NotSent
from nanokimi_core.messages import Inbound, Outbound, Receipt
from nanokimi_core.supervision import guarded
from nanokimi_core.testing.conformance.checks import Condition, in_words, saw, until, within
from nanokimi_core.testing.conformance.rigs import TransportRig
from nanokimi_core.testing.conformance.transport.inbox import InboxRecord, ScriptedInbox


class Driven:
    """An object whose ``run`` a check starts and ends.

    Attributes:
        rig: Its rig.
        transport: The object.
        record: What it has delivered.
        wait: Seconds after which something that should happen is taken not to.
        ended: Whether the last run is over.
        error: What the last run has raised.
    """

    def __init__(self, rig: TransportRig, transport: Transport, name: str, tasks: TaskGroup) -> None:
        self.rig = rig
        self.transport = transport
        self.record = InboxRecord()
        self.wait = rig.patience / 3
        self.ended = True
        self.error: Exception | None = None
        self._folder = rig.contexts[name].folder
        self._tasks = tasks
        self._scope = anyio.CancelScope()

    def start(self) -> None:
        """Call ``run``, with an inbox of its own."""
        self.ended, self.error, self._scope = False, None, anyio.CancelScope()
        self._tasks.start_soon(self._run, ScriptedInbox(self.record, self._folder), name="run")

    async def _run(self, inbox: ScriptedInbox) -> None:
        try:
            with self._scope:
                await guarded(lambda: self.transport.run(inbox), plugin=self.rig.spec.name, doing="to run")
        except Exception as error:  # noqa: BLE001  # the plugin, whose name the check knows; what it raised is judged
            self.error = error
        finally:
            self.ended = inbox.over = True

    async def connect(self) -> None:
        """Call ``run``, and wait until the network is connected."""
        before = self.record.readies
        self.start()
        await self.until(lambda: self.record.readies > before, "run had not called inbox.ready()")

    async def stop(self) -> None:
        """Cancel the run, and wait until it is over."""
        self._scope.cancel()
        await until(lambda: self.ended, self.wait, f"run was cancelled, and had not ended {self.wait:g} s later")

    async def recover(self, readies: int) -> None:
        """Wait until a run has raised, and start another; or until it has connected again by itself.

        Args:
            readies: How often it had said that it is connected before.
        """
        otherwise = f"{self.wait:g} s later run had neither raised nor called inbox.ready() again"
        await until(lambda: self.ended or self.record.readies > readies, self.wait, otherwise)
        if self.ended:
            if self.error is None:
                saw("run returned, which means that this network has come to its end; it must raise")
            await self.connect()

    def how_it_ended(self) -> str:
        """Say what became of the last run."""
        return f"run raised {in_words(self.error)}" if self.error is not None else "run returned"

    async def until(self, done: Condition, otherwise: str | Callable[[], str]) -> None:
        """Wait until something is so, while the run lasts."""

        async def done_or_over() -> Any:
            answer = done()
            if inspect.isawaitable(answer):
                answer = await answer
            if not answer and self.ended:
                saw(f"{otherwise if isinstance(otherwise, str) else otherwise()}, and {self.how_it_ended()}")
            return answer

        def late() -> str:
            return f"{otherwise if isinstance(otherwise, str) else otherwise()} after {self.wait:g} s"

        await until(done_or_over, self.wait, late)

    async def hear(self, text: str) -> Inbound:
        """Let somebody write, and wait until that was delivered."""
        await self.rig.write(text)
        return await self.heard(text)

    async def heard(self, text: str) -> Inbound:
        """Wait until a message with this text was delivered."""
        await self.until(
            lambda: text in self.record.texts(),
            lambda: f'"{text}" was not delivered, but {self.record.texts()}',
        )
        return next(message for message in self.record.kept if message.text == text)

    async def send(self, text: str, key: str = "", **more: Any) -> Receipt | None:
        """Send to the rig's chat, within the time that the core gives it.

        Raises:
            Exception: Whatever ``send`` raises.
        """
        message = Outbound(key or _key(text), more.pop("chat", self.rig.chat), text, **more)
        with within(self.wait, f'send("{text[:20]}") had not ended after {self.wait:g} s'):
            receipt: Any = self.transport.send(message)
            if inspect.isawaitable(receipt):  # what is wrong where it isn't has a check of its own
                receipt = await receipt
            return receipt  # type: ignore[no-any-return]  # and so has what it gives

    async def owe(self, text: str) -> None:
        """Send until it is sent: again after ``NotSent``, and with ``run`` called again where it has raised."""
        with within(self.wait, f'"{text}" could not be sent within {self.wait:g} s'):
            while True:
                if self.ended:
                    await self.recover(self.record.readies)
                try:
                    await self.send(text)
                except NotSent:
                    await anyio.sleep(0.01)
                else:
                    return

    async def seen(self, *texts: str) -> None:
        """Wait until people see exactly these, in this order."""
        shown: Sequence[str] = ()

        async def so() -> bool:
            nonlocal shown
            shown = await self.rig.shown(self.rig.chat)
            return list(shown) == list(texts)

        await self.until(so, lambda: f"people saw {short(shown)}, not {short(texts)}")


def short(texts: Sequence[str]) -> str:
    """Give texts as they are, long ones cut."""
    return str([text if len(text) <= 60 else f"{text[:30]}… ({len(text)} characters)" for text in texts])


@asynccontextmanager
async def driven(rig: TransportRig, name: str = "tried") -> AsyncIterator[Driven]:
    """Make an instance whose ``run`` can be called; it is cancelled at the end."""
    async with rig.made(name) as transport, anyio.create_task_group() as tasks:
        it = Driven(rig, transport, name, tasks)
        yield it
        await it.stop()


@asynccontextmanager
async def connected(rig: TransportRig, name: str = "tried") -> AsyncIterator[Driven]:
    """Make an instance, and have it run and connected."""
    async with driven(rig, name) as it:
        await it.connect()
        yield it


def _key(text: str) -> str:
    """Make the key of a text: like the core's, one word without spaces and ends of lines."""
    return f"key-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:20]}"
