"""One life of an assistant that a test runs: from its start to its stop, or to its kill."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from nanokimi_core.runtime import Assistant
from nanokimi_core.store.sqlite import SqliteStore
from nanokimi_core.testing.conformance.checks import whether

_KILL = 30.0
_FILES = ("nanokimi.db", "nanokimi.db-wal")


class Life:
    """An assistant's life, in a task of its own.

    Attributes:
        assistant: Whose.
        over: Whether it has ended.
        error: What it ended with; ``None`` for a stop.
    """

    def __init__(self, assistant: Assistant) -> None:
        self.assistant = assistant
        self.over = False
        self.error: Exception | None = None
        self._scope = anyio.CancelScope()

    async def run(self) -> None:
        """Live."""
        try:
            with self._scope:
                await self.assistant.run()
        except Exception as error:  # noqa: BLE001  # whatever ends an assistant is for the test that waits for it
            self.error = error
        finally:
            self.over = True

    @property
    def busy(self) -> bool:
        """Whether its store works at the moment."""
        store = self.assistant.store
        return isinstance(store, SqliteStore) and store.busy

    @property
    def open(self) -> bool:
        """Whether it has come so far that its transports run."""
        return self.assistant.running

    @property
    def connected(self) -> bool:
        """Whether all of its transports are connected."""
        names = [each.name for each in self.assistant.instances.values() if each.kind == "transport"]
        routes = [self.assistant.conversation.delivery.route(name) for name in names]
        return self.open and all(route is not None and route.connected for route in routes)

    async def kill(self) -> None:
        """End it without a stop, and leave on disk what is there now.

        Raises:
            TimeoutError: A plugin swallows its cancellation.
        """
        if not await whether(lambda: not self.busy, _KILL):
            raise TimeoutError(f"the store was still at work after {_KILL:g} s")
        data = self.assistant.location.data
        with TemporaryDirectory() as safe:  # nothing may await between these lines: the store would write on
            _copy(data, Path(safe))
            self._scope.cancel()
            if not await whether(lambda: self.over, _KILL):
                raise TimeoutError(f"the assistant could not be killed within {_KILL:g} s: a plugin doesn't let it end")
            for file in data.glob("nanokimi.db*"):
                file.unlink()
            _copy(Path(safe), data)

    def raise_error(self) -> None:
        """Raise what it ended with, where that was no stop."""
        if self.error is not None:
            raise self.error


def _copy(here: Path, there: Path) -> None:
    for name in _FILES:
        if (here / name).exists():
            shutil.copy2(here / name, there / name)
