"""Removing an account's credentials, and renewing them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import anyio

from nanokimi_core.cli.accounts import do, find_account
from nanokimi_core.cli.opening import Setup
from nanokimi_core.cli.times import lasting
from nanokimi_core.contracts.auth import AuthStatus, LogsOut, Refreshes
from nanokimi_core.errors import AccountAway, CommandError
from nanokimi_core.instances import Instance

AWAY = 75
"""The exit code where an account is away for the moment: sysexits' EX_TEMPFAIL."""

_USABLE = ("ok", "expiring")


class Away(CommandError):
    """An account's server can't be reached, or is busy; nothing has changed."""

    exit_code = AWAY


def log_out(setup: Setup, named: str | None, agree: Callable[[str], None]) -> list[str]:
    """Find the account that can be logged out of, have a person agree, and remove its credentials.

    Args:
        setup: Where to look.
        named: The account that is meant.
        agree: Gets what will be removed, for a question; raises where nobody agrees.

    Returns:
        What to say.

    Raises:
        CommandError: No account stores credentials that can be removed.
        ConfigError: They are not this instance's to remove.
    """
    does, does_not = "stores credentials that can be removed", "stores no credentials that could be removed"
    instance = find_account(setup, named, LogsOut, does, does_not, installed=False, remedy=lambda auth: _SEE)
    before = anyio.run(do, setup, instance, lambda auth: auth.status(), "to say how the account stands")
    of = f" of {before.who}" if before.who else ""
    agree(f"the credentials{of} that {instance.name} has stored")
    after = anyio.run(do, setup, instance, lambda auth: auth.log_out(), "to log out")
    if before.state == "login_needed":
        return [f"{instance.name} needed a login already; what was left of an old one is removed."]
    return [f"The credentials{of} are removed from {instance.name}.", *_what_is_left(setup, instance, after)]


def refresh(setup: Setup, named: str | None) -> list[str]:
    """Find the account that can be refreshed, and renew its credentials; gives what to say.

    Raises:
        CommandError: No account can be refreshed; or its server is away.
        LoginNeeded: The server wants a new login.
    """
    does, does_not = "can be refreshed", "has nothing to refresh"
    instance = find_account(setup, named, Refreshes, does, does_not, installed=False, remedy=lambda auth: _SEE)
    try:
        status = anyio.run(do, setup, instance, lambda auth: auth.refresh(), "to refresh the login")
    except AccountAway as error:
        wait = f" in {lasting(error.retry_after.total_seconds())}" if error.retry_after else " later"
        said = f"the login of {instance.name} could not be renewed, and is as it was: {error}"
        raise Away(said, remedy=f"try again{wait}") from error
    who = f" of {status.who}" if status.who else ""
    return [f"The login{who} is renewed for {instance.name}{_until(status)}.", *filter(None, [status.remedy])]


_SEE = "see: nanokimi auth status"


def _until(status: AuthStatus) -> str:
    if status.until is None:
        return ""
    left = (status.until - datetime.now(UTC)).total_seconds()
    return f"; the new token lasts until {status.until.astimezone():%Y-%m-%d %H:%M:%S} ({lasting(left)})"


def _what_is_left(setup: Setup, instance: Instance, after: AuthStatus) -> list[str]:
    said = [
        "Their server was told nothing: what was given out is valid there until its own end. To end it at once, do so"
        " on the account's own page."
    ]
    if after.state in _USABLE:
        said.append(f"{instance.name} has others, and goes on with them{f': {after.who}' if after.who else ''}.")
    elif instance.name in setup.settings.auths():
        said.append(f"The toml still uses {instance.name}; to log in again: nanokimi auth login {instance.name}")
    return said
