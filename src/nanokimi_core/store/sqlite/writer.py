"""One writer with group commit: what waits at the same time becomes one transaction."""

from __future__ import annotations

import math
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from logging import Logger
from pathlib import Path
from typing import Any, Generic, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread

from nanokimi_core.errors import NanoKimiError
from nanokimi_core.store.sqlite.database import needs_reopening, open_database, store_error
from nanokimi_core.store.sqlite.posted import Posted
from nanokimi_core.store.sqlite.transaction import Transaction
from nanokimi_core.store.values import StoreError

T = TypeVar("T")
Operation = Callable[[Transaction], T]

_BATCH = 256
_LINGER = 0.005  # seconds for which posted things wait for company
_PAUSE = 1.0  # seconds between tries to write posted things when that failed


class _Call(Generic[T]):
    """An operation that somebody waits for."""

    __slots__ = ("error", "operation", "result", "undo")

    def __init__(self, operation: Operation[T]) -> None:
        self.operation = operation
        self.result: T | None = None
        self.error: Exception | None = None
        self.undo: Callable[[T], Operation[Any] | None] | None = None  # set once nobody waits any more


class _Batch:
    """Calls that go into one transaction; all who wait for them wait for one event."""

    __slots__ = ("answered", "calls")

    def __init__(self) -> None:
        self.calls: list[_Call[Any]] = []
        self.answered = anyio.Event()


class _NotBegun(Exception):
    """No transaction can begin at the moment."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Writer:
    """Runs operations in a thread, many to a transaction.

    An operation that raises is alone in that: its transaction is rolled back, and the others are run again one by
    one. So an operation must not do anything outside its transaction.

    Args:
        path: The file.
        transaction: Makes what operations work with, for a new connection.
        clock: Seconds since 1970.
        log: For what nobody waits for.
    """

    def __init__(
        self,
        path: Path,
        transaction: Callable[[sqlite3.Connection], Transaction],
        *,
        clock: Callable[[], float] = time.time,
        log: Logger,
    ) -> None:
        self.posted = Posted()
        self._path = path
        self._transaction = transaction
        self._clock = clock
        self._log = log
        self._tx: Transaction | None = None
        self._batches: deque[_Batch] = deque()
        self._wake = anyio.Event()
        self._stopping = False
        self._stopped = anyio.Event()
        self._limiter = anyio.CapacityLimiter(1)
        self._failing = False

    # ------------------------------------------------------------------ its life
    async def open(self) -> None:
        """Open the file.

        Raises:
            ConfigError: It is damaged, or was written by a newer version.
            StoreError: It can't be used at the moment.
        """
        await anyio.to_thread.run_sync(self._open, limiter=self._limiter)

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Write until ``stop``; not to be cancelled, since somebody's answer may be on its way to the disk."""
        with anyio.CancelScope(shield=True):
            try:
                task_status.started()
                while self._batches or not self._stopping:
                    await self._gather()
                    if self._batches or self.posted:
                        await self._write()
                    if self._batches:
                        await anyio.lowlevel.checkpoint()  # those who just got an answer may want to come along
                await self._write_last()
            finally:
                self._stopping = True
                for batch in self._batches:
                    self._answer(batch, StoreError(f"the store {self._path} is closed"))
                await anyio.to_thread.run_sync(self._close, limiter=self._limiter)
                self._stopped.set()

    async def stop(self) -> None:
        """Write what waits, and close; returns when that is done."""
        self._stopping = True
        self._wake.set()
        with anyio.CancelScope(shield=True):
            await self._stopped.wait()

    # ------------------------------------------------------------------ for callers
    @property
    def busy(self) -> bool:
        """Whether its thread works at the moment."""
        return self._limiter.borrowed_tokens > 0

    async def call(self, operation: Operation[T], undo: Callable[[T], Operation[Any] | None] | None = None) -> T:
        """Run an operation and give its result once that is on disk.

        Args:
            operation: Runs in a thread.
            undo: Gives what takes a result back that nobody waits for any more.

        Raises:
            StoreError: It was not done.
        """
        if self._stopping:
            raise StoreError(f"the store {self._path} is closed")
        call = _Call(operation)
        batch = self._add(call)
        try:
            await batch.answered.wait()
        except BaseException:
            call.undo = undo
            if batch.answered.is_set():
                self._take_back(call)
            raise
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[return-value]  # without an error there is a result

    def nudge(self) -> None:
        """Say that something was posted."""
        self._wake.set()

    def _add(self, call: _Call[Any]) -> _Batch:
        if not self._batches or len(self._batches[-1].calls) >= _BATCH:
            self._batches.append(_Batch())
        batch = self._batches[-1]
        batch.calls.append(call)
        self._wake.set()
        return batch

    # ------------------------------------------------------------------ the loop
    async def _gather(self) -> None:
        """Wait for a call; with what was posted only for a moment, in which it may go along with one."""
        deadline = math.inf
        while not self._batches and not self._stopping:
            if self.posted and deadline == math.inf:
                deadline = anyio.current_time() + (_PAUSE if self._failing else _LINGER)
            if anyio.current_time() >= deadline:
                return
            self._wake = anyio.Event()
            with anyio.CancelScope(deadline=deadline):
                await self._wake.wait()

    async def _write_last(self) -> None:
        if self.posted:
            await self._write()
        if self.posted:
            self._log.error("%s could not be written to the store before it was closed", self.posted)

    async def _write(self) -> None:
        batch = self._batches.popleft() if self._batches else _Batch()
        posted, self.posted = self.posted, Posted()
        error = await anyio.to_thread.run_sync(self._run, batch.calls, posted, limiter=self._limiter)
        if error is not None:
            if not self._failing:
                self._log.error("what was sent can't be noted at the moment, it is tried again: %s", error)
            posted.add(self.posted)
            self.posted = posted
        self._failing = error is not None
        self._answer(batch)

    def _answer(self, batch: _Batch, error: Exception | None = None) -> None:
        batch.answered.set()
        for call in batch.calls:
            call.error = call.error or error
            if call.undo is not None:
                self._take_back(call)

    def _take_back(self, call: _Call[Any]) -> None:
        """Undo what nobody heard of: its caller was cancelled."""
        if call.undo is not None and call.error is None and (undo := call.undo(call.result)) is not None:
            self._add(_Call(undo))

    # ------------------------------------------------------------------ in the thread
    def _run(self, calls: Sequence[_Call[Any]], posted: Posted) -> Exception | None:
        """Write a batch; gives the error where what was posted could not be written."""
        try:
            results = self._transact([posted.write, *(call.operation for call in calls)])
        except _NotBegun as error:
            return self._refuse(calls, error)
        except Exception:  # noqa: BLE001  # it belongs to one of the callers: found out one by one
            return self._run_singly(calls, posted)
        for call, result in zip(calls, results[1:], strict=True):
            call.result = result
        return None

    def _run_singly(self, calls: Sequence[_Call[Any]], posted: Posted) -> Exception | None:
        failed: Exception | None = None
        if posted:
            try:
                self._transact([posted.write])
            except _NotBegun as error:
                return self._refuse(calls, error)
            except Exception as error:  # noqa: BLE001  # kept, and tried again
                failed = self._meant(error)
        for place, call in enumerate(calls):
            try:
                (call.result,) = self._transact([call.operation])
            except _NotBegun as error:
                self._refuse(calls[place:], error)
                break
            except Exception as error:  # noqa: BLE001  # raised where the caller waits
                call.error = self._meant(error)
        return failed

    def _refuse(self, calls: Sequence[_Call[Any]], error: _NotBegun) -> Exception:
        """Tell all callers what keeps any transaction from beginning: trying each one would only take long."""
        for call in calls:
            call.error = self._meant(error.cause)
        return self._meant(error.cause)

    def _transact(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        tx = self._begin()
        try:
            results = [operation(tx) for operation in operations]
            tx.commit()
        except BaseException as error:
            self._undo(tx, error)
            raise
        return results

    def _begin(self) -> Transaction:
        try:
            tx = self._tx or self._open()
        except NanoKimiError as error:
            raise _NotBegun(error) from error
        try:
            tx.begin(self._clock())
        except sqlite3.Error as error:
            self._undo(tx, error)
            raise _NotBegun(error) from error
        return tx

    def _undo(self, tx: Transaction, error: BaseException) -> None:
        try:
            tx.roll_back()
        except sqlite3.Error:
            self._close()
        if needs_reopening(error):
            self._close()

    def _meant(self, error: Exception) -> Exception:
        if isinstance(error, sqlite3.Error):
            meant: Exception = store_error(self._path, error)
            meant.__cause__ = error
            return meant
        if isinstance(error, NanoKimiError) and not isinstance(error, StoreError):
            return StoreError(error.message, remedy=error.remedy)
        return error

    def _open(self) -> Transaction:
        self._tx = self._transaction(open_database(self._path))
        return self._tx

    def _close(self) -> None:
        tx, self._tx = self._tx, None
        if tx is not None:
            tx.connection.close()
