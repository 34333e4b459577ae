"""What a conformance check is, and how one is run.

A check is an async function of a rig: it does something with the plugin, and says what it saw where that isn't what the
contract wants. Nothing here needs pytest: ``nanokimi plugins check`` runs the same checks.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import anyio

from nanokimi_core.plugins import Kind
from nanokimi_core.supervision import describe, loop_options

Loop = Literal["asyncio", "trio"]
LOOPS: tuple[Loop, ...] = ("asyncio", "trio")
_TICK = 0.005
_CORE = str(Path(__file__).parent.parent.parent)


class CheckFailed(AssertionError):
    """A check saw something else than it wanted; the text is what it saw."""


def saw(what: str) -> NoReturn:
    """End the check: this is what it saw instead.

    Raises:
        CheckFailed: Always.
    """
    raise CheckFailed(what)


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


async def until(
    done: Callable[[], Any] | Callable[[], Awaitable[Any]], seconds: float, otherwise: str | Callable[[], str]
) -> None:
    """Wait until something is so; ``done`` may be async.

    Raises:
        CheckFailed: It wasn't in time.
    """
    with within(seconds, otherwise):
        while True:
            answer = done()
            if hasattr(answer, "__await__"):
                answer = await answer
            if answer:
                return
            await anyio.sleep(_TICK)


@dataclass(frozen=True)
class Check:
    """One thing that the contract wants of a plugin.

    Attributes:
        kind: Of plugin.
        name: In a few words; unique within the kind.
        wants: What the contract wants, in a sentence.
        needs: Methods that the rig must have for it; without them the check doesn't apply.
        run: Does it.
    """

    kind: Kind
    name: str
    wants: str
    needs: tuple[str, ...]
    run: Callable[[Any], Awaitable[None]]

    def lacking(self, rig: type[Any]) -> list[str]:
        """Name what a rig would need to have for this check, and hasn't."""
        return [name for name in self.needs if not callable(getattr(rig, name, None))]


def check(kind: Kind, *needs: str) -> Callable[[Callable[[Any], Awaitable[None]]], Check]:
    """Make an async function of a rig a check: named as the function, in words, and wanting what its docstring says.

    Args:
        kind: Of plugin.
        needs: Methods that the rig must have for it.
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
        outcome: ``not applicable`` is for want of something in the rig, which ``saw`` then names.
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
        return Finding(check, loop, "not applicable", f"the rig has no {', '.join(lacking)}")
    options = loop_options() if loop == "asyncio" else {}
    try:
        anyio.run(_run, check, rig, folder, backend=loop, backend_options=options)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin boundary
        return Finding(check, loop, "failed", _seen(error))
    return Finding(check, loop, "passed")


async def _run(check: Check, rig: type[Any], folder: Path) -> None:
    limit = rig.patience
    with within(limit, f"the check was not over after {limit:g} s"):
        async with rig(folder) as made:
            await check.run(made)


def _seen(error: BaseException) -> str:
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
