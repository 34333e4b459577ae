"""``nanokimi dead``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from nanokimi_core.cli.options import Config, Json, command, new_group
from nanokimi_core.cli.output import say, say_json, say_table
from nanokimi_core.cli.reaching import with_operations
from nanokimi_core.cli.times import moment
from nanokimi_core.control import shortened
from nanokimi_core.errors import CommandError
from nanokimi_core.store.values import DeadLetter

_BEGINNING = 40
_MOST = 1000

Letter = Annotated[str, typer.Argument(metavar="ID", help="As nanokimi dead list names it.", show_default=False)]
ChatId = Annotated[str | None, typer.Option("--chat", metavar="ID", help='Only those of this chat, "transport:chat".')]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=_MOST, help="At most so many, the latest.")]

app = new_group(
    "Messages and answers that were given up.",
    "nanokimi dead list",
    "nanokimi dead show m12",
    "nanokimi dead retry m12",
)


@command(app, "list", "nanokimi dead list", 'nanokimi dead list --chat "line:desk" --json')
def list_(
    ctx: typer.Context, chat: ChatId = None, limit: Limit = 100, json: Json = False, config: Config = None
) -> None:
    """List dead letters, the latest first.

    m and a number is a message that could not be answered, a and a number an answer that could not be sent.
    """
    found = with_operations(ctx, config, lambda operations: operations.dead(limit=limit, chat=chat))
    letters = [shortened(letter) for letter in found]
    if json:
        say_json({"letters": [_as_dict(letter) for letter in letters]})
    elif not letters:
        say("There are no dead letters.")
    else:
        rows = [
            [each.id, each.chat, moment(each.at), str(each.attempts), each.cause, _beginning(each.text)]
            for each in letters
        ]
        say_table(["id", "chat", "given up", "tries", "cause", "text"], rows)


@command(app, "show", "nanokimi dead show m12")
def show(ctx: typer.Context, letter: Letter, json: Json = False, config: Config = None) -> None:
    """Print a dead letter with all of its text."""
    found = _there(letter, with_operations(ctx, config, lambda operations: operations.dead_letter(letter)))
    if json:
        say_json(_as_dict(found))
        return
    who = f" from {found.who}" if found.who else ""
    say(f"{found.id}: {found.kind}{who} in {found.chat}, given up at {moment(found.at)} after {found.attempts} tries")
    say(f"Cause: {found.cause}")
    for attachment in found.attachments:
        say(f"File: {attachment.name} ({attachment.media_type}, {attachment.size} bytes) at {attachment.path}")
    say(f"\n{found.text}")


@command(app, "retry", "nanokimi dead retry m12")
def retry(ctx: typer.Context, letter: Letter, config: Config = None) -> None:
    """Try a dead letter again.

    A message goes back into the lane of its chat, an answer to where it was in the outbox; attempts count anew.
    """
    found = _there(letter, with_operations(ctx, config, lambda operations: operations.revive(letter)))
    say(f"The {found.kind} {found.id} in {found.chat} is tried again.")


@command(app, "drop", "nanokimi dead drop m12")
def drop(ctx: typer.Context, letter: Letter, config: Config = None) -> None:
    """End a dead letter for good: nobody answers or sends it any more."""
    found = _there(letter, with_operations(ctx, config, lambda operations: operations.drop(letter)))
    say(f"The {found.kind} {found.id} in {found.chat} is dropped.")


def _there(letter: str, found: DeadLetter | None) -> DeadLetter:
    if found is None:
        raise CommandError(f'there is no dead letter "{letter}"', remedy="see: nanokimi dead list")
    return found


def _as_dict(letter: DeadLetter) -> dict[str, Any]:
    files = [{**asdict(attachment), "path": str(attachment.path)} for attachment in letter.attachments]
    return {**asdict(letter), "attachments": files}


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _BEGINNING else f"{line[: _BEGINNING - 1]}…"
