"""Finding the account that is meant, and giving it a key or a login."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from pydantic import SecretStr

from nanokimi_core.cli.lending import account
from nanokimi_core.cli.opening import Setup, blamed
from nanokimi_core.cli.output import note
from nanokimi_core.contracts.auth import AuthStatus, ImportsLogin, TakesKey
from nanokimi_core.errors import CommandError, ConfigError, PluginError
from nanokimi_core.instances import Instance
from nanokimi_core.shapes import offers
from nanokimi_core.supervision import guarded

_AUTH_LINE = re.compile(r"\s*auth\s*=")
_TABLE_LINE = re.compile(r"\s*\[")


def store_key(setup: Setup, named: str | None, read: Callable[[], SecretStr]) -> list[str]:
    """Find the account that takes a key, read the key, and store it; gives what to say.

    Raises:
        CommandError: No account takes a key.
        ConfigError: It can't be a key of that account.
    """
    instance = find_account(setup, named, TakesKey, "takes a key", "takes no key")
    key = read()
    status = anyio.run(do, setup, instance, lambda auth: auth.set_key(key), "to store a key")
    who = f" {status.who}" if status.who else ""
    return [f"The key{who} is stored for {instance.name}.", *next_steps(setup, instance, status)]


def import_login(setup: Setup, named: str | None, file: Path) -> list[str]:
    """Find the account that takes over logins, and give it the file; gives what to say.

    Raises:
        CommandError: No account takes over logins.
        ConfigError: The file holds no login.
    """
    instance = find_account(setup, named, ImportsLogin, "takes over a login", "takes over no login")
    status = anyio.run(do, setup, instance, lambda auth: auth.import_login(file.absolute()), "to take over a login")
    who = f" of {status.who}" if status.who else ""
    return [f"The login{who} is stored for {instance.name}.", *next_steps(setup, instance, status)]


async def do(setup: Setup, instance: Instance, work: Callable[[Any], Awaitable[AuthStatus]], doing: str) -> AuthStatus:
    """Start an account and do something with it; gives what it says of itself then.

    Raises:
        PluginError: The plugin has a fault.
        Exception: What the contract lets the plugin raise.
    """
    plugin = instance.provided.plugin
    async with account(setup, instance) as auth:
        with blamed(plugin, doing):
            return await guarded(partial(work, auth), plugin=plugin, doing=doing, returns=AuthStatus)


def find_account(
    setup: Setup,
    named: str | None,
    ability: Any,
    does: str,
    does_not: str,
    *,
    remedy: Callable[[Any | None], str] | None = None,
    installed: bool = True,
) -> Instance:
    """Choose the instance: the one that is named, else the first of the toml's chain, else any that is installed.

    Args:
        setup: Where to look.
        named: The one that is meant.
        ability: The protocol that it must fit.
        does: What that is, of one that does it.
        does_not: The same, of one that doesn't.
        remedy: Says what to do where the one that is named hasn't the ability, from its object; ``None`` where none
            of all has it.
        installed: Whether one that the toml doesn't name will do.

    Raises:
        CommandError: None has the ability.
        NanoKimiError: The one that is named is missing or broken.
    """
    if named is not None:
        instance = setup.instance("auth", named)
        auth = anyio.run(_made, setup, instance)
        if not offers(auth, ability):
            instead = remedy(auth) if remedy else "leave out --plugin to have one chosen"
            raise CommandError(f'the account "{named}" {does_not}', remedy=instead)
        return instance
    others = [plugin.name for plugin in setup.host.plugins] if installed else []
    for name in dict.fromkeys([*setup.settings.auths(), *others]):
        instance_or_none = _instance(setup, name)
        if instance_or_none is not None and offers(anyio.run(_made, setup, instance_or_none), ability):
            return instance_or_none
    which = "installed auth plugin" if installed else "account of the toml"
    raise CommandError(f"no {which} {does}", remedy=remedy(None) if remedy else "see: nanokimi plugins")


def _instance(setup: Setup, name: str) -> Instance | None:
    wanted = name in setup.settings.auths()
    try:
        if not wanted and not any(each.kind == "auth" for each in setup.host.provided(name)):
            return None
        return setup.instance("auth", name)
    except ConfigError:
        if wanted:
            raise
        return None  # it isn't set up, so nobody can mean it
    except PluginError as error:
        if wanted:
            note(f"nanokimi: {error}")
        return None


async def _made(setup: Setup, instance: Instance) -> Any:
    async with account(setup, instance) as auth:
        return auth


def next_steps(setup: Setup, instance: Instance, status: AuthStatus) -> list[str]:
    """Say what is left to do after credentials were stored: what the account says, and which line of the toml."""
    said = [status.remedy] if status.remedy else []
    if instance.name in setup.settings.auths():
        return said
    toml = setup.location.toml
    line = f'auth = "{instance.name}"'
    if toml is None:
        return [*said, "There is no nanokimi.toml yet that uses it; write one with: nanokimi init"]
    number = auth_line(toml.read_text(encoding="utf-8"))
    where = f"change line {number} of {toml} to: {line}" if number else f"add to the top of {toml}: {line}"
    return [*said, f"The toml uses another account; to use this one, {where}"]


def auth_line(text: str) -> int | None:
    """Give the number of the line of a toml that says which account pays."""
    for number, line in enumerate(text.splitlines(), start=1):
        if _TABLE_LINE.match(line):
            return None
        if _AUTH_LINE.match(line):
            return number
    return None
