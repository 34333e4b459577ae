"""Asking an auth plugin, with bounds, and saying in words where it gives something else than it should."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import anyio
import anyio.lowlevel
from pydantic import SecretStr

from nanokimi_core.contracts.auth import Auth, AuthStatus, Grant, ShowCode
from nanokimi_core.errors import LoginNeeded
from nanokimi_core.testing.conformance.checks import CheckFailed, expect, saw, within
from nanokimi_core.testing.conformance.rigs import AuthRig

ANSWER = 15.0
STATUS = 5.0
_MOST_EVENTS = 100
USABLE = ("ok", "expiring")

MOMENTS: tuple[tuple[int, float], ...] = (
    *((points, 0.0) for points in range(10)),
    *((0, seconds) for seconds in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2)),
)
"""When to cancel something: scheduling points that it has come past, or seconds after it began."""


async def granted(rig: AuthRig, auth: Auth) -> Grant:
    """Ask for a grant where there are good credentials.

    Raises:
        CheckFailed: None came.
    """
    try:
        with within(ANSWER, f"grant gave no answer within {ANSWER:g} s"):
            grant = await auth.grant(rig.need)
    except LoginNeeded as error:
        saw(f"with good credentials, grant raised LoginNeeded: {error}")
    expect(isinstance(grant, Grant), f"grant returned {grant!r:.80}, which is no Grant")
    return grant


async def denied(rig: AuthRig, auth: Auth) -> bool:
    """Ask for a grant where there should be none; how it is denied is the matter of other checks.

    Raises:
        CheckFailed: No answer came.
    """
    try:
        with within(ANSWER, f"grant gave no answer within {ANSWER:g} s"):
            return not isinstance(await auth.grant(rig.need), Grant)
    except CheckFailed:
        raise
    except Exception:  # noqa: BLE001  # a plugin boundary
        return True


async def standing(auth: Auth) -> AuthStatus:
    """Ask for the status.

    Raises:
        CheckFailed: None came in time.
    """
    with within(STATUS, f"status gave no answer within {STATUS:g} s"):
        status = await auth.status()
    expect(isinstance(status, AuthStatus), f"status returned {status!r:.80}, which is no AuthStatus")
    return status


def key_of(grant: Grant) -> str | None:
    """Give the key that is in a grant, whatever it is wrapped in."""
    key: Any = grant.api_key
    return key.get_secret_value() if isinstance(key, SecretStr) else key


def started_with(grant: Grant) -> dict[str, Any]:
    """Give what an agent is started with, so that it notices a change of it only by being started again."""
    return {
        "provider": grant.provider,
        "base_url": grant.base_url,
        "model": grant.model,
        "context_size": grant.context_size,
        "api_key": key_of(grant),
        "oauth_key": grant.oauth_key,
        "mounts": grant.mounts,
        "capabilities": grant.capabilities,
        "environment": grant.environment,
    }


async def log_in(auth: Any, answer: Callable[[ShowCode], Awaitable[None]]) -> list[Any]:
    """Go through a login, answer each code that it shows, and give all that came.

    Raises:
        CheckFailed: It isn't offered, or has no end.
    """
    events: list[Any] = []
    with within(ANSWER, f"the login was not over {ANSWER:g} s after the person had answered"):
        async with aclosing(begun(auth)) as coming:
            async for event in coming:
                events.append(event)
                expect(len(events) < _MOST_EVENTS, f"the login gave {_MOST_EVENTS} events, and had no end")
                if isinstance(event, ShowCode):
                    await answer(event)
    return events


def begun(auth: Any) -> Any:
    """Begin a login; nothing has happened yet.

    Raises:
        CheckFailed: It isn't offered.
    """
    name = type(auth).__name__
    expect(callable(getattr(auth, "login", None)), f"the rig confirms codes, and {name} has no login()")
    events = auth.login()
    fitting = hasattr(events, "__anext__") and hasattr(events, "aclose")
    expect(fitting, f"login() gave {type(events).__name__}, not an async generator: it must be an async def with yield")
    return events


async def cancelled_after(
    moment: tuple[int, float], work: Callable[[], Awaitable[object]], begun: anyio.Event | None = None
) -> None:
    """Begin something, and cancel it at one of ``MOMENTS``, unless it is over before. What it raises is dropped.

    Args:
        moment: When, counted from the beginning.
        work: What to cancel.
        begun: What counts as the beginning; else that it was called.
    """

    async def run() -> None:
        with suppress(Exception):
            await work()
        tasks.cancel_scope.cancel()

    points, seconds = moment
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        if begun is not None:
            await begun.wait()
        for _ in range(points):
            await anyio.lowlevel.checkpoint()
        await anyio.sleep(seconds)
        tasks.cancel_scope.cancel()
