"""The tables, and how an older file becomes a newer one.

``lane`` names a chat by a small number. ``inbox`` and ``outbox`` hold their states as numbers so that the partial
indexes stay small; the views ``inbox_states`` and ``outbox_states`` show them in words. A row that is done keeps its
ids, so that it is known when it comes again, but not its text.

    inbox.state    0 pending   1 claimed   2 context (said, not used yet)   3 done   4 dead
    inbox.role     0 turn      1 order     2 context                        3 done at once
    outbox.state   0 owed      1 sent      2 dead                           3 dropped (a dead one that was ended)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from nanokimi_core.errors import ConfigError
from nanokimi_core.store.values import Role

PENDING, CLAIMED, CONTEXT, DONE, DEAD = range(5)
OWED, SENT, UNDELIVERED, DROPPED = range(4)
ROLES = (Role.TURN, Role.ORDER, Role.CONTEXT, Role.DONE)
ROLE_NUMBER = {role: number for number, role in enumerate(ROLES)}

_FIRST = (
    """CREATE TABLE lane(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        transport TEXT NOT NULL,
        chat TEXT NOT NULL,
        UNIQUE(transport, chat))""",
    """CREATE TABLE inbox(
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        lane INTEGER NOT NULL,
        message TEXT NOT NULL,  -- the network's id
        state INTEGER NOT NULL,
        role INTEGER NOT NULL,
        attempts INTEGER NOT NULL,  -- started ones
        since REAL NOT NULL,  -- accepted, seconds since 1970
        turn TEXT,  -- of a claimed row, of one that waits to be tried again, and of the context that they use
        holder TEXT,  -- who has claimed it
        until REAL,  -- the lease
        stopped INTEGER,  -- 1: stopped by a person while it was claimed
        ended REAL,  -- done or dead, seconds since 1970
        cause TEXT,  -- of a dead letter
        body TEXT,  -- the message as JSON, until it is done
        UNIQUE(lane, message))""",
    "CREATE INDEX inbox_open ON inbox(state, lane, number) WHERE state < 3",
    "CREATE INDEX inbox_dead ON inbox(ended) WHERE state = 4",
    """CREATE TABLE outbox(
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        lane INTEGER NOT NULL,
        state INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        since REAL NOT NULL,
        network_id TEXT,  -- where it is not the key
        ended REAL,
        cause TEXT,
        text TEXT,  -- until it is sent
        more TEXT  -- thread, reply_to, attachments, notice as JSON, where there is any
        )""",
    "CREATE INDEX outbox_owed ON outbox(lane, number) WHERE state = 0",
    "CREATE INDEX outbox_dead ON outbox(ended) WHERE state = 2",
    "CREATE INDEX outbox_network_id ON outbox(network_id) WHERE network_id IS NOT NULL",
    "CREATE INDEX inbox_lane_dead ON inbox(lane) WHERE state = 4",
    """CREATE TABLE other_id(
        outbox INTEGER NOT NULL,
        network_id TEXT NOT NULL,  -- a second id of the same message
        PRIMARY KEY(network_id, outbox)) WITHOUT ROWID""",
    "CREATE INDEX other_id_outbox ON other_id(outbox)",
    """CREATE TABLE turns(
        day TEXT NOT NULL,
        lane INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY(day, lane)) WITHOUT ROWID""",
    """CREATE TABLE chat(
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,  -- transport:chat
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        people TEXT NOT NULL,  -- a JSON list
        seen REAL NOT NULL)""",
    "CREATE INDEX chat_seen ON chat(seen)",
    "CREATE TABLE granted(chat TEXT PRIMARY KEY, granted INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE counter(name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE note(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE told(key TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE asked(key TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX asked_at ON asked(at)",
    """CREATE VIEW inbox_states AS SELECT number, message, transport, chat,
        CASE state WHEN 0 THEN 'pending' WHEN 1 THEN 'claimed' WHEN 2 THEN 'context'
                   WHEN 3 THEN 'done' ELSE 'dead' END AS state, attempts
        FROM inbox JOIN lane ON lane.id = inbox.lane""",
    """CREATE VIEW outbox_states AS SELECT number, key, transport, chat,
        CASE state WHEN 0 THEN 'owed' WHEN 1 THEN 'sent' WHEN 2 THEN 'dead' ELSE 'dropped' END AS state, attempts
        FROM outbox JOIN lane ON lane.id = outbox.lane""",
)

Migration = Sequence[str]
MIGRATIONS: tuple[Migration, ...] = (_FIRST,)
"""The n-th turns version n-1 into n; an empty file is version 0. Never changed once released, only added to."""


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring a file to the newest version, each step in a transaction of its own.

    Raises:
        ConfigError: A newer version of NanoKimi wrote it.
    """
    newest = len(migrations)
    version = refuse_newer(connection, path, newest)
    while version < newest:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _version(connection)  # somebody else may have done it meanwhile
            if version < newest:
                for statement in migrations[version]:
                    connection.execute(statement)
                version += 1
                connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def refuse_newer(connection: sqlite3.Connection, path: Path, newest: int = len(MIGRATIONS)) -> int:
    """Give the version of a file, without changing it.

    Raises:
        ConfigError: A newer version of NanoKimi wrote it.
    """
    version = _version(connection)
    if version > newest:
        raise ConfigError(
            f"{path} was written by a newer NanoKimi (its version is {version}, this one knows {newest})",
            remedy="install the newer NanoKimi again, or set NANOKIMI_HOME to another data folder",
        )
    return version


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
