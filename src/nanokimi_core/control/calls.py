"""What a command can ask: a request, what it comes to, and how values travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nanokimi_core.control.forms import Form
from nanokimi_core.errors import CommandError
from nanokimi_core.operations import Operations
from nanokimi_core.status import LoginAsked, Status
from nanokimi_core.store.values import ChatRecord, DeadLetter

LISTED = 500
"""Characters of a dead letter's text and cause that are given in a list."""

STATUS: Form[Status] = Form(Status)
SENTENCES: Form[tuple[str, ...]] = Form(tuple[str, ...])
CHAT: Form[ChatRecord | None] = Form(ChatRecord | None)
CHATS: Form[tuple[ChatRecord, ...]] = Form(tuple[ChatRecord, ...])
LETTER: Form[DeadLetter | None] = Form(DeadLetter | None)
LETTERS: Form[tuple[DeadLetter, ...]] = Form(tuple[DeadLetter, ...])
LOGIN: Form[LoginAsked] = Form(LoginAsked)
NUMBER: Form[int] = Form(int)
YES_OR_NO: Form[bool] = Form(bool)


class Request(BaseModel):
    """A command's request; ``join`` makes the rest of the connection a chat."""

    model_config = ConfigDict(extra="forbid")

    call: Literal[
        "status",
        "reload",
        "log_in",
        "chats",
        "find",
        "grant",
        "forget",
        "dead",
        "dead_letter",
        "revive",
        "drop",
        "join",
    ]
    chat: str | None = Field(default=None, max_length=1000)
    name: str | None = Field(default=None, max_length=200)
    letter: str = Field(default="", max_length=100)
    granted: bool = False
    fresh: bool = False
    limit: int = Field(default=100, ge=1, le=1000)


async def perform(operations: Operations, request: Request) -> Any:
    """Do what is asked, and give the answer as JSON has it.

    Raises:
        NanoKimiError: It can't be done.
    """
    asked = request.chat or ""
    match request.call:
        case "status":
            return STATUS.dump(await operations.status())
        case "reload":
            return SENTENCES.dump(tuple(await operations.reload()))
        case "log_in":
            return LOGIN.dump(await operations.log_in(request.name, asked))
        case "chats":
            return CHATS.dump(tuple(await operations.chats()))
        case "find":
            return CHAT.dump(await operations.find(asked))
        case "grant":
            return await operations.grant(await known_chat(operations, asked), request.granted)
        case "forget":
            return await operations.forget(await known_chat(operations, asked))
        case "dead":
            letters = await operations.dead(limit=request.limit, chat=request.chat)
            return LETTERS.dump(tuple(shortened(letter) for letter in letters))
        case "dead_letter":
            return LETTER.dump(await operations.dead_letter(request.letter))
        case "revive":
            return LETTER.dump(await operations.revive(request.letter))
        case "drop":
            return LETTER.dump(await operations.drop(request.letter))
        case "join":
            raise CommandError("a chat can't be asked for here")


async def known_chat(operations: Operations, chat: str) -> ChatRecord:
    """Find a chat by its number or its id.

    Raises:
        CommandError: There is none.
    """
    found = await operations.find(chat)
    if found is None:
        raise CommandError(f'there is no chat "{chat}"', remedy="see: nanokimi chats list")
    return found


def shortened(letter: DeadLetter) -> DeadLetter:
    """Cut a dead letter's text and cause for a list."""
    return replace(letter, text=letter.text[:LISTED], cause=letter.cause[:LISTED])


def refused(error: Exception) -> CommandError:
    """Say that a request can't be understood."""
    return CommandError(
        f"the running process doesn't understand this command: {error}",
        remedy="restart it, so that both are of the same version",
    )


def asking(call: str, **arguments: Any) -> Mapping[str, Any]:
    """Write a request down."""
    return {"call": call, **arguments}
