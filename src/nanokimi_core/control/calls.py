"""What a command can ask: a request, what it comes to, and how values travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from nanokimi_core.errors import CommandError
from nanokimi_core.operations import Operations
from nanokimi_core.status import Status
from nanokimi_core.store.values import ChatRecord, DeadLetter

T = TypeVar("T")

LISTED = 500
"""Characters of a dead letter's text and cause that are given in a list."""

STATUS: TypeAdapter[Status] = TypeAdapter(Status)
SENTENCES: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])
CHAT: TypeAdapter[ChatRecord | None] = TypeAdapter(ChatRecord | None)
CHATS: TypeAdapter[tuple[ChatRecord, ...]] = TypeAdapter(tuple[ChatRecord, ...])
LETTER: TypeAdapter[DeadLetter | None] = TypeAdapter(DeadLetter | None)
LETTERS: TypeAdapter[tuple[DeadLetter, ...]] = TypeAdapter(tuple[DeadLetter, ...])
NUMBER: TypeAdapter[int] = TypeAdapter(int)
YES_OR_NO: TypeAdapter[bool] = TypeAdapter(bool)


class Request(BaseModel):
    """A command's request; ``join`` makes the rest of the connection a chat."""

    model_config = ConfigDict(extra="forbid")

    call: Literal[
        "status", "reload", "chats", "find", "grant", "forget", "dead", "dead_letter", "revive", "drop", "join"
    ]
    chat: str | None = Field(default=None, max_length=1000)
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
            return _dumped(STATUS, await operations.status())
        case "reload":
            return _dumped(SENTENCES, tuple(await operations.reload()))
        case "chats":
            return _dumped(CHATS, tuple(await operations.chats()))
        case "find":
            return _dumped(CHAT, await operations.find(asked))
        case "grant":
            return await operations.grant(await known_chat(operations, asked), request.granted)
        case "forget":
            return await operations.forget(await known_chat(operations, asked))
        case "dead":
            letters = await operations.dead(limit=request.limit, chat=request.chat)
            return _dumped(LETTERS, tuple(shortened(letter) for letter in letters))
        case "dead_letter":
            return _dumped(LETTER, await operations.dead_letter(request.letter))
        case "revive":
            return _dumped(LETTER, await operations.revive(request.letter))
        case "drop":
            return _dumped(LETTER, await operations.drop(request.letter))
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


def read(kind: TypeAdapter[T], value: Any) -> T:
    """Read an answer.

    Raises:
        CommandError: The running process is of a version that answers otherwise.
    """
    try:
        return kind.validate_python(value)
    except ValueError as error:
        raise CommandError(
            "the running process answers in a form that this command doesn't know",
            remedy="restart it, so that both are of the same version",
        ) from error


def refused(error: Exception) -> CommandError:
    """Say that a request can't be understood."""
    return CommandError(
        f"the running process doesn't understand this command: {error}",
        remedy="restart it, so that both are of the same version",
    )


def _dumped(kind: TypeAdapter[Any], value: Any) -> Any:
    return kind.dump_python(value, mode="json")


def asking(call: str, **arguments: Any) -> Mapping[str, Any]:
    """Write a request down."""
    return {"call": call, **arguments}
