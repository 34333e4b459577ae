"""``nanokimi auth``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer
from pydantic import SecretStr

from nanokimi_core.cli.accounts import import_login, store_key
from nanokimi_core.cli.credentials import log_out
from nanokimi_core.cli.credentials import refresh as renew
from nanokimi_core.cli.guard import FAILED
from nanokimi_core.cli.held_log import log_held
from nanokimi_core.cli.login import log_in
from nanokimi_core.cli.opening import find_setup
from nanokimi_core.cli.options import Config, Json, command, new_group
from nanokimi_core.cli.output import note, on_terminal, say, say_json, say_table
from nanokimi_core.cli.reaching import with_process
from nanokimi_core.cli.standing import ask_accounts
from nanokimi_core.errors import CommandError, NanoKimiError
from nanokimi_core.logs import keep_secret
from nanokimi_core.status import Status

_LONGEST = 10_000

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="The auth plugin, or an instance of one.", show_default=False)
]
Instance = Annotated[
    str | None,
    typer.Option("--plugin", metavar="NAME", help="The auth plugin, or an instance of one, in place of the toml's."),
]

app = new_group("The accounts that pay for the agent.", "nanokimi auth status", "nanokimi auth login")


@command(app, "status", "nanokimi auth status", "nanokimi auth status --json")
def status(ctx: typer.Context, json: Json = False, config: Config = None) -> None:
    """Say how each account of the toml stands, what it has left, and who uses it.

    Exits with 1 when none of the top level's chain is usable.
    """
    setup = find_setup(ctx, config)
    with log_held():
        accounts = anyio.run(ask_accounts, setup, _running(ctx, config))
    usable = any(account.usable for account in accounts if account.name in setup.settings.auth)
    if json:
        say_json({"usable": usable, "accounts": [account.as_dict() for account in accounts]})
    elif not accounts:
        say('The toml names no account; the echo needs none. To get Kimi: nanokimi init, or set auth = "…".')
    else:
        say_table(["account", "state", "who", "until"], [account.row() for account in accounts])
        for account in accounts:
            say("\n" + "\n".join(account.lines()))
    if setup.settings.auth and not usable:
        raise typer.Exit(FAILED)


@command(app, "login", "nanokimi auth login", "nanokimi auth login work --region ai")
def login(
    ctx: typer.Context,
    name: Name = None,
    region: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the account, in place of the toml's: cn or ai.")
    ] = None,
    config: Config = None,
) -> None:
    """Log in to an account, by a code that you enter in a browser.

    The browser may be on any machine; a terminal with room for it shows a QR code too. Without NAME it is the first
    account of the toml that logs in this way. A running process uses the login from the next message on. Exits with 1
    when it was not confirmed; Ctrl-C gives it up.
    """
    with log_held():
        for line in log_in(find_setup(ctx, config), name, region):
            say(line)


@command(app, "logout", "nanokimi auth logout", "nanokimi auth logout work --yes")
def logout(
    ctx: typer.Context,
    name: Name = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    config: Config = None,
) -> None:
    """Remove an account's stored login or key.

    Without NAME it is the first account of the toml that stores one. The server isn't told: there it stays valid until
    its own end.
    """
    with log_held():
        for line in log_out(find_setup(ctx, config), name, _taken_for_granted if yes else _agree):
            say(line)


@command(app, "refresh", "nanokimi auth refresh")
def refresh(ctx: typer.Context, name: Name = None, config: Config = None) -> None:
    """Renew an account's login now, in place of when it is due.

    Without NAME it is the first account of the toml that can be renewed. Exits with 1 when a new login is needed, with
    75 when the login server can't be reached or is busy: then everything is as it was.
    """
    with log_held():
        for line in renew(find_setup(ctx, config), name):
            say(line)


@command(app, "set-key", "nanokimi auth set-key", "nanokimi auth set-key < key.txt")
def set_key(ctx: typer.Context, plugin: Instance = None, config: Config = None) -> None:
    """Store an API key, typed unseen or from a pipe.

    It goes to the first account of the toml that takes a key, into a file that only you can read.
    """
    setup = find_setup(ctx, config)
    with log_held():
        for line in store_key(setup, plugin, read_key):
            say(line)


@command(app, "import", "nanokimi auth import kimi-code.json")
def import_file(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The credentials file of another machine's login.")],
    plugin: Instance = None,
    config: Config = None,
) -> None:
    """Take over the login of another machine.

    FILE is the kimi-code.json of that login. Don't use the other copy any more: each refresh makes all other copies
    worthless.
    """
    if not file.is_file():
        raise CommandError(f"{file} is no file", remedy="name the kimi-code.json of a login")
    with log_held():
        for line in import_login(find_setup(ctx, config), plugin, file):
            say(line)


def _running(ctx: typer.Context, config: Path | None) -> Status | None:
    """Ask the running process how it stands; where it doesn't say, the accounts are asked all the same."""
    try:
        return with_process(ctx, config, lambda operations: operations.status())
    except NanoKimiError as error:
        note(f"nanokimi: {error}")
        return None


def _taken_for_granted(what: str) -> None:
    """Ask nobody."""


def _agree(what: str) -> None:
    """Have a person agree.

    Raises:
        CommandError: There is nobody to ask.
    """
    if not on_terminal():
        raise CommandError(f"nobody is there to agree to remove {what}", remedy="add --yes")
    if not typer.confirm(f"Remove {what} from this machine?", default=False, err=True):
        note("Nothing was removed.")
        raise typer.Exit(FAILED)


def read_key() -> SecretStr:
    """Ask for a key without showing it, or read it from a pipe.

    Raises:
        CommandError: There is none.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        text = typer.prompt("API key (not shown)", hide_input=True, err=True)
    else:
        text = sys.stdin.read(_LONGEST) if sys.stdin is not None else ""
    key = SecretStr(str(text).strip())
    if not key.get_secret_value():
        raise CommandError(
            "no key came on standard input", remedy="type it when asked, or: nanokimi auth set-key < FILE"
        )
    keep_secret(key.get_secret_value())
    return key
