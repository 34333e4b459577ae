"""Calls to auth plugins, each within time and with the culprit's name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nanokimi_core.contracts.auth import Auth, AuthStatus, Grant, Need
from nanokimi_core.errors import LoginNeeded, PluginError
from nanokimi_core.supervision import guarded, traced

_LONGEST = 120.0
_LONGEST_LOOK = 5.0


class AccountFault(PluginError):
    """An auth plugin does something else than it should."""


async def ask(name: str, auth: Auth, need: Need, keep_secret: Callable[[str], None]) -> Grant:
    """Ask an account for a grant; no log shows its key from then on.

    Raises:
        LoginNeeded: It has no valid credentials.
        AccountFault: The auth plugin has a fault; it is named, so that the backend isn't blamed.
    """
    try:
        grant = await guarded(
            partial(auth.grant, need), plugin=name, doing="to give a grant", within=_LONGEST, returns=Grant
        )
    except LoginNeeded:
        raise
    except Exception as error:
        raise fault(name, error) from error
    if grant.api_key is not None:
        keep_secret(grant.api_key.get_secret_value())
    return grant


async def refuse(name: str, auth: Auth, grant: Grant, why: str) -> None:
    """Tell an account that its server refused a grant.

    Raises:
        AccountFault: The auth plugin has a fault.
    """
    try:
        await guarded(partial(auth.rejected, grant, why), plugin=name, doing="to take a refusal", within=_LONGEST)
    except Exception as error:
        raise fault(name, error) from error


async def look(name: str, auth: Auth) -> AuthStatus:
    """Ask an account how it stands.

    Raises:
        AccountFault: The auth plugin has a fault.
    """
    doing = "to say how its account stands"
    try:
        return await guarded(auth.status, plugin=name, doing=doing, within=_LONGEST_LOOK, returns=AuthStatus)
    except Exception as error:
        raise fault(name, error) from error


def fault(name: str, error: Exception) -> AccountFault:
    """Make the error that names an account as the culprit of something that came out of its plugin."""
    said = error.message if isinstance(error, PluginError) else traced(error)
    return AccountFault(f'the account "{name}" has a fault: {said}', remedy="mend or update its plugin, or change auth")
