"""``nanokimi chats``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from nanokimi_core.cli.guard import FAILED
from nanokimi_core.cli.options import Config, Json, command, new_group
from nanokimi_core.cli.output import note, on_terminal, say, say_json, say_table
from nanokimi_core.cli.reaching import with_operations
from nanokimi_core.cli.times import counted, moment
from nanokimi_core.control import known_chat
from nanokimi_core.errors import CommandError
from nanokimi_core.operations import Operations
from nanokimi_core.store.values import ChatRecord

_ACCESS = {True: "allowed", False: "denied", None: "as the toml says"}

Number = Annotated[
    str,
    typer.Argument(
        metavar="N", help='The chat\'s number in nanokimi chats list, or its id, "transport:chat".', show_default=False
    ),
]

app = new_group(
    "The chats that are known, and who may talk to the assistant.",
    "nanokimi chats list",
    "nanokimi chats allow 3",
    "nanokimi chats forget 3",
)


@command(app, "list", "nanokimi chats list", "nanokimi chats list --json")
def list_(ctx: typer.Context, json: Json = False, config: Config = None) -> None:
    """List the chats that are known, the latest first.

    Also those that are not let in: they get no answer until they are.
    """
    found = with_operations(ctx, config, lambda operations: operations.chats())
    if json:
        say_json({"chats": [asdict(chat) for chat in found]})
    elif not found:
        say("No chat is known yet.")
    else:
        rows = [
            [str(each.number), each.id, each.name, each.kind, _ACCESS[each.granted], *_people(each), moment(each.seen)]
            for each in found
        ]
        say_table(["number", "id", "name", "kind", "access", "people", "waiting", "last seen"], rows)


@command(app, "allow", "nanokimi chats allow 3", 'nanokimi chats allow "line:desk"')
def allow(ctx: typer.Context, number: Number, config: Config = None) -> None:
    """Let a chat in.

    This is kept in the data folder; the toml is left alone, and wins.
    """
    chat, granted = with_operations(ctx, config, lambda operations: _grant(operations, number, True))
    say(f"{_called(chat)} is let in." if granted else f"{_called(chat)} is let in by the toml already.")


@command(app, "deny", "nanokimi chats deny 3")
def deny(ctx: typer.Context, number: Number, config: Config = None) -> None:
    """Shut a chat out: it gets no answer, and the owner isn't asked about it again.

    A chat that the toml lets in stays in.
    """
    chat, granted = with_operations(ctx, config, lambda operations: _grant(operations, number, False))
    if not granted:
        raise CommandError(f"the toml lets {chat.id} in", remedy="take it out of the tables [chats] there")
    say(f"{_called(chat)} is shut out.")


@command(app, "forget", "nanokimi chats forget 3", "nanokimi chats forget 3 --yes")
def forget(
    ctx: typer.Context,
    number: Number,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    config: Config = None,
) -> None:
    """Erase a chat: its messages, its files, its agent's memory.

    Whether it is let in stays as it is. What is erased can't be brought back.
    """
    if not yes:
        _ask(with_operations(ctx, config, lambda operations: known_chat(operations, number)))
    chat, count = with_operations(ctx, config, lambda operations: _forget(operations, number))
    say(f"{_called(chat)} is forgotten: {counted(count, 'message')}, the files and the agent's memory.")


async def _grant(operations: Operations, number: str, granted: bool) -> tuple[ChatRecord, bool]:
    chat = await known_chat(operations, number)
    return chat, await operations.grant(chat, granted)


async def _forget(operations: Operations, number: str) -> tuple[ChatRecord, int]:
    chat = await known_chat(operations, number)
    return chat, await operations.forget(chat)


def _ask(chat: ChatRecord) -> None:
    """Have a person agree.

    Raises:
        CommandError: There is nobody to ask.
    """
    if not on_terminal():
        raise CommandError(f"nobody is there to agree to forget {_called(chat)}", remedy="add --yes")
    question = f"Erase the messages, the files and the agent's memory of {_called(chat)}?"
    if not typer.confirm(question, default=False, err=True):
        note("Nothing was erased.")
        raise typer.Exit(FAILED)


def _called(chat: ChatRecord) -> str:
    return f"{chat.id} ({' '.join(chat.name.split())})" if chat.name else chat.id


def _people(chat: ChatRecord) -> list[str]:
    return [", ".join(chat.people), str(chat.waiting)]
