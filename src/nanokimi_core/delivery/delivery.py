"""What is owed goes out: each chat strictly in order, chats side by side."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from logging import Logger
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from nanokimi_core.config import Limits
from nanokimi_core.contracts.transport import Traits
from nanokimi_core.delivery.route import Route
from nanokimi_core.errors import NotSent, Undeliverable
from nanokimi_core.formatting import Markup, parts
from nanokimi_core.messages import Outbound
from nanokimi_core.store import Gone, Health, Owed, OwedRow, Store, StoreError
from nanokimi_core.supervision import whence

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 300.0
_IN_MEMORY = 50
_MOST_WITHDRAWN = 1000
_SUSPECT = 2  # attempts that were counted and not concluded before this process began

Lost = Callable[[OwedRow, str], Awaitable[None]]
Result = TypeVar("Result")


@dataclass
class _Line:
    """What is owed to one chat.

    Attributes:
        route: Where it goes.
        chat: Whom to.
        rows: In memory, each with whether the coming attempt is counted on disk already.
        more: There are rows on disk that are not in memory.
        last: The number of the last row that came into memory.
        again: Rows may have been put back among those that came before.
        loading: Some are being read at the moment.
        resting: It waits to be tried again.
    """

    route: Route
    chat: str
    rows: deque[tuple[OwedRow, bool]] = field(default_factory=deque)
    more: bool = False
    last: int = 0
    again: bool = False
    loading: bool = False
    resting: bool = False


@dataclass(frozen=True)
class _Failed:
    """How a send failed.

    Attributes:
        cause: In a sentence.
        final: It isn't tried again.
        certain: It was certainly not sent.
        wait: Seconds that the network asks for.
        where: In the transport's code, for the log.
    """

    cause: str
    final: bool
    certain: bool = False
    wait: float = 0.0
    where: str = ""


class Delivery:
    """Sends what the outbox holds; a row leaves it only when the transport has accepted it.

    Args:
        store: Where the outbox is.
        limits: Live; of attempts and time.
        health: Told of what can't be written.
        lost: Told of a row that is given up, with the cause; it must end it in the store.
        log: Gets what went wrong on the way.
    """

    def __init__(self, store: Store, limits: Callable[[], Limits], *, health: Health, lost: Lost, log: Logger) -> None:
        self._store = store
        self._limits = limits
        self._health = health
        self._lost = lost
        self._log = log
        self._routes: dict[str, Route] = {}
        self._lines: dict[tuple[str, str], _Line] = {}
        self._tasks: TaskGroup | None = None
        self._moved = anyio.Event()
        self._one_suspect = anyio.Lock()
        self._withdrawn: OrderedDict[str, None] = OrderedDict()
        self._read = 0  # the highest number that was read from the outbox, for any chat

    def route(self, name: str) -> Route | None:
        """Give the route of a transport instance."""
        return self._routes.get(name)

    def prepare(
        self,
        transport: str,
        chat: str,
        text: str,
        *,
        key: str,
        thread: str | None = None,
        reply_to: str | None = None,
        notice: bool = False,
    ) -> tuple[Owed, ...]:
        """Render a text to a transport's markup, and cut it to its limit; each part has a key of its own."""
        route = self._routes.get(transport)
        traits = route.traits if route else Traits()
        markup: Markup = "markdown" if notice else traits.markup  # a notice holds names, which are to stay as they are
        limit = max(1, traits.max_text)
        cut = parts(text, markup=markup, limit=limit, measure=traits.measure, lines=traits.lines)
        return tuple(
            Owed(f"{key}.{number}", transport, chat, part, thread, None if number else reply_to, (), notice)
            for number, part in enumerate(cut)
        )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Send, until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    async def add(self, route: Route) -> None:
        """Make a route known, and take up what the outbox holds for it.

        Raises:
            StoreError: The outbox can't be read.
        """
        self._routes[route.name] = route
        for chat in await self._store.owing(route.name):
            self.look(route.name, chat)
        route.loaded = True

    def remove(self, name: str) -> None:
        """Forget a route; what is owed there stays in the outbox."""
        self._routes.pop(name, None)
        for key in [key for key in self._lines if key[0] == name]:
            self._lines[key].rows.clear()
            self._lines[key].more = False

    def take(self, rows: Iterable[OwedRow]) -> None:
        """Send rows that have just been put into the outbox; those of one answer stay together."""
        for (transport, chat), answer in groupby(rows, key=_chat):
            line = self._line(transport, chat)
            if line is not None:  # else they stay in the outbox until there is such a transport
                self._append(line, list(answer))

    def _append(self, line: _Line, answer: Sequence[OwedRow]) -> None:
        full = len(line.rows) + len(answer) > _IN_MEMORY
        # What was put there later came first, or these have been read from the outbox, and may be sent by now.
        passed = answer[0].number <= max(line.last, self._read)
        if line.more or line.again or line.loading or full or passed or not line.route.loaded:
            line.more = True
            line.again = line.again or passed
        else:
            line.rows.extend((row, True) for row in answer)
            line.last = max(line.last, answer[-1].number)

    def look(self, transport: str, chat: str) -> None:
        """Look into the outbox again for a chat: something was put there by somebody else."""
        line = self._line(transport, chat)
        if line is not None:
            line.again = True

    def forget(self, transport: str, chat: str) -> None:
        """Drop what waits in memory for a chat whose rows were erased."""
        line = self._lines.get((transport, chat))
        if line is not None:
            line.rows.clear()

    async def withdraw(self, keys: Sequence[str]) -> None:
        """Take messages out of the outbox that were not sent yet; one that is on its way now may still arrive.

        Args:
            keys: Of the ``Owed``.

        Raises:
            StoreError: It can't be written now.
        """
        for key in keys:
            self._withdrawn[key] = None
            if len(self._withdrawn) > _MOST_WITHDRAWN:
                self._withdrawn.popitem(last=False)
        await self._store.withdraw(keys)

    async def settled(self) -> None:
        """Wait until nothing is on its way but what waits to be tried again, or for its network."""
        while any(line.route.connected and not line.resting for line in self._lines.values()):
            await self._moved.wait()

    def _line(self, transport: str, chat: str) -> _Line | None:
        key = (transport, chat)
        line = self._lines.get(key)
        if line is not None:
            return line
        route = self._routes.get(transport)
        if route is None or self._tasks is None:
            return None
        line = self._lines[key] = _Line(route, chat)
        self._tasks.start_soon(self._drive, key, line)
        return line

    async def _drive(self, key: tuple[str, str], line: _Line) -> None:
        try:
            await line.route.until_open()
            while line.rows or line.more or line.again:
                if line.rows:
                    await self._next(line)
                elif line.more:
                    await self._refill(line)
                else:  # what came before was sent, so only what was put back is found again
                    line.again, line.more, line.last = False, True, 0
        finally:
            del self._lines[key]
            self._move()

    async def _next(self, line: _Line) -> None:
        row, counted = line.rows.popleft()
        try:
            if not counted and row.attempts >= _SUSPECT:
                await self._deliver_suspect(line, row)
            else:
                await self._deliver(line, row if counted else await self._written(line, self._store.attempt, row))
        except Gone as error:
            self._log.info("%s", error)

    async def _refill(self, line: _Line) -> None:
        line.more, line.loading = False, True
        try:
            rows = await self._written(line, self._store.owed, line.route.name, line.chat, line.last, _IN_MEMORY)
        finally:
            line.loading = False
        line.rows.extend((row, False) for row in rows)
        line.more = line.more or len(rows) == _IN_MEMORY
        line.last = rows[-1].number if rows else line.last
        self._read = max(self._read, line.last)

    async def _deliver_suspect(self, line: _Line, row: OwedRow) -> None:
        """Send a row whose sends were cut short before, perhaps because they ended the process.

        One at a time, so that it takes no other answer with it; it is given up when that has been tried often enough.
        """
        if row.attempts >= self._limits().send_attempts:
            await self._written(
                line, self._lost, row, f"the process ended {row.attempts} times while it was being sent"
            )
            return
        await line.route.until_open()
        async with self._one_suspect:
            row = await self._written(line, self._store.attempt, row)
            failed = await self._send(line, row)
        if failed is not None:
            await self._deliver(line, row, failed)

    async def _deliver(self, line: _Line, row: OwedRow, failed: _Failed | None = None) -> None:
        """Send a row, again and again where need be, until it is accepted or given up.

        Args:
            line: Where.
            row: What; the first attempt is counted.
            failed: How the first attempt went, where it was made already.
        """
        wait, began = _FIRST_WAIT, anyio.current_time()
        failed = failed or await self._send(line, row)
        while failed is not None:
            lasted = anyio.current_time() - began  # in this process: time in which nobody tried doesn't count
            said = (line.route.name, row.owed.chat, row.attempts, failed.cause + failed.where)
            self._log.warning("%s could not send to %s (attempt %d): %s", *said)
            if failed.final or (failed.certain and lasted > self._limits().send_time.total_seconds()):
                await self._written(line, self._lost, row, failed.cause)
                return
            await self._rest(line, max(wait, failed.wait))
            wait = min(wait * 2, _LONGEST_WAIT)
            again = partial(self._store.attempt, row, counted=not failed.certain)
            row = await self._written(line, again)
            failed = await self._send(line, row)

    async def _send(self, line: _Line, row: OwedRow) -> _Failed | None:
        """Send a row once; ``None`` where it was accepted.

        Raises:
            Gone: It was withdrawn.
        """
        owed, limits = row.owed, self._limits()
        message = Outbound(owed.key, owed.chat, owed.text, owed.thread, owed.reply_to, owed.attachments)
        await line.route.until_open()
        if owed.key in self._withdrawn:
            raise Gone(f"message {owed.key} to {line.route.name}:{owed.chat} was withdrawn")
        try:
            network_id = await line.route.send(message, within=limits.send_timeout.total_seconds())
        except NotSent as error:
            wait = error.retry_after.total_seconds() if error.retry_after else 0.0
            return _Failed(f"not sent: {error}", final=False, certain=True, wait=wait)
        except Undeliverable as error:
            return _Failed(f"refused for good: {error}", final=True)
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            cause, final = f"{type(error).__name__}: {error}", row.attempts >= limits.send_attempts
            return _Failed(cause, final, where=whence(error, line.route.plugin))
        self._store.sent(row, network_id)
        return None

    async def _written(self, line: _Line, call: Callable[..., Awaitable[Result]], *arguments: object) -> Result:
        """Call the store until it works: a full disk holds up what goes out, and loses nothing of it."""
        wait = _FIRST_WAIT
        while True:
            try:
                result = await call(*arguments)
            except Gone:
                raise
            except StoreError as error:
                self._health.failed(error)
            else:
                self._health.works()
                return result
            await self._rest(line, wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _rest(self, line: _Line, seconds: float) -> None:
        line.resting = True
        self._move()
        try:
            await line.route.rest(seconds * random.uniform(0.8, 1.2))  # noqa: S311  # jitter
        finally:
            line.resting = False

    def _move(self) -> None:
        self._moved.set()
        self._moved = anyio.Event()


def _chat(row: OwedRow) -> tuple[str, str]:
    return row.owed.transport, row.owed.chat
