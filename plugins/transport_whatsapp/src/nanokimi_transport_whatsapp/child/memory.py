"""What the child remembers of messages that were handed over: to quote them, and to read encrypted edits of them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from nanokimi_transport_whatsapp.child.database import Database
from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.engine import Read
from nanokimi_transport_whatsapp.values import Content, Media, Message, Text, Unsupported

LONGEST_TEXT = 1024
LARGEST_QUOTABLE = 16 * 1024
_ROW = 200
_AT_ONCE = 50


@dataclass(frozen=True)
class Heard:
    """A message that came: who wrote it, as the network named them, and what is needed to quote it."""

    sender: str
    quotable: bytes | None
    text: str


class Memory:
    """The newest messages, and the timers of chats.

    Args:
        database: Where.
        limits: How much.
    """

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database, self._limits = database, limits
        self._rows = self._bytes = 0

    def begin(self) -> None:
        """Count what is there."""

        def count(connection: sqlite3.Connection) -> tuple[int, int]:
            rows, size = connection.execute("SELECT count(*), coalesce(sum(size), 0) FROM heard").fetchone()
            return int(rows), int(size)

        self._rows, self._bytes = self._database.patiently(count, lasting=False)

    def hear(self, read: Read) -> None:
        """Remember a message, and its chat's timer. After a power cut some may be forgotten."""
        message = read.message
        if message is None or message.event != "message" or isinstance(message.content, Unsupported):
            return
        self._database.patiently(lambda connection: self._hear(connection, message, read), lasting=False)

    def _hear(self, connection: sqlite3.Connection, message: Message, read: Read) -> None:
        quotable = read.quotable if read.quotable and len(read.quotable) <= LARGEST_QUOTABLE else None
        text = _text(message.content)[:LONGEST_TEXT]
        size = len(quotable or b"") + len(read.secret or b"") + len(text) + _ROW
        names = (message.chat.id, message.chat.alias, message.sender.id, message.sender.alias)
        # a secret that a repeated event doesn't carry any more is kept
        connection.execute(
            "INSERT INTO heard (id, chat, chat_alias, sender, sender_alias, quotable, secret, text, size)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id, chat, sender) DO UPDATE SET"
            " quotable = coalesce(excluded.quotable, quotable), secret = coalesce(excluded.secret, secret)",
            (message.id, *names, quotable, read.secret, text, size),
        )
        self._rows, self._bytes = self._rows + 1, self._bytes + size
        for chat in filter(None, names[:2]):
            self._set_timer(connection, chat, message.expires)
        while self._rows > self._limits.heard or self._bytes > self._limits.heard_bytes:
            if not self._forget_some(connection):
                return

    def _set_timer(self, connection: sqlite3.Connection, chat: str, expires: int) -> None:
        if not expires:
            connection.execute("DELETE FROM chats WHERE chat = ?", (chat,))
            return
        known = connection.execute("SELECT expires FROM chats WHERE chat = ?", (chat,)).fetchone()
        if known == (expires,):
            return
        connection.execute("INSERT OR REPLACE INTO chats (chat, expires) VALUES (?, ?)", (chat, expires))
        connection.execute(
            "DELETE FROM chats WHERE rowid <= (SELECT max(rowid) FROM chats) - ?",
            (self._limits.chats,),
        )

    def _forget_some(self, connection: sqlite3.Connection) -> bool:
        oldest = connection.execute("SELECT number FROM heard ORDER BY number LIMIT ?", (_AT_ONCE,)).fetchall()
        connection.executemany("DELETE FROM heard WHERE number = ?", oldest)
        rows, size = connection.execute("SELECT count(*), coalesce(sum(size), 0) FROM heard").fetchone()
        self._rows, self._bytes = rows, size
        return bool(oldest)

    def secret_of(self, chat: str, sender: str, network_id: str) -> bytes | None:
        """Give the secret of a message; chat and sender by either of their names."""

        def find(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(
                "SELECT secret FROM heard WHERE id = ? AND ? IN (chat, chat_alias) AND ? IN (sender, sender_alias)"
                " ORDER BY number DESC",
                (network_id, chat, sender),
            ).fetchone()
            return row[0] if row else None

        return self._database.patiently(find, lasting=False)

    def heard(self, chat: str, network_id: str) -> Heard | None:
        """Give a message; the chat by either of its names."""

        def find(connection: sqlite3.Connection) -> Heard | None:
            row = connection.execute(
                "SELECT sender, quotable, text FROM heard WHERE id = ? AND ? IN (chat, chat_alias)"
                " ORDER BY number DESC",
                (network_id, chat),
            ).fetchone()
            return Heard(*row) if row else None

        return self._database.patiently(find, lasting=False)

    def expires(self, chat: str) -> int:
        """Give a chat's timer in seconds, 0 where there is none; the chat by either of its names."""

        def find(connection: sqlite3.Connection) -> int:
            row = connection.execute("SELECT expires FROM chats WHERE chat = ?", (chat,)).fetchone()
            return int(row[0]) if row else 0

        return self._database.patiently(find, lasting=False)


def _text(content: Content | None) -> str:
    if isinstance(content, Text):
        return content.text
    return content.caption if isinstance(content, Media) else ""
