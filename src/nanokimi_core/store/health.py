"""Whether the store can be written at the moment, said once."""

from __future__ import annotations

from logging import Logger

import anyio

from nanokimi_core.store.values import StoreError


class Health:
    """Collects the troubles of everybody who writes to the store, and says them once until they are over.

    Args:
        log: Where it is said.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._changed = anyio.Event()
        self.problem: StoreError | None = None

    def failed(self, error: StoreError) -> None:
        """Note that something could not be written; whoever wanted it waits or tries again."""
        if self.problem is None:
            self._log.error("%s", error)
            self._change(error)

    def works(self) -> None:
        """Note that something was written."""
        if self.problem is not None:
            self._log.info("the store can be written again")
            self._change(None)

    async def changed(self) -> None:
        """Wait until a trouble begins or is over."""
        await self._changed.wait()

    def _change(self, problem: StoreError | None) -> None:
        self.problem = problem
        self._changed.set()
        self._changed = anyio.Event()
