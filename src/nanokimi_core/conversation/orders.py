"""What the owner orders in chat: chats, dead letters, how everything stands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from nanokimi_core.conversation.catalogue import Key, Phrase, joined, kind_of, login_code, phrase
from nanokimi_core.conversation.report import report
from nanokimi_core.errors import NanoKimiError
from nanokimi_core.operations import Operations

if TYPE_CHECKING:
    from nanokimi_core.config.model import Language
    from nanokimi_core.status import LoginAsked
    from nanokimi_core.store.values import ChatRecord, DeadLetter

_MOST_CHATS = 30
_MOST_LETTERS = 10
_MOST_READ = 1000

_Order = Callable[["Language", Sequence[str]], Awaitable[Phrase | None]]


class Orders:
    """Carries out the owner's orders. Who may give one, and where, is decided before.

    Args:
        operations: The owner's hands.
    """

    def __init__(self, operations: Operations) -> None:
        self._do = operations
        self._orders: Mapping[str, tuple[_Order, str]] = {
            "/allow": (self._allow, "/allow 3"),
            "/deny": (self._deny, "/deny 3"),
            "/chats": (self._chats, "/chats"),
            "/forget": (self._forget, "/forget 3"),
            "/dead": (self._dead, "/dead, /dead retry m3, /dead drop m3"),
            "/login": (self._login, "/login, /login work"),
            "/status": (self._status, "/status"),
            "/help": (self._help, "/help"),
        }

    async def carry_out(self, text: str, language: Language, chat: str = "") -> Phrase | None:
        """Carry out what a text orders, and say what became of it; ``None`` where it is no order.

        An order that is written wrongly, or can't be carried out, gets a sentence that says so.

        Args:
            text: As typed.
            language: The chat's.
            chat: Where it was typed, ``transport:chat``.
        """
        word, *rest = text.split() or [""]
        if word.lower() not in self._orders:
            return None
        order, how = self._orders[word.lower()]
        if word.lower() == "/login":
            order = partial(self._login, chat=chat)
        try:
            said = await order(language, rest)
        except NanoKimiError as error:
            return phrase(language, "owner_error", cause=error)
        return phrase(language, "owner_how", how=how) if said is None else said

    async def _allow(self, language: Language, words: Sequence[str]) -> Phrase | None:
        return await self._grant(language, words, granted=True)

    async def _deny(self, language: Language, words: Sequence[str]) -> Phrase | None:
        return await self._grant(language, words, granted=False)

    async def _grant(self, language: Language, words: Sequence[str], *, granted: bool) -> Phrase | None:
        if len(words) != 1:
            return None
        chat = await self._do.find(_bare(words[0]))
        if chat is None:
            return phrase(language, "owner_no_such_chat", chat=words[0])
        name = chat.name or chat.id
        if not await self._do.grant(chat, granted):
            return phrase(language, "owner_toml_decides", number=chat.number, name=name)
        if granted:
            return phrase(language, "owner_allowed", number=chat.number, name=name)
        return phrase(language, "owner_denied", number=chat.number, name=name)

    async def _forget(self, language: Language, words: Sequence[str]) -> Phrase | None:
        if len(words) != 1:
            return None
        chat = await self._do.find(_bare(words[0]))
        if chat is None:
            return phrase(language, "owner_no_such_chat", chat=words[0])
        count = await self._do.forget(chat)
        return phrase(language, "owner_forgot", number=chat.number, name=chat.name or chat.id, count=count)

    async def _chats(self, language: Language, words: Sequence[str]) -> Phrase | None:
        if words:
            return None
        chats = await self._do.chats()
        if not chats:
            return phrase(language, "owner_chats_none")
        lines = [_chat_line(chat, language) for chat in chats[:_MOST_CHATS]]
        head = phrase(language, "owner_chats", count=len(chats))
        return joined([head, *lines, *_rest(len(chats) - _MOST_CHATS, language)])

    async def _dead(self, language: Language, words: Sequence[str]) -> Phrase | None:
        match [word.lower() for word in words]:
            case []:
                return await self._dead_list(language)
            case ["retry", letter]:
                found = await self._do.revive(letter)
                return _done(language, "owner_revived", found, letter)
            case ["drop", letter]:
                found = await self._do.drop(letter)
                return _done(language, "owner_dropped", found, letter)
        return None

    async def _dead_list(self, language: Language) -> Phrase:
        letters = await self._do.dead(limit=_MOST_READ)
        if not letters:
            return phrase(language, "owner_dead_none")
        lines = [_letter_line(letter, language) for letter in letters[:_MOST_LETTERS]]
        head = phrase(language, "owner_dead", count=len(letters))
        return joined([head, *lines, *_rest(len(letters) - _MOST_LETTERS, language)])

    async def _login(self, language: Language, words: Sequence[str], chat: str = "") -> Phrase | None:
        return None if len(words) > 1 else _login(await self._do.log_in(words[0] if words else None, chat), language)

    async def _status(self, language: Language, words: Sequence[str]) -> Phrase | None:
        return None if words else report(await self._do.status(), language)

    async def _help(self, language: Language, words: Sequence[str]) -> Phrase | None:
        return None if words else joined([phrase(language, "help"), phrase(language, "help_owner")])


_GRANTED: Final[Mapping[bool | None, Key]] = {True: "chat_allowed", False: "chat_denied", None: "chat_undecided"}


def _login(asked: LoginAsked, language: Language) -> Phrase:
    """Say what came of the wish to log in."""
    name = asked.name
    if asked.state == "elsewhere":
        ways = [
            phrase(language, "owner_login_not_by_code", name=name),
            *([phrase(language, "owner_login_by_key", name=name)] if asked.takes_key else []),
            *([phrase(language, "owner_login_by_file", name=name)] if asked.imports_login else []),
        ]
        return joined(ways)
    if asked.code is not None:
        return login_code(name, asked.code, language)
    return phrase(language, "owner_login_fine" if asked.usable else "owner_login_asked", name=name)


def _bare(chat: str) -> str:
    """Take ``#3`` for ``3``."""
    return chat[1:] if chat[1:].isdecimal() and chat[0] == "#" else chat


def _chat_line(chat: ChatRecord, language: Language) -> Phrase:
    return phrase(
        language,
        "owner_chats_line",
        number=chat.number,
        name=chat.name or chat.id,
        kind=kind_of(chat.kind, language),
        chat=chat.id,
        state=phrase(language, _GRANTED[chat.granted]),
        waiting=chat.waiting,
    )


def _letter_line(letter: DeadLetter, language: Language) -> Phrase:
    return phrase(
        language,
        "owner_dead_line",
        id=letter.id,
        chat=letter.chat,
        excerpt=letter.text,
        cause=letter.cause,
        attempts=letter.attempts,
    )


def _done(language: Language, key: Key, letter: DeadLetter | None, asked: str) -> Phrase:
    return phrase(language, "owner_no_such_letter" if letter is None else key, id=letter.id if letter else asked)


def _rest(count: int, language: Language) -> list[Phrase]:
    return [phrase(language, "owner_more", rest=count)] if count > 0 else []
