"""Who goes by which names, and which chats have written; on disk, so that a chat is the same one for ever.

WhatsApp names a person by a hidden id (``1000…@lid``), by a phone number (``1555…@s.whatsapp.net``), or by both in one
event. The name by which the core knows them, and so the folder of their chat, is the canonical one: the hidden id,
unless they were first heard of under the phone number alone.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
from anyio import to_thread

from nanokimi_core import NotAccepted
from nanokimi_transport_whatsapp.names_file import is_damage, open_names, set_aside
from nanokimi_transport_whatsapp.states import News

MOST_PEOPLE = 100_000
"""Of more, those who were not heard of for the longest time are forgotten."""

_MOST_CACHED = 10_000
_MARGIN = 100
_DEVICE = re.compile(r"([^@:.]+)(?:\.[0-9]+)?(?::[0-9]+)?@(lid|s\.whatsapp\.net)")
_FORGET = """
DELETE FROM names WHERE canonical IN (
    SELECT canonical FROM names WHERE canonical NOT IN (SELECT chat FROM chats)
    GROUP BY canonical ORDER BY max(heard), max(number) LIMIT ?
)
"""

T = TypeVar("T")


@dataclass(frozen=True)
class Known:
    """A chat or a person.

    Attributes:
        name: The canonical name.
        aliases: The other names.
    """

    name: str
    aliases: frozenset[str] = frozenset()


def bare(name: str) -> str:
    """Give a name without the device that it may carry."""
    found = _DEVICE.fullmatch(name)
    return f"{found[1]}@{found[2]}" if found else name


def is_person(name: str) -> bool:
    """Whether a bare name is one of those that a person can have two of."""
    return name.endswith(("@lid", "@s.whatsapp.net"))


class Names:
    """The names that one instance knows; an async context manager. SQLite works on a thread.

    Args:
        path: The database.
        most: Of people and of chats.
        clock: Seconds since 1970.

    Attributes:
        news: What the owner is to be told; whoever tells it takes it out.
    """

    def __init__(self, path: Path, *, most: int = MOST_PEOPLE, clock: Callable[[], float] = time.time) -> None:
        self._path, self._most, self._clock = path, most, clock
        self._cache: OrderedDict[str, Known] = OrderedDict()
        self._heard: OrderedDict[str, None] = OrderedDict()
        self._one = anyio.Lock()
        self._database: sqlite3.Connection | None = None
        self._trouble = ""
        self.news: list[News] = []

    async def __aenter__(self) -> Self:
        await self._do(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        database, self._database = self._database, None
        if database is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(database.close)

    async def learn(self, name: str, alias: str = "") -> Known:
        """Take note of a chat or a person that an event names, and give all of its names.

        Args:
            name: As in the event.
            alias: Its other name, where the event tells one.

        Raises:
            NotAccepted: It can't be kept on disk.
        """
        name, alias = bare(name), bare(alias)
        if not is_person(name):
            return Known(name)
        alias = alias if is_person(alias) and alias != name else ""
        known = self._cache.get(name)
        if known is None or (alias and alias != known.name and alias not in known.aliases):
            known = await self._do(partial(self._learn, name, alias), writes=True)
        for each in (known.name, *known.aliases):
            self._cache[each] = known
            self._cache.move_to_end(each)
        while len(self._cache) > _MOST_CACHED:
            self._cache.popitem(last=False)
        return known

    async def find(self, name: str) -> Known:
        """Give all names of somebody without taking note of them.

        Raises:
            NotAccepted: The database can't be read.
        """
        name = bare(name)
        if not is_person(name):
            return Known(name)
        return self._cache.get(name) or await self._do(partial(self._find, name)) or Known(name)

    async def note_chat(self, chat: str) -> None:
        """Take note that something was said in a chat.

        Args:
            chat: By its canonical name.

        Raises:
            NotAccepted: It can't be kept on disk.
        """
        if chat in self._heard:
            return
        await self._do(partial(self._note_chat, chat), writes=True)
        self._heard[chat] = None
        if len(self._heard) > _MOST_CACHED:
            self._heard.popitem(last=False)

    async def has_written(self, chat: str) -> bool:
        """Whether something was ever said in a chat, by its canonical name.

        Raises:
            NotAccepted: The database can't be read.
        """
        return chat in self._heard or await self._do(partial(self._has_written, chat))

    async def _do(self, call: Callable[[], T], *, writes: bool = False) -> T:
        async with self._one:
            try:
                result = await self._tried(call)
            except (sqlite3.Error, OSError) as error:
                raise self._refused(error) from error
            if writes:
                self._trouble = ""
            return result

    async def _tried(self, call: Callable[[], T]) -> T:
        try:
            return await to_thread.run_sync(call)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            why = str(error)
        people, chats = {name: known.name for name, known in self._cache.items()}, list(self._heard)
        aside = await to_thread.run_sync(self._begin_anew, people, chats)
        said = (
            f"{self._path.name} was damaged ({why}) and is set aside as {aside}: who is who is learnt again, but a "
            "chat first heard of by its number may go on as a new one, and under reply_only a chat must write before "
            "it is written to; look at that disk"
        )
        self.news.append(News("names damaged", said))
        return await to_thread.run_sync(call)

    def _refused(self, error: sqlite3.Error | OSError) -> NotAccepted:
        """Make the error, and have the owner told where it is another one than before: the core says nothing of it."""
        refused = NotAccepted(
            f"who is who can't be kept in {self._path.name}: {error}",
            remedy="make room on its disk, and let nanokimi write there",
        )
        if not isinstance(error, sqlite3.ProgrammingError) and str(refused) != self._trouble:
            self._trouble = str(refused)
            self.news.append(News("names", self._trouble))
        return refused

    # -------------------------------------------------------------- on the thread
    def _open(self) -> None:
        if self._database is None:
            self._database = open_names(self._path)

    def _begin_anew(self, people: dict[str, str], chats: list[str]) -> str:
        """Set the file aside, and begin another with what is in memory; gives what the old one is called now."""
        if self._database is not None:
            self._database.close()
            self._database = None
        aside, now = set_aside(self._path), int(self._clock())
        self._open()
        with self._opened as database:
            database.executemany(
                "INSERT INTO names (name, canonical, heard) VALUES (?, ?, ?)", [(*each, now) for each in people.items()]
            )
            database.executemany("INSERT INTO chats VALUES (?, ?)", [(chat, now) for chat in chats])
        return aside

    def _learn(self, name: str, alias: str) -> Known:
        database, now = self._opened, int(self._clock())
        named = [name, alias] if alias else [name]
        with database:
            canonicals = _canonicals(database, named)
            canonical = canonicals[0] if canonicals else next((each for each in named if each.endswith("@lid")), name)
            for other in canonicals[1:]:  # they were taken for two people
                database.execute("UPDATE names SET canonical = ? WHERE canonical = ?", (canonical, other))
            database.executemany(
                "INSERT INTO names (name, canonical, heard) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET heard = excluded.heard",
                [(each, canonical, now) for each in named],
            )
            (count,) = database.execute("SELECT count(*) FROM names").fetchone()
            if count > 2 * self._most:
                database.execute(_FORGET, (max(self._most // _MARGIN, 1),))
        return _known(database, canonical)

    def _find(self, name: str) -> Known | None:
        canonicals = _canonicals(self._opened, [name])
        return _known(self._opened, canonicals[0]) if canonicals else None

    def _note_chat(self, chat: str) -> None:
        database = self._opened
        with database:
            database.execute("INSERT OR REPLACE INTO chats VALUES (?, ?)", (chat, int(self._clock())))
            (count,) = database.execute("SELECT count(*) FROM chats").fetchone()
            if count > self._most:
                many = max(self._most // _MARGIN, 1)
                database.execute(
                    "DELETE FROM chats WHERE chat IN (SELECT chat FROM chats ORDER BY heard LIMIT ?)", (many,)
                )

    def _has_written(self, chat: str) -> bool:
        return self._opened.execute("SELECT 1 FROM chats WHERE chat = ?", (chat,)).fetchone() is not None

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise sqlite3.ProgrammingError("it isn't open")
        return self._database


def _canonicals(database: sqlite3.Connection, names: Sequence[str]) -> list[str]:
    """Give the canonical names under which some names are known, the one that was there first before the others."""
    query = f"SELECT DISTINCT canonical FROM names WHERE name IN ({', '.join('?' * len(names))})"  # noqa: S608
    found = [str(row[0]) for row in database.execute(query, names)]
    return sorted(found, key=lambda each: _first(database, each))


def _first(database: sqlite3.Connection, canonical: str) -> int:
    (number,) = database.execute("SELECT min(number) FROM names WHERE canonical = ?", (canonical,)).fetchone()
    return int(number)


def _known(database: sqlite3.Connection, canonical: str) -> Known:
    rows = database.execute("SELECT name FROM names WHERE canonical = ?", (canonical,))
    return Known(canonical, frozenset(str(row[0]) for row in rows) - {canonical})
