"""The tables of the child's database."""

from __future__ import annotations

import sqlite3

MIGRATIONS = (
    """
    CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        raw BLOB NOT NULL,
        read_deaths INTEGER NOT NULL DEFAULT 0,
        fetching INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE unreadable (
        number INTEGER PRIMARY KEY, raw BLOB NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL
    );
    CREATE TABLE sends (
        key TEXT PRIMARY KEY, state TEXT NOT NULL, network_id TEXT NOT NULL DEFAULT '',
        sender TEXT NOT NULL DEFAULT '', at REAL NOT NULL
    );
    CREATE INDEX sends_by_state ON sends (state) WHERE state = 'held';
    CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE heard (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL,
        chat TEXT NOT NULL, chat_alias TEXT NOT NULL, sender TEXT NOT NULL, sender_alias TEXT NOT NULL,
        quotable BLOB, secret BLOB, text TEXT NOT NULL, size INTEGER NOT NULL,
        UNIQUE (id, chat, sender)
    );
    CREATE TABLE chats (chat TEXT PRIMARY KEY, expires INTEGER NOT NULL);
    """,
)
"""A change is a new entry; ``user_version`` counts those that are in a file."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database up to date. One that a newer version wrote is used as it is, as well as it goes."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
