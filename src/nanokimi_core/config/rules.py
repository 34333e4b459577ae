"""From the tables of chats to what holds for one chat, at the same cost for ten tables and for ten thousand."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from nanokimi_core.config.model import ChatTable, Settings

WILD = re.compile(r"[*?]")
CONTEXT = 20
MAX_AGE = timedelta(days=1)
"""A night without a network is made up for; after more than a day, answers to what was said would surprise people."""

_LARGEST = 1_000_000
_REMEMBERED = 2000  # chats


@dataclass(frozen=True, slots=True)
class ChatRules:
    """What holds for one chat.

    Attributes:
        known: Some table names it, it is the owner's, or it is the console; others are refused.
        trigger: ``None`` where no table says: direct chats ``always``, groups ``mention``, and so direct chats of an
            account that is a person's own.
        backend: The backend's instance.
        auth: The chain of auth instances.
        sandbox: ``None``: the chat is its own.
        senders: Names or patterns of those who may speak; ``None``: everybody in the chat.
        context: How many messages said before a trigger go along with it.
        arriving: What a message does that comes during a turn.
        language: Of what the assistant itself says.
        turns_per_day: ``None``: any number.
        max_age: How old a message may be when it comes to be answered.
    """

    known: bool
    trigger: Literal["always", "mention", "never"] | None
    backend: str
    auth: tuple[str, ...]
    sandbox: str | None
    senders: tuple[str, ...] | None = None
    context: int = CONTEXT
    arriving: Literal["wait", "cancel"] = "wait"
    language: Literal["en", "es"] = "en"
    turns_per_day: int | None = None
    max_age: timedelta = MAX_AGE

    def may_speak(self, names: Iterable[str]) -> bool:
        """Whether a sender may speak, who goes by these names."""
        if self.senders is None:
            return True
        return any(_matches(pattern, name) for name in names for pattern in self.senders)


class RuleBook:
    """The rules of all chats.

    For each key: the exact chat, else the pattern with the longest literal prefix, else the top level.

    Args:
        settings: The toml's.

    Attributes:
        problems: The lists of senders that can't be read: in those chats nobody may speak.
        most_context: The largest number of messages of context that any rule allows.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._exact = {name: table for name, table in settings.chats.items() if not WILD.search(name)}
        wild = [(name, table) for name, table in settings.chats.items() if WILD.search(name)]
        self._patterns = sorted(wild, key=lambda pair: _literal_prefix(pair[0]), reverse=True)
        self.most_context = max([CONTEXT, *(table.context or 0 for table in settings.chats.values())])
        self._senders: dict[int, tuple[str, ...]] = {}
        problems = [problem for name, table in settings.chats.items() if (problem := self._read(name, table))]
        self.problems = tuple(problems)
        self._worked_out = lru_cache(_REMEMBERED)(self._work_out)

    def rules(self, chats: tuple[str, ...]) -> ChatRules:
        """Say what holds for a chat from its id and its aliases, each ``transport:chat``."""
        return self._worked_out(chats)

    def _work_out(self, chats: tuple[str, ...]) -> ChatRules:
        settings = self._settings
        console = settings.use("console") == "console" and any(chat.startswith("console:") for chat in chats)
        tables = [self._exact[chat] for chat in chats if chat in self._exact]
        tables.extend(table for name, table in self._patterns if any(_matches(name, chat) for chat in chats))
        context = _first(table.context for table in tables)
        return ChatRules(
            known=bool(tables) or console or settings.owner in chats,
            trigger="always" if console else _first(table.trigger for table in tables),
            backend=_first(table.backend for table in tables) or settings.backend,
            auth=_first(table.auth for table in tables) or settings.auth,
            sandbox=_first(table.sandbox for table in tables),
            senders=_first(self._senders.get(id(table)) for table in tables),
            context=CONTEXT if context is None else context,
            arriving=_first(table.arriving for table in tables) or "wait",
            language=_first(table.language for table in tables) or settings.language,
            turns_per_day=_first(table.turns_per_day for table in tables) or settings.limits.turns_per_day,
            max_age=_first(table.max_age for table in tables) or settings.limits.max_age,
        )

    def _read(self, name: str, table: ChatTable) -> str:
        """Take in who may speak; gives what is wrong with the list, if anything."""
        senders, transport = table.senders, name.partition(":")[0]
        if senders is None:
            return ""
        self._senders[id(table)] = ()
        if not isinstance(senders, tuple):
            try:
                text = _text(senders.file)
            except (OSError, ValueError) as error:
                said = getattr(error, "strerror", None) or error
                return f'[chats."{name}"] senders: {senders.file} can\'t be read ({said}), so nobody may speak there'
            senders = tuple(line.partition("#")[0].strip() for line in text.splitlines())
        named = (sender.removeprefix(f"{transport}:") for sender in senders)
        self._senders[id(table)] = tuple(sender for sender in named if sender)
        return ""


def _text(path: Path) -> str:
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a pipe's other end may never be opened
            raise ValueError("it is not a file")
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST} bytes")
    return data.decode("utf-8-sig")


def _matches(name: str, chat: str) -> bool:
    return name == chat or (bool(WILD.search(name)) and fnmatchcase(chat, name.replace("[", "[[]")))


def _literal_prefix(pattern: str) -> int:
    wild = WILD.search(pattern)
    return wild.start() if wild else len(pattern)


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)
