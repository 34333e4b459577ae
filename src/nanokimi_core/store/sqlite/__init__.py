"""The store in one SQLite file."""

from nanokimi_core.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
