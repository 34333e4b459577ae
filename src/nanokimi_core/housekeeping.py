"""What must be done from time to time: leases lengthened, old rows removed, space given back."""

from __future__ import annotations

import time
from collections.abc import Callable
from logging import Logger

import anyio

from nanokimi_core.config import Limits
from nanokimi_core.store import Store, StoreError

_RENEW = 20.0
_PRUNE = 3600.0
_FIRST_PRUNE = 60.0
_PAUSE = 0.05


async def keep_house(store: Store, limits: Callable[[], Limits], log: Logger) -> None:
    """Look after the store, until cancelled."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_renew, store, log)
        tasks.start_soon(_prune, store, limits, log)


async def _renew(store: Store, log: Logger) -> None:
    while True:
        await anyio.sleep(_RENEW)
        try:
            await store.renew()
        except StoreError as error:
            log.error("leases can't be renewed: %s", error)


async def _prune(store: Store, limits: Callable[[], Limits], log: Logger) -> None:
    await anyio.sleep(_FIRST_PRUNE)
    while True:
        try:
            await prune(store, limits().retention.total_seconds())
        except StoreError as error:
            log.error("old messages can't be removed: %s", error)
        await anyio.sleep(_PRUNE)


async def prune(store: Store, retention: float) -> int:
    """Remove what was done longer ago than ``retention`` seconds, a little at a time, and give its count.

    Raises:
        StoreError: It can't be removed now.
    """
    removed = 0
    while count := await store.prune(time.time() - retention):
        removed += count
        await anyio.sleep(_PAUSE)
    if removed:
        await store.vacuum()
    return removed
