"""Logging in to an account from the terminal, by a code that a person enters in a browser."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import anyio

from nanokimi_core.cli.accounts import find_account, next_steps
from nanokimi_core.cli.opening import Setup, blamed, closed_after, started
from nanokimi_core.cli.output import note, say
from nanokimi_core.contracts.auth import AuthStatus, ImportsLogin, LogsIn, ShowCode, TakesKey
from nanokimi_core.errors import CommandError, LoginNeeded, PluginError
from nanokimi_core.instances import Instance
from nanokimi_core.supervision import fault

_FIRST_CODE = 60.0  # seconds
_SAYING_SO = 30.0  # seconds that a plugin has to end a login whose code has run out
_LONGEST = 86400.0
_DOING = "to log in"


def log_in(setup: Setup, named: str | None) -> list[str]:
    """Find the account that logs in by a code, and go through its login; gives what to say at the end.

    Raises:
        CommandError: No account logs in by a code; or the login was not confirmed.
        PluginError: The auth plugin has a fault.
    """
    instance = find_account(
        setup,
        named,
        LogsIn,
        "logs in by a code",
        "does not log in by a code",
        remedy=lambda auth: _instead(auth, named),
    )
    try:
        status = anyio.run(_follow, instance)
    except KeyboardInterrupt:
        note(f"nanokimi: the login for {instance.name} was given up; how the account stands: nanokimi auth status")
        raise
    except LoginNeeded as error:
        raise _not_made(instance, str(error)) from error
    if status.state not in ("ok", "expiring"):
        raise _not_made(instance, status.remedy or f"its state is {status.state.replace('_', ' ')}")
    who = f" of {status.who}" if status.who else ""
    return [f"The login{who} is stored for {instance.name}.", *next_steps(setup, instance, status)]


def _not_made(instance: Instance, said: str) -> CommandError:
    return CommandError(f"there is no new login for {instance.name}", remedy=said)


def _instead(auth: Any | None, named: str | None) -> str:
    """Say how an account gets its credentials otherwise."""
    ways, which = [], f" --plugin {named}" if named else ""
    if auth is None or isinstance(auth, TakesKey):
        ways.append(f"store a key with: nanokimi auth set-key{which}")
    if auth is None or isinstance(auth, ImportsLogin):
        ways.append(f"bring the file of a login that was made elsewhere with: nanokimi auth import FILE{which}")
    return ", or ".join(ways) or "see: nanokimi auth status"


async def _follow(instance: Instance) -> AuthStatus:
    """Show what a login shows, and give the status that it ends with.

    Raises:
        CommandError: The code ran out.
        LoginNeeded: The plugin says that it came to nothing.
        PluginError: It ended without a status, or gives something else than it should.
    """
    plugin, codes = instance.provided.plugin, 0
    status: AuthStatus | None = None
    async with started(instance) as auth:
        # One scope around all of it: an async generator may keep scopes open, which must be closed inside of ours.
        with anyio.CancelScope(deadline=anyio.current_time() + _FIRST_CODE) as limit, blamed(plugin, _DOING):
            async with closed_after(auth.login()) as events:
                async for event in events:
                    if isinstance(event, AuthStatus):
                        status = event
                        break
                    limit.deadline = anyio.current_time() + _show(event, instance)
                    codes += 1
    if status is not None:
        return status
    if limit.cancelled_caught and codes:
        raise _not_made(instance, "the code has run out; run the command again")
    late = f"it showed no code within {_FIRST_CODE:g} s"
    raise fault(plugin, _DOING, late if limit.cancelled_caught else "its login ended without an AuthStatus")


def _show(event: Any, instance: Instance) -> float:
    """Show a code, and give the seconds in which the login must be over."""
    if not (isinstance(event, ShowCode) and isinstance(event.expires_at, datetime) and event.expires_at.tzinfo):
        said = f"{event.expires_at!r}, which has no zone" if isinstance(event, ShowCode) else type(event).__name__
        raise _fault_of_code(instance, said)
    left = (event.expires_at - datetime.now(UTC)).total_seconds()
    ends = event.expires_at.astimezone()
    say("Open this page in a browser, on any machine, and enter the code:")
    say(f"\n    {event.url}\n    {event.code}\n")
    say(f"The code counts until {ends:%H:%M:%S} ({_minutes(left)}). Waiting for you to confirm; Ctrl-C gives it up.")
    return min(max(left, 0.0), _LONGEST) + _SAYING_SO


def _fault_of_code(instance: Instance, said: str) -> PluginError:
    return fault(instance.provided.plugin, _DOING, f"its login gave {said}, where a ShowCode or an AuthStatus belongs")


def _minutes(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return "a minute" if minutes <= 1 else f"{minutes} minutes"
