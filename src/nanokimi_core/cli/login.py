"""Logging in to an account from the terminal, by a code that a person enters in a browser."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio

from nanokimi_core.cli.accounts import find_account, next_steps
from nanokimi_core.cli.lending import account
from nanokimi_core.cli.opening import Setup
from nanokimi_core.cli.output import note, say
from nanokimi_core.cli.picture import show_picture
from nanokimi_core.config.location import FILE_NAME
from nanokimi_core.contracts.auth import AuthStatus, ImportsLogin, LogsIn, ShowCode, TakesKey
from nanokimi_core.errors import CommandError, ConfigError
from nanokimi_core.instances import Instance
from nanokimi_core.signing_in import sign_in


def log_in(setup: Setup, named: str | None, region: str | None = None) -> list[str]:
    """Find the account that logs in by a code, and go through its login; gives what to say at the end.

    Args:
        setup: Where to look.
        named: The account that is meant.
        region: In place of the one in its table.

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
    line = ""
    if region is not None:
        setup, instance, line = _in_region(setup, instance, region)
    try:
        status = anyio.run(_follow, setup, instance)
    except KeyboardInterrupt:
        note(f"nanokimi: the login for {instance.name} was given up; how the account stands: nanokimi auth status")
        raise
    who = f" of {status.who}" if status.who else ""
    models = status.details.get("models")
    said = [f"The login{who} is stored for {instance.name}.", *([f"Its models: {models}"] if models else [])]
    return [*said, *next_steps(setup, instance, status), *([line] if line else [])]


async def _follow(setup: Setup, instance: Instance) -> AuthStatus:
    async with account(setup, instance) as auth:
        return await sign_in(instance.name, auth, plugin=instance.provided.plugin, show=_show)


def _in_region(setup: Setup, instance: Instance, region: str) -> tuple[Setup, Instance, str]:
    """Replace the region of an account's table for this run; gives too what to say of the toml, if anything.

    Raises:
        CommandError: The account has no region, or can't be in this one.
    """
    name, settings = instance.name, setup.settings
    if "region" not in type(instance.config).model_fields:
        raise CommandError(f'the account "{name}" has no region to choose', remedy="leave out --region")
    tables = {**settings.plugins, name: {**settings.plugins.get(name, {}), "region": region}}
    there = replace(setup, settings=settings.model_copy(update={"plugins": tables}))
    try:
        changed = there.instance("auth", name)
    except ConfigError as error:
        raise _wrong_region(name, region, error) from error
    if changed.config == instance.config:
        return there, changed, ""
    toml = setup.location.toml or FILE_NAME
    said = f'To use this login, write into the table [plugins.{name}] of {toml}: region = "{region}"'
    return there, changed, said


def _wrong_region(name: str, region: str, error: ConfigError) -> CommandError:
    """Say it of the command line, for the toml is right."""
    said = error.message.rpartition(f"[plugins.{name}]")[2].strip(" :")
    wrong = CommandError(f'the account "{name}" can\'t be in the region "{region}": {said}', remedy=error.remedy)
    wrong.exit_code = error.exit_code
    return wrong


def _instead(auth: Any | None, named: str | None) -> str:
    """Say how an account gets its credentials otherwise."""
    ways, which = [], f" --plugin {named}" if named else ""
    if auth is None or isinstance(auth, TakesKey):
        ways.append(f"store a key with: nanokimi auth set-key{which}")
    if auth is None or isinstance(auth, ImportsLogin):
        ways.append(f"bring the file of a login that was made elsewhere with: nanokimi auth import FILE{which}")
    return ", or ".join(ways) or "see: nanokimi auth status"


async def _show(code: ShowCode) -> None:
    """Show a code, and until when it counts."""
    left = (code.expires_at - datetime.now(UTC)).total_seconds()
    drawn = show_picture(code.complete_url or code.url)
    scan = " or scan this with a phone," if drawn else ""
    say(f"Open this page in a browser, on any machine,{scan} and enter the code:")
    say(f"\n    {code.url}\n    {code.code}\n")
    ends = code.expires_at.astimezone()
    say(f"The code counts until {ends:%H:%M:%S} ({_minutes(left)}). Waiting for you to confirm; Ctrl-C gives it up.")


def _minutes(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return "a minute" if minutes <= 1 else f"{minutes} minutes"
