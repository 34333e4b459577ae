"""What the contract wants of a login by a code that is shown (``LogsIn``)."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.lowlevel

from nanokimi_core.contracts.auth import Auth, AuthStatus, ShowCode
from nanokimi_core.errors import LoginNeeded
from nanokimi_core.supervision import describe
from nanokimi_core.testing.conformance.auth.abilities import Confirms, Declines
from nanokimi_core.testing.conformance.auth.asking import (
    ANSWER,
    MOMENTS,
    USABLE,
    begun,
    cancelled_after,
    denied,
    granted,
    log_in,
)
from nanokimi_core.testing.conformance.checks import Check, CheckFailed, check, expect, saw, within
from nanokimi_core.testing.conformance.rigs import AuthRig


class _LoginRig(AuthRig, Confirms):
    """A rig with a person who confirms."""


class _DecliningRig(_LoginRig, Declines):
    """A rig with a person who may also decline."""


@check("auth", "confirm")
async def a_login_shows_a_code_first(rig: _LoginRig) -> None:
    """A login begins with a ShowCode: an address, a code, and until when it counts, with its zone."""
    async with rig.made() as auth, aclosing(begun(auth)) as events:
        with within(ANSWER, f"the login showed nothing within {ANSWER:g} s"):
            first: Any = await anext(events, None)
    expect(isinstance(first, ShowCode), f"the first that a login gave is {first!r:.80}, no ShowCode")
    expect(str(first.url).startswith(("https://", "http://")), f"url is {first.url!r}, which is no web address")
    expect(isinstance(first.code, str) and first.code.strip(), f"code is {first.code!r}")
    ends: Any = first.expires_at
    expect(isinstance(ends, datetime) and ends.tzinfo is not None, f"expires_at is {ends!r}, not a time with a zone")
    expect(ends > datetime.now(UTC), f"expires_at is {ends:%Y-%m-%d %H:%M:%S %Z}, which is over")


@check("auth", "confirm")
async def a_login_ends_with_a_status(rig: _LoginRig) -> None:
    """When the person has confirmed, a login ends with an AuthStatus that says ok."""
    async with rig.made() as auth:
        events = await log_in(auth, rig.confirm)
    expect(events, "the login ended without a word")
    last = events[-1]
    expect(isinstance(last, AuthStatus), f"the last that a login gave is {last!r:.80}, no AuthStatus")
    expect(last.state in USABLE, f"the login ended with the state {last.state!r}: {last.remedy}")
    early = [event for event in events[:-1] if not isinstance(event, ShowCode)]
    expect(not early, f"before its end, the login gave {early[:1]!r:.80}, no ShowCode")


@check("auth", "confirm")
async def a_login_serves_at_once(rig: _LoginRig) -> None:
    """What a login has stored serves at the next grant, also that of the running process."""
    async with rig.made() as running:
        expect(await denied(rig, running), "without credentials, there was a grant")
        async with rig.made() as terminal:
            await log_in(terminal, rig.confirm)
        expect(not await denied(rig, running), "after a login in another process there was no grant")


@check("auth", "confirm")
async def a_cancelled_login_leaves_nothing(rig: _LoginRig) -> None:
    """A login that is cancelled while it waits leaves no credentials, and the next one can begin."""
    async with rig.made() as auth:
        await _cancel_waiting(auth)
        expect(await denied(rig, auth), "there was a grant after a login that was cancelled before anybody confirmed")
        await log_in(auth, rig.confirm)
        expect(not await denied(rig, auth), "a login after a cancelled one brought no grant")


@check("auth", "confirm")
async def a_cancelled_login_leaves_the_old_one(rig: _LoginRig) -> None:
    """A login that is cancelled, while it waits or when it is just confirmed, leaves a whole one: old or new."""
    await rig.give()
    async with rig.made() as auth:
        await granted(rig, auth)
        await _cancel_waiting(auth)
        expect(not await denied(rig, auth), "after a login that was cancelled, the old credentials serve no more")
        for moment in MOMENTS:
            await _cancel_confirmed(rig, auth, moment)
            expect(not await denied(rig, auth), "after a login that was cancelled when it was confirmed, none serves")


async def _cancel_waiting(auth: Auth) -> None:
    shown = anyio.Event()

    async def show(code: ShowCode) -> None:
        shown.set()
        await anyio.lowlevel.checkpoint()

    with within(ANSWER, f"a login that waits could not be begun and cancelled within {ANSWER:g} s"):
        await cancelled_after((1, 0.01), lambda: log_in(auth, show), shown)


async def _cancel_confirmed(rig: _LoginRig, auth: Auth, moment: tuple[int, float]) -> None:
    confirmed = anyio.Event()

    async def confirm(code: ShowCode) -> None:
        await rig.confirm(code)
        confirmed.set()

    with within(ANSWER, f"a login that was confirmed could not be cancelled within {ANSWER:g} s"):
        await cancelled_after(moment, lambda: log_in(auth, confirm), confirmed)


@check("auth", "confirm", "decline")
async def a_declined_login_ends_in_words(rig: _DecliningRig) -> None:
    """A login that the person declines ends with an AuthStatus that isn't ok, or raises LoginNeeded."""
    async with rig.made() as auth:
        try:
            events = await log_in(auth, rig.decline)
        except CheckFailed:
            raise
        except LoginNeeded as error:
            expect(str(error).strip(), "the login that was declined raised LoginNeeded without a word")
            return
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            saw(f"the login that was declined raised {describe(error)}")
    last = events[-1] if events else None
    expect(isinstance(last, AuthStatus), f"the last that a declined login gave is {last!r:.80}, no AuthStatus")
    assert isinstance(last, AuthStatus)  # noqa: S101  # for the type checker
    expect(last.state not in USABLE, f"the declined login ended with the state {last.state!r}")
    expect(last.remedy, f"the declined login ended with the state {last.state!r} and no remedy")


LOGIN_CHECKS: tuple[Check, ...] = (
    a_login_shows_a_code_first,
    a_login_ends_with_a_status,
    a_login_serves_at_once,
    a_cancelled_login_leaves_nothing,
    a_cancelled_login_leaves_the_old_one,
    a_declined_login_ends_in_words,
)
