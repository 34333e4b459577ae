"""After the toml is written: keys and logins to their plugins, and what to do next."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from nanokimi_core.cli.accounts import import_login, store_key
from nanokimi_core.cli.opening import Setup
from nanokimi_core.cli.output import note, say
from nanokimi_core.cli.questions import ask_secret
from nanokimi_core.cli.takeover import OldBot
from nanokimi_core.cli.template import ECHO, KEY, KIMI, LOGIN, Choices
from nanokimi_core.config import Location, load
from nanokimi_core.config.location import FILE_NAME
from nanokimi_core.errors import AgentError, LoginNeeded, NanoKimiError
from nanokimi_core.logs import keep_secret
from nanokimi_core.plugins import PluginHost, installed

_TRIES = 3


def store_secrets(
    location: Location, choices: Choices, key: SecretStr | None, bot: OldBot | None, *, ask: bool
) -> bool:
    """Give the key and the old bot's login to the plugins that keep them; whether the toml's account has its own.

    What fails is said, and the rest goes on.
    """
    setup = Setup(location, load(location), PluginHost())
    stored: set[str] = set()
    if key is not None and choices.auth and _store_key(setup, choices.auth, key, ask=ask):
        stored.add(choices.auth)
    if bot is not None and bot.key is not None and key is not bot.key:
        note(f"The old bot's API key is left where it is: it is of another account ({bot.account}).")
    login = bot.login if bot is not None else None
    if login is not None and _try(lambda: import_login(setup, None, login)):
        stored.add(LOGIN)
    return choices.auth in stored


def next_steps(location: Location, choices: Choices, *, stored: bool) -> None:
    """Say what is still to be done.

    Args:
        location: Of the toml.
        choices: What it says.
        stored: Whether its account has its key or login.
    """
    known = {plugin.name for plugin in installed()}
    absent = [name for name in (choices.backend, choices.auth) if name and name not in known]
    if absent:
        say(f'\nNot installed yet: {", ".join(absent)}. What Kimi needs comes with: pip install "nanokimi[kimi]"')
    command = _command(location)
    steps = []
    if choices.auth == KEY and not stored and not os.environ.get("MOONSHOT_API_KEY"):
        steps.append("auth set-key")
    if choices.backend == KIMI:
        steps.append("image build")
    login = choices.auth == LOGIN and not stored
    if login:
        steps.append("auth login")  # the agent's own program logs in, so its image comes before
    if choices.backend != ECHO:
        steps.append("doctor")
    say("\nNext:" + "".join(f"\n  {command} {step}" for step in [*steps, "chat"]))
    if login:
        say(f"\nA login that was made on another machine can be brought here: {command} auth import kimi-code.json")


def _command(location: Location) -> str:
    found = Path.cwd() / FILE_NAME == location.toml or os.environ.get("NANOKIMI_CONFIG") == str(location.toml)
    return "nanokimi" if found else f"nanokimi --config {location.toml}"


def _store_key(setup: Setup, auth: str, key: SecretStr, *, ask: bool) -> bool:
    for _ in range(_TRIES):
        typed = key
        if _try(lambda: store_key(setup, auth, lambda: typed)):  # noqa: B023  # called at once
            return True
        text = ask_secret("Another key (not shown; empty to store it later)") if ask else ""
        if not text:
            break
        keep_secret(text)
        key = SecretStr(text)
    return False


def _try(work: Callable[[], list[str]]) -> bool:
    try:
        for line in work():
            say(line)
    except (NanoKimiError, AgentError, LoginNeeded) as error:
        note(f"nanokimi: {error}")
        return False
    return True
