"""What a conformance check is, and how one is run.

A check is an async function of a rig: it does something with the plugin, and says what it saw where that isn't what the
contract wants. Nothing here needs pytest: ``nanokimi plugins check`` runs the same checks.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from nanokimi_core.plugins import Kind
from nanokimi_core.supervision import describe, loop_options
from nanokimi_core.testing.conformance.lookout import place

Loop = Literal["asyncio", "trio"]
LOOPS: tuple[Loop, ...] = ("asyncio", "trio")
_TICK = 0.005
_NOTED: ContextVar[list[str]] = ContextVar("what a check has seen")
_CORE = str(Path(__file__).parent.parent.parent)


class CheckFailed(AssertionError):
    """A check saw something else than it wanted; the text is what it saw."""


def saw(what: str) -> NoReturn:
    """End the check: this is what it saw instead.

    Raises:
        CheckFailed: Always.
    """
    with suppress(LookupError):
        _NOTED.get().append(what)
    raise CheckFailed(what)


class DoesNotApply(Exception):
    """A check finds nothing to look at: the plugin doesn't claim what it is about; the text says what."""


def expect(condition: object, otherwise: str) -> None:
    """Go on where something is so.

    Raises:
        CheckFailed: It isn't; ``otherwise`` says what was seen.
    """
    if not condition:
        saw(otherwise)


@contextmanager
def within(seconds: float, otherwise: str | Callable[[], str]) -> Iterator[None]:
    """Bound what is inside.

    Raises:
        CheckFailed: It took longer; ``otherwise`` says what was seen until then.
    """
    with anyio.move_on_after(seconds) as limit:
        yield
    if limit.cancelled_caught:
        saw(otherwise if isinstance(otherwise, str) else otherwise())


Condition = Callable[[], Any] | Callable[[], Awaitable[Any]]


async def until(done: Condition, seconds: float, otherwise: str | Callable[[], str]) -> None:
    """Wait until something is so; ``done`` may be async.

    Raises:
        CheckFailed: It wasn't in time.
    """
    if not await whether(done, seconds):
        saw(otherwise if isinstance(otherwise, str) else otherwise())


async def whether(done: Condition, seconds: float) -> bool:
    """Wait a while for something to be so, and say whether it came to be; ``done`` may be async."""
    with anyio.move_on_after(seconds):
        while True:
            answer = done()
            if hasattr(answer, "__await__"):
                answer = await answer
            if answer:
                return True
            await anyio.sleep(_TICK)
    return False


@dataclass(frozen=True)
class Check:
    """One thing that the contract wants of a plugin.

    Attributes:
        kind: Of plugin.
        name: In a few words; unique within the kind.
        wants: What the contract wants, in a sentence.
        needs: Methods, or flags that are set, that the rig must have for it; else the check doesn't apply.
        run: Does it.
    """

    kind: Kind
    name: str
    wants: str
    needs: tuple[str, ...]
    run: Callable[[Any], Awaitable[None]]

    def lacking(self, rig: type[Any]) -> list[str]:
        """Name what a rig would need to have for this check, and hasn't; or the reason why the rig is excused."""
        if self.name in (excused := getattr(rig, "excused", {})):
            return [excused[self.name]]
        return [f"the rig has no {name}" for name in self.needs if not getattr(rig, name, None)]


def check(kind: Kind, *needs: str) -> Callable[[Callable[[Any], Awaitable[None]]], Check]:
    """Make an async function of a rig a check: named as the function, in words, and wanting what its docstring says.

    Args:
        kind: Of plugin.
        needs: Methods, or flags that are set, that the rig must have for it.
    """

    def make(function: Callable[[Any], Awaitable[None]]) -> Check:
        wants = " ".join((function.__doc__ or "").split())
        return Check(kind, function.__name__.replace("_", " "), wants, needs, function)

    return make


@dataclass(frozen=True)
class Finding:
    """What came of a check.

    Attributes:
        check: It.
        loop: What it ran on.
        outcome: ``not applicable`` is for want of something in the rig or the plugin, which ``saw`` then names.
        saw: What was seen instead; empty where it passed.
    """

    check: Check
    loop: Loop
    outcome: Literal["passed", "failed", "not applicable"]
    saw: str = ""

    def __str__(self) -> str:
        if self.outcome == "failed":
            return f"{self.check.name}\n  wanted: {self.check.wants}\n  saw: {self.saw}"
        return f"{self.check.name}: {self.outcome}" + (f" ({self.saw})" if self.saw else "")


def run_check(check: Check, rig: type[Any], folder: Path, loop: Loop = "asyncio") -> Finding:
    """Run a check on a rig of its own, in an event loop of its own.

    Args:
        check: What to look at.
        rig: Its class, which is called with a folder and is an async context manager.
        folder: Empty; for the rig and the plugin's instances.
        loop: What to run on.
    """
    if lacking := check.lacking(rig):
        return Finding(check, loop, "not applicable", ", ".join(lacking))
    return _Attempt(check, rig, folder, loop).finding()


class _Attempt:
    """A check that runs in a thread, so that a plugin that can't be ended ends nothing else.

    What was seen is noted when it is seen: where the plugin then swallows its cancellation, or blocks the event loop,
    the thread is left behind.
    """

    def __init__(self, check: Check, rig: type[Any], folder: Path, loop: Loop) -> None:
        self._check, self._rig, self._folder, self._loop = check, rig, folder, loop
        self._noted: list[str] = []
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._token: EventLoopToken | None = None

    def finding(self) -> Finding:
        """Run the check, and say what came of it."""
        thread = threading.Thread(target=self._work, name=f"check: {self._check.name}", daemon=True)
        thread.start()
        if not self._wait(self._rig.patience):
            return Finding(self._check, self._loop, "failed", self._abandon(thread.ident))
        if isinstance(self._error, DoesNotApply):
            return Finding(self._check, self._loop, "not applicable", str(self._error))
        if self._noted or self._error is not None:
            said = self._noted[0] if self._noted else in_words(self._error or Exception())
            return Finding(self._check, self._loop, "failed", said)
        return Finding(self._check, self._loop, "passed")

    def _wait(self, patience: float) -> bool:
        """Wait for the end, for a third of the patience more than it should take; from what was seen on, only that."""
        late, ending = time.monotonic() + patience, patience / 3
        while not self._over.wait(_TICK if self._noted else 10 * _TICK):
            now = time.monotonic()
            if self._noted:
                late = min(late, now)
            if now > late + ending:
                return False
        return True

    def _abandon(self, thread: int | None) -> str:
        frame = sys._current_frames().get(thread or 0)
        first = self._noted[0] if self._noted else f"the check was not over after {self._rig.patience:g} s"
        blocked = ""
        if frame is not None and not self._answers():
            blocked = f"; the event loop is blocked at {place(frame)}"
        if self._loop == "asyncio" and self._token is not None:
            loop: Any = self._token.native_token
            with suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(loop.stop)
        return f"{first}; what was running then could not be ended{blocked}"

    def _answers(self) -> bool:
        """Whether the event loop still turns."""
        token: Any = self._token.native_token if self._token is not None else None
        soon = getattr(token, "call_soon_threadsafe", None) or getattr(token, "run_sync_soon", None)
        answered = threading.Event()
        with suppress(RuntimeError):  # it has just ended
            if soon is not None:
                soon(answered.set)
        return answered.wait(1.0)

    def _work(self) -> None:
        noted = _NOTED.set(self._noted)
        options = loop_options() if self._loop == "asyncio" else {}
        try:
            anyio.run(self._run, backend=self._loop, backend_options=options)
        except BaseException as error:  # noqa: BLE001  # a plugin boundary, and the end of the thread
            self._error = _find(error, DoesNotApply) or error
        finally:
            _NOTED.reset(noted)
            self._over.set()

    async def _run(self) -> None:
        self._token = current_token()
        limit = self._rig.patience
        with within(limit, f"the check was not over after {limit:g} s"):
            async with self._rig(self._folder) as made:
                await self._check.run(made)


def in_words(error: BaseException) -> str:
    """Say what came out of a plugin, and where from."""
    failed = _find(error, CheckFailed)
    return str(failed) if failed is not None else f"{describe(error)}{_place(error)}"


def _find(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := _find(each, kind)) is not None), None)
    return error if isinstance(error, kind) else None


def _place(error: BaseException) -> str:
    """Say where an error comes from, in the plugin or its rig where one of them is on the way."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not frame.filename.startswith(_CORE)]
    if not (outside or frames):
        return ""
    frame = (outside or list(frames))[-1]
    return f", at {frame.filename}:{frame.lineno} ({frame.name})"
