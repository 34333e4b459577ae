"""The bare loop: the least that a durable bot does, without what a bot is for. NanoKimi is measured against it.

    python -m benchmarks.peers.on_bare SCENARIO [--count N]

A task for each chat; two pluggy hooks around each answer, which three plugins hear; SQLite with WAL and
``synchronous=FULL``. Three writes: a row for each message before it is taken, one transaction that finishes it and owes
the answer, one that notes the answer as sent. One task writes, through a worker thread: all that waits goes into one
commit.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pluggy
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from benchmarks.peers.ledger import Ledger, say
from benchmarks.peers.work import QUIET, Naps, Scenario, by_chat, chosen, command_line, feed, pour, until

TABLES = """
    pragma journal_mode = wal;
    pragma synchronous = full;
    create table inbox (
        number integer primary key, network text, id text, chat text, text text, done int default 0,
        unique (network, chat, id)
    );
    create table outbox (number integer primary key, answers int, chat text, text text, sent int default 0);
"""


spec, impl = pluggy.HookspecMarker("bare"), pluggy.HookimplMarker("bare")


class Hooks:
    """What plugins can hear."""

    @spec
    def before(self, chat: str, text: str) -> None:
        """A message is about to be answered."""

    @spec
    def after(self, chat: str, text: str) -> None:
        """It was."""


class Plugin:
    """Hears it all and does nothing."""

    @impl
    def before(self, chat: str, text: str) -> None:
        """Nothing."""

    @impl
    def after(self, chat: str, text: str) -> None:
        """Nothing."""


def hooks() -> Any:
    """Register three plugins, and give their hooks."""
    manager = pluggy.PluginManager("bare")
    manager.add_hookspecs(Hooks)
    for name in ("first", "second", "third"):
        manager.register(Plugin(), name)
    return manager.hook


class Book:
    """The rows; every call belongs into a transaction."""

    def __init__(self, file: Path) -> None:
        self.db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self.db.executescript(TABLES)

    def accept(self, chat: str, text: str) -> int | None:
        """Keep a message; ``None`` where it is known."""
        row = self.db.execute(
            "insert into inbox (network, id, chat, text) values ('net', ?, ?, ?) on conflict do nothing",
            (text, chat, text),
        )
        return row.lastrowid if row.rowcount else None

    def finish(self, message: int, chat: str, text: str) -> int | None:
        """End a message, and owe its answer."""
        self.db.execute("update inbox set done = 1 where number = ?", (message,))
        return self.db.execute(
            "insert into outbox (answers, chat, text) values (?, ?, ?)", (message, chat, text)
        ).lastrowid

    def sent(self, answer: int) -> None:
        """Note that an answer was sent."""
        self.db.execute("update outbox set sent = 1 where number = ?", (answer,))

    def kept(self) -> int:
        """Count the messages that are done and whose answer is noted as sent."""
        rows = self.db.execute(
            "select count(*) from inbox join outbox on answers = inbox.number where done = 1 and sent = 1"
        )
        return int(rows.fetchone()[0])


class Change:
    """Something to be written, and who waits for it."""

    def __init__(self, write: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.write = write
        self.arguments = arguments
        self.value: Any = None
        self.done = anyio.Event()


class Writer:
    """Group commit: one task that has all that waits written in one transaction, in a worker thread."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._waiting: list[Change] = []
        self._news = anyio.Event()

    async def do(self, write: Callable[..., Any], *arguments: Any) -> Any:
        """Have a change on disk, and give what it gives."""
        change = Change(write, arguments)
        self._waiting.append(change)
        self._news.set()
        await change.done.wait()
        return change.value

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            batch, self._waiting = self._waiting, []
            await anyio.to_thread.run_sync(self._commit, batch)
            for change in batch:
                change.done.set()

    def _commit(self, batch: list[Change]) -> None:
        self._book.db.execute("begin immediate")
        for change in batch:
            change.value = change.write(*change.arguments)
        self._book.db.execute("commit")


class Bot:
    """A lane for each chat, an answer for each message."""

    def __init__(self, ledger: Ledger, writer: Writer, book: Book, tasks: TaskGroup) -> None:
        self._ledger = ledger
        self._writer = writer
        self._book = book
        self._tasks = tasks
        self._hook = hooks()
        self._naps = Naps() if ledger.scenario.naps else None
        self._lanes: dict[str, MemoryObjectSendStream[tuple[int, str]]] = {}
        self.noted = 0

    async def deliver(self, chat: str, text: str) -> None:
        """Take a message; returns when it is on disk."""
        message = await self._writer.do(self._book.accept, chat, text)
        if message is None:
            return
        if chat not in self._lanes:
            self._lanes[chat], waiting = anyio.create_memory_object_stream[tuple[int, str]](1000)
            self._tasks.start_soon(self._work, chat, waiting)
        await self._lanes[chat].send((message, text))

    async def _work(self, chat: str, waiting: MemoryObjectReceiveStream[tuple[int, str]]) -> None:
        async for message, text in waiting:
            self._hook.before(chat=chat, text=text)
            if self._naps:
                self._ledger.begin(chat)
                await anyio.sleep(self._naps.next())
                self._ledger.end(chat)
            answer = await self._writer.do(self._book.finish, message, chat, text)
            self._ledger.leave(text)
            self._tasks.start_soon(self._sent, answer)
            self._hook.after(chat=chat, text=text)

    async def _sent(self, answer: int) -> None:
        await self._writer.do(self._book.sent, answer)
        self.noted += 1


async def measure(scenario: Scenario, folder: Path) -> None:
    book = Book(folder / "bare.db")
    writer = Writer(book)
    ledger = Ledger(scenario)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        bot = Bot(ledger, writer, book, tasks)
        ledger.start()
        if scenario.feed == "open":
            for stream in by_chat(scenario):
                tasks.start_soon(pour, ledger, bot.deliver, stream)
            await until(lambda: ledger.over, anyio.sleep)
        else:
            await feed(ledger, bot.deliver, event=anyio.Event, sleep=anyio.sleep)
        result = ledger.result()
        with anyio.move_on_after(QUIET):
            await until(lambda: bot.noted >= ledger.answered, anyio.sleep)
        say({**result, "kept": book.kept(), "synchronous": "full"})
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        anyio.run(measure, chosen(command_line().parse_args()), Path(place))
