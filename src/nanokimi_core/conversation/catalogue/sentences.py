"""Sentences that are chosen by a value: a failure, a wait, a chat."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from nanokimi_core.conversation.catalogue.keys import Key
from nanokimi_core.conversation.catalogue.phrases import Phrase, joined, phrase
from nanokimi_core.conversation.catalogue.values import LONGEST_NAME, tidy
from nanokimi_core.errors import Failure

if TYPE_CHECKING:
    from nanokimi_core.config.model import Language
    from nanokimi_core.contracts.auth import ShowCode
    from nanokimi_core.messages import ChatKind
    from nanokimi_core.store.values import ChatRecord

_MOST_PEOPLE = 5

_HELD: Final[dict[Failure, Key]] = {
    Failure.CREDENTIALS: "held_credentials",
    Failure.QUOTA: "held_quota",
    Failure.RATE_LIMIT: "held_rate_limit",
    Failure.ENGINE: "held_engine",
    Failure.MODEL: "held_model",
}
_AWAY: Final[dict[Failure, Key]] = {
    Failure.CREDENTIALS: "away_credentials",
    Failure.QUOTA: "away_quota",
    Failure.RATE_LIMIT: "away_rate_limit",
    Failure.ENGINE: "away_engine",
    Failure.MODEL: "away_model",
}
_GIVEN_UP: Final[dict[Failure, Key]] = {
    Failure.CRASHED: "gave_up_crashed",
    Failure.OUT_OF_MEMORY: "gave_up_out_of_memory",
    Failure.SILENT: "gave_up_silent",
    Failure.TOO_LONG: "gave_up_too_long",
    Failure.NO_ANSWER: "gave_up_no_answer",
}
_KINDS: Final[dict[ChatKind, Key]] = {"direct": "kind_direct", "group": "kind_group", "self": "kind_self"}


def held(kind: Failure, language: Language, *, retry_after: timedelta | None = None) -> Phrase:
    """Say in a chat that its messages are kept until an outside cause has passed; ``fault`` where it isn't one."""
    return phrase(language, _HELD.get(kind, "fault"), later=later(retry_after, language))


def away(kind: Failure, language: Language, *, once: bool = False, login: str = "") -> Phrase:
    """Say in the console, which is the owner's, that an outside cause stands in the way; ``fault`` where it isn't one.

    Args:
        kind: The cause.
        language: The console's.
        once: Nobody stays there to read a late answer.
        login: The account that ``/login`` would help; empty where none is.
    """
    if kind not in _AWAY:
        return phrase(language, "fault")
    cause = phrase(language, _AWAY[kind])
    if once:
        return phrase(language, "away_once", away=cause)
    said = phrase(language, "away_kept", away=cause)
    return joined([said, phrase(language, "away_login", name=login)]) if login else said


def gave_up(kind: Failure | None, language: Language) -> Phrase:
    """Say in a chat that a message was tried as often as may be; ``None``: for no known reason."""
    return phrase(language, _GIVEN_UP.get(kind, "gave_up") if kind else "gave_up")


def later(wait: timedelta | None, language: Language) -> Phrase:
    """Say when: in so many seconds, minutes, hours or days; without a wait, in a while."""
    if wait is None:
        return phrase(language, "later")
    seconds = max(2, round(wait.total_seconds()))
    if seconds < 120:
        return phrase(language, "later_seconds", count=seconds)
    if seconds < 7200:
        return phrase(language, "later_minutes", count=round(seconds / 60))
    if seconds < 172_800:
        return phrase(language, "later_hours", count=round(seconds / 3600))
    return phrase(language, "later_days", count=round(seconds / 86_400))


def kind_of(kind: ChatKind, language: Language) -> Phrase:
    """Say what kind of chat it is."""
    return phrase(language, _KINDS[kind])


def unknown_chat(chat: ChatRecord, language: Language) -> Phrase:
    """Tell the owner of a chat that nobody has let in, and what to answer."""
    return phrase(
        language,
        "owner_unknown_chat",
        number=chat.number,
        name=chat.name or chat.id,
        kind=kind_of(chat.kind, language),
        chat=chat.id,
        people=people(chat.people, language),
    )


def people(names: Sequence[str], language: Language) -> Phrase:
    """Name up to five people, and count the rest."""
    if not names:
        return phrase(language, "people_none")
    # Commas in names would make one person look like two.
    told = ", ".join(tidy(name.replace(",", " "), LONGEST_NAME // 2) for name in names[:_MOST_PEOPLE])
    if len(names) <= _MOST_PEOPLE:
        return phrase(language, "people_some", people=told)
    return phrase(language, "people_more", people=told, rest=len(names) - _MOST_PEOPLE)


def login_code(name: str, code: ShowCode, language: Language, *, lost: bool = False, older: bool = False) -> Phrase:
    """Show the owner a login's page and code, each alone on a line, and until when they count.

    Args:
        name: The account.
        code: As the plugin gave it.
        language: The chat's.
        lost: The account needs the login; else the owner wants it.
        older: The owner has an older code that doesn't count any more.
    """
    first = phrase(language, "owner_login_lost" if lost else "owner_login_wanted", name=name)
    page, until = code.complete_url or code.url, f"{code.expires_at.astimezone():%H:%M %Z}"
    shown = phrase(language, "owner_login_code", name=name, url=page, code=code.code, until=until)
    return joined([*([phrase(language, "owner_login_older")] if older else []), first, shown])
