"""``nanokimi init``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError

from nanokimi_core.cli.auth import read_key
from nanokimi_core.cli.first_steps import next_steps, store_secrets
from nanokimi_core.cli.options import chosen_config, command, new_app
from nanokimi_core.cli.output import say
from nanokimi_core.cli.plain_file import read_plain
from nanokimi_core.cli.takeover import OldBot, look_at_old_bot, place_instructions
from nanokimi_core.cli.template import Choices, Group, render
from nanokimi_core.cli.wishes import Wishes, decide
from nanokimi_core.config import Location, locate
from nanokimi_core.config.location import FILE_NAME, absolute
from nanokimi_core.errors import CommandError, ConfigError
from nanokimi_core.files import write_private
from nanokimi_core.folder import DataFolder
from nanokimi_core.logs import keep_secret

_LONGEST_KEY = 10_000

app = new_app()


@command(
    app,
    "init",
    "nanokimi init",
    "nanokimi init --yes --backend kimi_docker --auth apikey --account kimi-code",
    "nanokimi init --from ~/old-bot --group family=whatsapp:123@g.us",
)
def init(
    ctx: typer.Context,
    path: Annotated[Path | None, typer.Argument(metavar="PATH", help="Where to write; ./nanokimi.toml.")] = None,
    assistant: Annotated[str | None, typer.Option(metavar="NAME", help="What the assistant is called.")] = None,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="kimi_docker, echo, or another plugin.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="kimi-code or kimi-cli.")] = None,
    auth: Annotated[str | None, typer.Option(metavar="NAME", help="apikey, oauth_file, or another plugin.")] = None,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Of an API key: kimi-code or platform.")] = None,
    region: Annotated[str | None, typer.Option(metavar="NAME", help="Of the account: cn or ai.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Store the API key in this file; - is standard input.")
    ] = None,
    old: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Take over an old bot's logins and instructions.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(metavar="NAME=CHAT", help="The chat of an old bot's group; may be repeated.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the defaults.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a toml that exists; a copy of it is kept.")] = False,
) -> None:
    """Write a nanokimi.toml with comments, from questions or from flags.

    A file that exists is left alone. Keys and logins are stored in the data folder, not in the toml.
    """
    toml = _target(ctx, path)
    if toml.exists() and not force:
        raise CommandError(
            f"{toml} exists already", remedy="edit it, or replace it with: nanokimi init --force (a copy is kept)"
        )
    bot = look_at_old_bot(absolute(old, "--from")) if old else None
    wishes = Wishes(assistant, backend, agent, auth, account, region, _groups(bot, group or []))
    choices, key = decide(wishes, bot, ask=not yes)
    if key_file is not None:
        key = _key_from(key_file)
    _write(toml, choices)
    location = locate(toml)
    stored = store_secrets(location, choices, key, bot, ask=not yes)
    if bot is not None:
        _take_over(bot, location)
    next_steps(location, choices, stored=stored)


def _target(ctx: typer.Context, path: Path | None) -> Path:
    named = path or chosen_config(ctx, None) or os.environ.get("NANOKIMI_CONFIG")
    toml = absolute(Path(named or FILE_NAME), "the command line" if path else "NANOKIMI_CONFIG")
    return toml / FILE_NAME if toml.is_dir() else toml


def _groups(bot: OldBot | None, given: Sequence[str]) -> list[Group]:
    known = bot.groups if bot else []
    chats: dict[str, str] = {}
    for text in given:
        name, equals, chat = text.partition("=")
        if not equals or ":" not in chat:
            raise CommandError(f'--group "{text}" is not NAME=CHAT', remedy="for example: family=whatsapp:123@g.us")
        if name not in known:
            raise CommandError(
                f'the old bot has no group "{name}" with a KIMI.md', remedy=f"it has: {', '.join(known) or 'none'}"
            )
        chats[name] = chat
    return [Group(name, chats.get(name)) for name in known]


def _key_from(file: Path) -> SecretStr:
    if str(file) == "-":
        return read_key()
    try:
        key = read_plain(absolute(file, "--key-file"), longest=_LONGEST_KEY, follow=True).strip()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"{file} can't be read: {said}", remedy="name a file that holds the key") from None
    if not key:
        raise CommandError(f"{file} is empty", remedy="name a file that holds the key")
    keep_secret(key)
    return SecretStr(key)


def _write(toml: Path, choices: Choices) -> None:
    try:
        text = render(choices)
    except ValidationError as error:
        said = "; ".join(problem["msg"] for problem in error.errors(include_url=False, include_input=False))
        raise ConfigError(f"that makes no valid toml: {said}") from None
    toml.parent.mkdir(parents=True, exist_ok=True)
    if toml.exists():
        say(f"Kept a copy of the old toml: {_keep(toml)}")
    write_private(toml, text.encode())
    say(f"Wrote {toml}")


def _keep(toml: Path) -> Path:
    number = 1
    while (copy := toml.with_name(f"{toml.name}.{number}.bak")).exists():
        number += 1
    shutil.copy2(toml, copy)
    return copy


def _take_over(bot: OldBot, location: Location) -> None:
    say(f"\nFrom {bot.folder} (nothing there was changed):")
    for line in place_instructions(bot, DataFolder(location.data)):
        say(f"  {line}")
    for line in bot.notes:
        say(f"  {line}")
    say("  Conversations are not taken over: each chat starts a fresh one.")
    if bot.login is not None:
        say("  Stop the old bot now: two holders of one login make it worthless for both at the next refresh.")
