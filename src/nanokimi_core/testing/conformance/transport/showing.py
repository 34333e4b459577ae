"""What the contract wants of a transport that shows drafts, that the assistant is writing, or how its line stands."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from nanokimi_core.contracts.transport import EditsDrafts, ShowsTyping, TellsState
from nanokimi_core.messages import Outbound
from nanokimi_core.shapes import offers
from nanokimi_core.testing.conformance.checks import DoesNotApply, check, expect, within
from nanokimi_core.testing.conformance.rigs import TransportRig
from nanokimi_core.testing.conformance.transport.abilities import SeesTyping
from nanokimi_core.testing.conformance.transport.driven import Driven, connected, driven

_POINTS = 6
_LONGEST_STATE = 200
_GROWING = ("Let me", "Let me see:", "Let me see: it is")


class _Typing(TransportRig, SeesTyping): ...


async def _draft(it: Driven, text: str, key: str = "the-key") -> None:
    transport: Any = it.transport
    with within(it.wait, f"draft() had not ended after {it.wait:g} s"):
        await transport.draft(Outbound(key, it.rig.chat, text))


@check("transport")
async def shows_a_draft(rig: TransportRig) -> None:
    """An answer is seen while it grows, as one message."""
    async with connected(rig) as it:
        if not isinstance(it.transport, EditsDrafts):
            raise DoesNotApply("the transport has no draft()")
        for text in _GROWING:
            await _draft(it, text)
            await it.seen(text)


@check("transport")
async def replaces_the_draft_by_the_answer(rig: TransportRig) -> None:
    """What is sent under a draft's key takes the draft's place; the next answer stands beneath it."""
    async with connected(rig) as it:
        if not isinstance(it.transport, EditsDrafts):
            raise DoesNotApply("the transport has no draft()")
        await _draft(it, "It is")
        await it.send("It is four.", key="the-key")
        await it.seen("It is four.")
        await _draft(it, "And", key="another-key")
        await it.send("And that is all.", key="another-key")
        await it.seen("It is four.", "And that is all.")


@check("transport", "typing_shown")
async def shows_typing_and_ends_it(rig: _Typing) -> None:
    """typing(chat, True) is seen, and ends with typing(chat, False)."""
    async with connected(rig) as it:
        if not isinstance(it.transport, ShowsTyping):
            raise DoesNotApply("the transport has no typing()")
        for _ in range(2):
            await _type(it, True)
            await it.until(lambda: rig.typing_shown(rig.chat), "typing(chat, True) was not seen")
            await _type(it, False)

            async def over() -> bool:
                return not await rig.typing_shown(rig.chat)

            await it.until(over, "typing(chat, False) was called, and people still saw that the assistant was writing")


async def _type(it: Driven, on: bool) -> None:
    transport: Any = it.transport
    with within(it.wait, f"typing() had not ended after {it.wait:g} s"):
        await transport.typing(it.rig.chat, on)


@check("transport")
async def bears_drafts_without_a_connection(rig: TransportRig) -> None:
    """Without a connection draft and typing end, by raising or not, and the answer is seen whole once there is one."""
    async with driven(rig) as it:
        drafts, types = isinstance(it.transport, EditsDrafts), isinstance(it.transport, ShowsTyping)
        if not (drafts or types):
            raise DoesNotApply("the transport has neither draft() nor typing()")
        transport: Any = it.transport
        with within(it.wait, f"without a connection, draft() or typing() had not ended after {it.wait:g} s"):
            with suppress(Exception):  # it may raise
                await (transport.draft(Outbound("the-key", rig.chat, "It is")) if drafts else checkpoint())
            with suppress(Exception):
                await (transport.typing(rig.chat, True) if types else checkpoint())
        await it.connect()
        await it.send("It is four.", key="the-key")
        await it.seen("It is four.")


@check("transport")
async def bears_a_cancelled_draft_or_typing(rig: TransportRig) -> None:
    """draft() and typing() that are cancelled at whatever point, as at a turn's end, leave the connection usable."""
    async with connected(rig) as it:
        drafts, types = isinstance(it.transport, EditsDrafts), isinstance(it.transport, ShowsTyping)
        if not (drafts or types):
            raise DoesNotApply("the transport has neither draft() nor typing()")
        for points in range(_POINTS):
            async with anyio.create_task_group() as tasks:
                if drafts:
                    tasks.start_soon(_draft, it, "It is")
                if types:
                    tasks.start_soon(_type, it, True)
                for _ in range(points):
                    await checkpoint()
                tasks.cancel_scope.cancel()
        await it.send("It is four.", key="the-key")

        async def shown() -> bool:
            return "It is four." in await rig.shown(rig.chat)  # whether the draft is gone is another check's

        await it.until(shown, "after draft() or typing() was cancelled, an answer that was sent was not seen")


@check("transport")
async def tells_its_state(rig: TransportRig) -> None:
    """state() gives a line of at most 200 characters, or nothing, before run, while connected and after it."""
    async with driven(rig) as it:
        transport: Any = it.transport
        if not offers(transport, TellsState):
            raise DoesNotApply("the transport has no state()")
        said = {"before run": transport.state()}
        await it.connect()
        said["while it was connected"] = transport.state()
        await it.stop()
        said["after run"] = transport.state()
    for when, state in said.items():
        expect(isinstance(state, str), f"{when} state() gave {type(state).__name__}, not a str")
        expect(len(state) <= _LONGEST_STATE, f"{when} state() gave {len(state)} characters")
        expect(state.isprintable(), f"{when} state() gave {state!r}, which is no line for people")


SHOWING_CHECKS = (
    shows_a_draft,
    replaces_the_draft_by_the_answer,
    shows_typing_and_ends_it,
    bears_drafts_without_a_connection,
    bears_a_cancelled_draft_or_typing,
    tells_its_state,
)
