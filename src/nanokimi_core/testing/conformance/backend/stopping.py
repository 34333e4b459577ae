"""Turns that don't come to their end: stopped, closed, left alone; and sessions that are given up while they start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio

from nanokimi_core.contracts.backend import Backend
from nanokimi_core.testing.conformance.backend.asking import (
    answered,
    begun,
    entered,
    mid_answer,
    new_turn,
    new_word,
    running,
    single,
)
from nanokimi_core.testing.conformance.checks import Check, DoesNotApply, check, expect, in_words, saw, whether, within
from nanokimi_core.testing.conformance.rigs import BackendRig

MOMENTS = (0.0, 0.001, 0.01, 0.05, 0.2, 0.5)
"""When entering is cancelled, in seconds after it began."""


@check("backend", "hold")
async def a_turn_can_be_stopped(rig: Any) -> None:
    """After cancel() in mid-answer prompt ends normally and soon, and the session answers the next turn."""
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        await rig.hold()
        async with running(rig, session, new_turn(rig.question(new_word()))) as turn:
            await mid_answer(rig, turn)
            if rig.streams:
                await whether(lambda: turn.text, rig.wait / 3)
            before = turn.text
            with within(rig.wait, f"cancel() had not ended after {rig.wait:g} s"):
                await _cancel(session, "in mid-answer")
            await turn.over("cancel() was called in mid-answer, and prompt had not ended")
        if turn.error is not None:
            saw(f"cancel() was called in mid-answer, and prompt raised {in_words(turn.error)}; it must end normally")
        expect(turn.text.startswith(before), f'what was said before cancel(), "{before[:80]}", is not in the answer')
        await rig.let_go()
        await answered(rig, session, "after a stopped turn")


async def _cancel(session: Any, when: str) -> None:
    try:
        await session.cancel()
    except Exception as error:  # noqa: BLE001  # a plugin boundary
        saw(f"cancel() {when} raised {in_words(error)}")


@check("backend")
async def stopping_nothing_does_nothing(rig: BackendRig) -> None:
    """cancel() where no turn runs, before the first one and after one, does nothing to the next."""
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        for when in ("before the first turn", "after a turn"):
            with within(rig.wait, f"cancel() {when} had not ended after {rig.wait:g} s"):
                await _cancel(session, when)
            await answered(rig, session, f"after cancel() {when}")


@check("backend", "hold")
async def a_turn_closed_early_leaves_nothing_behind(rig: Any) -> None:
    """A prompt that is closed in mid-answer ends soon; the next turn doesn't wait for it, and has nothing of it."""
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        await rig.hold()
        word = new_word()
        async with running(rig, session, new_turn(rig.question(new_word())), early=True) as early:
            if not await whether(lambda: early.text or early.ended, rig.wait / 3):
                raise DoesNotApply("no piece of an answer comes before its end, which another check tells of")
            await early.over("the agent stood still in its answer, prompt was closed, and aclose() had not ended")
        if isinstance(early.error, GeneratorExit):
            raise DoesNotApply("a task group is open where prompt yields, which another check tells of")
        if early.error is not None:
            saw(f"prompt was closed in mid-answer, and aclose() raised {in_words(early.error)}")
        begin = early.text.strip()
        async with running(rig, session, new_turn(rig.question(word))) as turn:
            await turn.over(f'a turn was closed early, and the next one, which had said "{turn.text}", had not ended')
        await rig.let_go()
        if turn.error is not None:
            saw(f"a turn was closed early, and the next one raised {in_words(turn.error)}")
        expect(
            word in turn.text and begin not in turn.text,
            f'an answer that began with "{begin[:60]}" was closed early; the next one, to "{rig.question(word)}", was '
            f'"{turn.text[:200]}"',
        )


@check("backend", "hold")
async def a_listener_can_be_cancelled(rig: Any) -> None:
    """When the task that listens to a turn is cancelled, the turn ends, and the chat's next session answers."""
    async with rig.made() as backend:
        async with entered(rig, backend, rig.chat()) as session:
            await rig.hold()
            async with running(rig, session, new_turn(rig.question(new_word()))) as turn:
                await mid_answer(rig, turn)
                turn.leave_alone()
                await turn.over("the task that listened was cancelled, and prompt had not ended")
            if turn.error is not None:
                saw(f"the task that listened was cancelled, and prompt raised {in_words(turn.error)}")
        await rig.let_go()
        async with entered(rig, backend, rig.chat()) as session:
            await answered(rig, session, "after a cancelled turn")


@check("backend")
async def no_scope_is_open_across_a_yield(rig: BackendRig) -> None:
    """No cancel scope or task group is open while prompt yields: a step may be bounded, and another task may close."""
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        events = begun(session, new_turn(rig.question(new_word())))
        with _scope_said("the first step was taken inside a cancel scope"):
            with anyio.CancelScope():
                await anext(events, None)
            await events.aclose()
        events = begun(session, new_turn(rig.question(new_word())))
        with _scope_said("the first step was taken in one task and the rest closed in another"):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_step, events)
            await events.aclose()
        await answered(rig, session, "after turns that were closed early")


async def _step(events: Any) -> None:
    await anext(events, None)


@contextmanager
def _scope_said(when: str) -> Iterator[None]:
    """Say what an open scope leads to."""
    try:
        yield
    except (RuntimeError, BaseExceptionGroup) as error:
        if not isinstance(cause := single(error), RuntimeError):
            raise
        saw(f"{when}, and that raised {type(cause).__name__}: {cause}; {_CLOSE_SCOPES}")


_CLOSE_SCOPES = "let no task group or cancel scope of yours be open where prompt yields"


@check("backend")
async def entering_can_be_cancelled(rig: BackendRig) -> None:
    """A session whose entering is cancelled, at any moment, is given up soon, and can be entered afterwards."""
    async with rig.made() as backend:
        for moment in MOMENTS:
            with within(rig.wait, f"entering was cancelled after {moment:g} s, and had not ended {rig.wait:g} s later"):
                if await _entered_before(rig, backend, moment):
                    break
        async with entered(rig, backend, rig.chat()) as session:
            await answered(rig, session, "in a session whose entering had been cancelled before")


async def _entered_before(rig: BackendRig, backend: Backend, moment: float) -> bool:
    """Begin to enter, cancel that after some seconds, and say whether it had been entered by then."""
    done = anyio.Event()

    async def enter() -> None:
        with suppress(Exception):  # what it says of its being cancelled is its own matter
            async with backend.session(rig.chat()):
                done.set()
                await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        await anyio.sleep(moment)
        tasks.cancel_scope.cancel()
    return done.is_set()


STOPPING: tuple[Check, ...] = (
    a_turn_can_be_stopped,
    stopping_nothing_does_nothing,
    a_turn_closed_early_leaves_nothing_behind,
    a_listener_can_be_cancelled,
    no_scope_is_open_across_a_yield,
    entering_can_be_cancelled,
)
