"""What nanokimi.toml can say, apart from the plugins' own tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from nanokimi_core.config.rules import MAX_AGE, WILD, ChatRules, RuleBook
from nanokimi_core.settings import TomlPath

LONGEST_NAME = 60
WRONG_USE = "wrong_use"

Trigger = Literal["always", "mention", "never"]
Language = Literal["en", "es"]
Arriving = Literal["wait", "cancel"]

_DURATION = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+(?:\.\d+)?)s)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def parse_duration(value: Any) -> Any:
    """Read ``"90s"``, ``"2m"``, ``"1h30m"``, ``"30d"`` or a number of seconds."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())) and any(match.groups()):
        days, hours, minutes, seconds = (float(number or 0) for number in match.groups())
        return _seconds(days * 86400 + hours * 3600 + minutes * 60 + seconds)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _seconds(value)
    if isinstance(value, timedelta):
        return value
    raise ValueError('write a duration as "90s", "2m" or "1h30m"')


def _seconds(number: float) -> timedelta:
    try:
        return timedelta(seconds=number)
    except (OverflowError, ValueError):  # too long, or nan
        raise ValueError("is longer than any duration can be") from None


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_positive)]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _plugin_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f'"{value}" is not a plugin\'s name: letters, digits, "_" and "-"')
    return value


PluginName = Annotated[str, AfterValidator(_plugin_name)]
AuthChain = Annotated[tuple[PluginName, ...], BeforeValidator(_as_tuple)]


def _agents(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not number and value != "auto":
        raise ValueError('write "auto" or a number of agents, 1 or more')
    return value


def _use_is_a_name(table: dict[str, Any]) -> dict[str, Any]:
    use = table.get("use", "plugin")
    if not (isinstance(use, str) and _NAME.fullmatch(use)):
        raise PydanticCustomError(WRONG_USE, "must be the name of a plugin")
    return table


PluginTable = Annotated[dict[str, Any], AfterValidator(_use_is_a_name)]


class Table(BaseModel):
    """A table of the toml: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(Table):
    """``[limits]``: what the assistant may take of the machine and of people's patience."""

    idle_timeout: Duration = Field(default=timedelta(minutes=2), description="How long an unused agent stays up.")
    max_warm: Annotated[int | Literal["auto"], BeforeValidator(_agents)] = Field(
        default="auto", description='Agents that may be up at once; "auto" asks the backend what the machine can hold.'
    )
    max_turns: int = Field(default=8, ge=1, strict=True, description="Turns that may run at once, all chats together.")
    max_waiting: int = Field(default=100, ge=1, strict=True, description="Messages that may wait in one chat.")
    turn_silence: Duration = Field(
        default=timedelta(minutes=5), description="How long an agent may say nothing in a turn."
    )
    turn_time: Duration = Field(default=timedelta(minutes=30), description="How long a turn may take.")
    stop_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long a stop waits for running turns."
    )
    hang_limit: Duration = Field(
        default=timedelta(minutes=1), description="How long a plugin may block everything before the process gives up."
    )
    max_waiting_all: int = Field(default=10_000, ge=1, strict=True, description="Messages that may wait, all chats.")
    max_batch: int = Field(default=20, ge=1, le=500, strict=True, description="Waiting messages that become one turn.")
    max_attempts: int = Field(
        default=3, ge=1, le=100, strict=True, description="Times that a message is tried before it is a dead letter."
    )
    turns_per_day: int | None = Field(default=None, ge=1, strict=True, description="Turns a chat may have in a day.")
    max_age: Duration = Field(
        default=MAX_AGE, description="How old a message may be when it comes; an older one is context, not a question."
    )
    send_timeout: Duration = Field(default=timedelta(seconds=30), description="How long sending one message may take.")
    send_attempts: int = Field(
        default=12,
        ge=1,
        le=1000,
        strict=True,
        description="Sends of unknown outcome before an answer is given up.",
    )
    send_time: Duration = Field(
        default=timedelta(days=1), description="How long an answer that was certainly not sent is tried again."
    )
    retention: Duration = Field(default=timedelta(days=30), description="How long what is done is remembered.")


class SendersFile(Table):
    """A list of senders in a file: one a line, ``#`` starts a comment."""

    file: TomlPath = Field(description="The file; a relative path starts from the toml's folder.")


def _senders_or_none(value: Any) -> Any:
    if value is None or isinstance(value, SendersFile):
        return value
    if isinstance(value, dict):
        return SendersFile.model_validate(value)
    if not isinstance(value, (list, tuple)):
        raise ValueError('write a list of senders, or { file = "…" }')
    if any(not isinstance(name, str) or not name.strip() for name in value):
        raise ValueError("has an entry that names nobody")
    return tuple(value)


class ChatTable(Table):
    """``[chats."transport:chat"]``: the rules of one chat, or of all that match a pattern."""

    trigger: Trigger | None = Field(
        default=None, description='When the assistant answers: "always", "mention" or "never".'
    )
    backend: PluginName | None = Field(default=None, description="Another backend than the top level's.")
    auth: AuthChain | None = Field(default=None, description="Another account than the top level's.")
    sandbox: str | None = Field(
        default=None,
        min_length=1,
        description="Chats with the same sandbox share a container, its files and their KIMI.md.",
    )
    senders: Annotated[tuple[str, ...] | SendersFile | None, BeforeValidator(_senders_or_none)] = Field(
        default=None, description='Who may speak, as a list of names or patterns, or { file = "…" }; without it, all.'
    )
    context: int | None = Field(
        default=None,
        ge=0,
        le=200,
        strict=True,
        description="Messages said before the trigger that go along with it; 20 unless told.",
    )
    arriving: Arriving | None = Field(
        default=None, description='A message during a turn: "wait" for its end, or "cancel" the turn.'
    )
    language: Language | None = Field(default=None, description="What the assistant itself says here is in: en or es.")
    turns_per_day: int | None = Field(
        default=None, ge=1, strict=True, description="Another number of turns in a day than the one in [limits]."
    )
    max_age: Duration | None = Field(default=None, description="Another age than the one in [limits].")


class Settings(Table):
    """The top level of nanokimi.toml."""

    assistant: str = Field(
        default="Kai", min_length=1, max_length=LONGEST_NAME, description="What the assistant is called."
    )
    transports: tuple[PluginName, ...] = Field(default=("console",), description="The chat networks.")
    backend: PluginName = Field(default="echo", description="Where the assistant thinks.")
    auth: AuthChain = Field(default=(), description="The account that pays; a list is tried in order.")
    owner: str | None = Field(default=None, description='The owner\'s chat, as "transport:chat".')
    language: Language = Field(default="en", description="What the assistant itself says is in: en or es.")
    logs: Literal["text", "json"] = Field(default="text", description="How log lines are written: text or json.")
    limits: Limits = Field(default=Limits(), description="What it may take of the machine and of people's patience.")
    plugins: dict[PluginName, PluginTable] = Field(default={}, description="One table for each plugin.")
    chats: dict[str, ChatTable] = Field(default={}, description="One table for each chat or pattern.")

    @field_validator("assistant")
    @classmethod
    def _visible(cls, value: str) -> str:
        name = " ".join(value.split())
        if not any(character.isalnum() for character in name):
            raise ValueError("needs at least one letter or digit")
        return name

    @field_validator("transports")
    @classmethod
    def _some_transport(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError('name at least one transport, for example "console"')
        if len(set(value)) < len(value):
            raise ValueError("names a transport twice; a second instance needs a name of its own ([plugins.NAME] use)")
        return value

    @field_validator("owner")
    @classmethod
    def _owner_is_a_chat(cls, value: str | None) -> str | None:
        if value is not None and not _is_chat(value):
            raise ValueError('write the owner\'s chat as "transport:chat"')
        return value

    @field_validator("chats")
    @classmethod
    def _chats_have_transports(cls, value: dict[str, ChatTable]) -> dict[str, ChatTable]:
        for name in value:
            if not _is_chat(name):
                raise ValueError(f'"{name}" is neither a chat nor a pattern; write it as "transport:chat"')
        return value

    def use(self, instance: str) -> str:
        """Give the plugin that an instance is made of: its table's ``use``, else its own name."""
        return str(self.plugins.get(instance, {}).get("use", instance))

    def table(self, instance: str) -> dict[str, Any]:
        """Give an instance's table without ``use``."""
        return {key: value for key, value in self.plugins.get(instance, {}).items() if key != "use"}

    def backends(self) -> tuple[str, ...]:
        """Name the backend instances that some chat may use; the top level's comes first."""
        return _unique([self.backend, *(chat.backend for chat in self.chats.values() if chat.backend)])

    def auths(self) -> tuple[str, ...]:
        """Name the auth instances that some chat may use, in the order of the top level's chain."""
        return _unique([*self.auth, *(name for chat in self.chats.values() for name in chat.auth or ())])

    def rules(self, chats: Iterable[str]) -> ChatRules:
        """Work out the rules of a chat from its id and its aliases, each ``transport:chat``."""
        return self._book.rules(tuple(chats))

    @cached_property
    def _book(self) -> RuleBook:
        return RuleBook(self)

    @property
    def most_context(self) -> int:
        """Say how many messages of context the most talkative rule allows."""
        return self._book.most_context

    @property
    def problems(self) -> tuple[str, ...]:
        """Say which lists of senders can't be read: in those chats nobody may speak until they can."""
        return self._book.problems


def _is_chat(name: str) -> bool:
    transport, colon, chat = name.partition(":")
    return bool(transport and colon and chat) and not WILD.search(transport)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
