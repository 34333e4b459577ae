"""Turns that fail, and turns that are tried again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from nanokimi_core.contracts.backend import Backend, Session, Turn
from nanokimi_core.errors import AgentError, Failure, LoginNeeded
from nanokimi_core.testing.conformance.backend.asking import (
    Running,
    answer,
    answered,
    entered,
    mid_answer,
    new_turn,
    new_word,
    running,
    single,
)
from nanokimi_core.testing.conformance.checks import Check, CheckFailed, DoesNotApply, check, expect, in_words, saw
from nanokimi_core.testing.conformance.rigs import BackendRig

SPOILING = frozenset(
    {Failure.CREDENTIALS, Failure.CRASHED, Failure.OUT_OF_MEMORY, Failure.SILENT, Failure.TOO_LONG},
)
"""After these the core leaves the session and enters it anew."""


@dataclass(frozen=True)
class Met:
    """A failure that was brought about.

    Attributes:
        wanted: Its kind.
        told: How long the server said to wait.
        error: What the turn raised, or entering.
        turn: That failed.
        after: What became of the same turn afterwards: its answer, or what it raised.
    """

    wanted: Failure
    told: timedelta | None
    error: BaseException | None
    turn: Turn
    after: str | BaseException = ""


async def meet(rig: Any, backend: Backend, kinds: Iterator[Failure]) -> list[Met]:
    """Bring failures about, one after the other, in the way in which the core meets them; each turn is tried again.

    A session that a failure spoils is left, and the next one entered; so is one in which nothing failed, since some
    failures are met only when the agent is brought up.
    """
    met: list[Met] = []
    left: Met | None = None
    kind = next(kinds, None)
    while kind is not None or left is not None:
        async with entered(rig, backend, rig.chat()) as session:
            if left is None:
                await answered(rig, session, "in a new session")
            else:
                met.append(replace(left, after=await _again(rig, session, left.turn)))
                left = None
            while kind is not None and left is None:
                turn = new_turn(rig.question(new_word()))
                told = await rig.bring_about(kind)
                now = Met(kind, told, await _failing(rig, session, turn), turn)
                if now.error is None or kind in SPOILING:
                    left = now
                else:
                    await rig.mend()
                    met.append(replace(now, after=await _again(rig, session, turn)))
                kind = next(kinds, None)
        if left is not None:
            left = replace(left, error=left.error or await _met_on_entering(rig, backend, left.turn))
            await rig.mend()
    return met


async def _failing(rig: BackendRig, session: Session, turn: Turn) -> BaseException | None:
    """Ask, and give what ``prompt`` raised, if anything.

    Raises:
        CheckFailed: It had no end in time.
    """
    try:
        await answer(rig, session, turn)
    except CheckFailed:
        raise
    except Exception as error:  # noqa: BLE001  # a plugin boundary; what it raised is judged
        return error
    return None


async def _again(rig: BackendRig, session: Session, turn: Turn) -> str | BaseException:
    try:
        return await answer(rig, session, turn)
    except Exception as error:  # noqa: BLE001  # a plugin boundary; what it raised is judged
        return single(error)


async def _met_on_entering(rig: BackendRig, backend: Backend, turn: Turn) -> BaseException | None:
    """Some failures are met only when the agent is brought up."""
    try:
        async with entered(rig, backend, rig.chat()) as session:
            return await _failing(rig, session, turn)
    except CheckFailed:
        raise
    except Exception as error:  # noqa: BLE001  # a plugin boundary; what it raised is judged
        return single(error)


def kinds_of(rig: Any) -> Iterator[Failure]:
    """Give the kinds that a rig can bring about, in the order of the contract.

    Raises:
        DoesNotApply: There is none, so that nothing would be looked at.
    """
    able = set(rig.failures())
    if not able:
        raise DoesNotApply("failures() of the rig names none")
    return iter([kind for kind in Failure if kind in able])


@check("backend", "bring_about")
async def a_failure_has_its_name(rig: Any) -> None:
    """A turn that fails raises AgentError with the right Failure, a detail, and retry_after where a server said it."""
    async with rig.made() as backend:
        for met in await meet(rig, backend, kinds_of(rig)):
            _named_well(met)


def _named_well(met: Met) -> None:
    name, error = f"Failure.{met.wanted.name}", met.error
    if error is None:
        saw(f"{name} was brought about, and the turn ended normally")
    if met.wanted is Failure.CREDENTIALS and isinstance(error, LoginNeeded):
        return
    if not isinstance(error, AgentError):
        saw(f"{name} was brought about, and the turn raised {in_words(error)}, which is no AgentError")
    expect(error.kind is met.wanted, f"{name} was brought about, and the AgentError has {error.kind}: {error}")
    expect(str(error).strip(), f"{name} was brought about, and the AgentError says nothing of the cause")
    if met.told is None:
        return
    wait = error.retry_after
    expect(wait is not None, f"the server said to wait {met.told}, and the AgentError of {name} has no retry_after")
    fitting = wait is not None and met.told / 2 <= wait <= met.told + timedelta(minutes=1)
    expect(fitting, f"the server said to wait {met.told}, and the AgentError of {name} has retry_after={wait}")


@check("backend", "bring_about")
async def after_a_failure_the_turn_is_answered(rig: Any) -> None:
    """When the cause of a failure is gone, the same turn is answered."""
    async with rig.made() as backend:
        for met in await meet(rig, backend, kinds_of(rig)):
            name = f"Failure.{met.wanted.name} was brought about and mended"
            if isinstance(met.after, BaseException):
                saw(f"{name}, and the same turn, tried again, failed: {in_words(met.after)}")
            expect(met.after.strip(), f"{name}, and the same turn, tried again, had an empty answer")


@check("backend", "bring_about", "takes_grants")
async def the_account_hears_of_a_refusal(rig: Any) -> None:
    """When a server refuses the grant's key, chat.auth.rejected is called, so that another account can serve."""
    if Failure.CREDENTIALS not in rig.failures():
        raise DoesNotApply("failures() of the rig has no CREDENTIALS")
    async with rig.made() as backend:
        await meet(rig, backend, iter([Failure.CREDENTIALS]))
    expect(rig.account.rejections, "the server refused the key, and chat.auth.rejected was not called")


@check("backend", "asked")
async def a_repeated_turn_is_asked_once(rig: Any) -> None:
    """A turn that comes again with the same id, also after a restart, doesn't put its question to the agent twice."""
    word = new_word()
    turn = new_turn(rig.question(word))
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        if hasattr(rig, "hold"):
            await _break_off(rig, session, turn)
            await rig.let_go()
        else:
            await answer(rig, session, turn)
        heard = await answer(rig, session, turn)
        await _stands_once(rig, word, heard, "in the same session")
    if rig.keeps:
        async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
            heard = await answer(rig, session, turn)
            await _stands_once(rig, word, heard, "after a restart")


async def _break_off(rig: Any, session: Session, turn: Turn) -> None:
    await rig.hold()
    async with running(rig, session, turn) as listened:
        await mid_answer(rig, listened)
        listened.leave_alone()
        await _over(listened)


async def _over(turn: Running) -> None:
    await turn.over("the task that listened was cancelled, and prompt had not ended")


async def _stands_once(rig: Any, word: str, heard: str, when: str) -> None:
    expect(heard.strip(), f"the turn was tried again {when}, and had an empty answer")
    people = "\n".join(await rig.asked())
    times = people.count(word)
    expect(times > 0, f'the turn was tried again {when}, and of its question the agent knew nothing: "{people[-300:]}"')
    expect(times < 2, f'the turn was tried again {when}, and its question stood {times} times there: "{people[-300:]}"')


FAILING: tuple[Check, ...] = (
    a_failure_has_its_name,
    after_a_failure_the_turn_is_answered,
    the_account_hears_of_a_refusal,
    a_repeated_turn_is_asked_once,
)
