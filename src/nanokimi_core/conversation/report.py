"""How the assistant stands, in the owner's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from nanokimi_core.conversation.catalogue import Key, Phrase, joined, later, phrase

if TYPE_CHECKING:
    from nanokimi_core.config.model import Language
    from nanokimi_core.status import AccountStatus, HeldLane, InstanceStatus, Status

_MOST = 10
_T = TypeVar("_T")

_INSTANCE: Final[Mapping[str, Key]] = {
    "starting": "instance_starting",
    "running": "instance_running",
    "waiting": "instance_waiting",
    "ended": "instance_ended",
    "failed": "instance_failed",
}
_ACCOUNT: Final[Mapping[str, Key]] = {
    "ok": "account_ok",
    "expiring": "account_expiring",
    "login_needed": "account_login_needed",
    "rejected": "account_rejected",
    "out_of_quota": "account_out_of_quota",
    "unknown": "account_unknown",
}


def report(status: Status, language: Language) -> Phrase:
    """Say how everything stands: the figures, then at most ten lines each of plugins, accounts, chats and problems."""
    return joined(
        [
            _figures(status, language),
            *_lines(status.instances, language, lambda instance: _instance(instance, language)),
            *_lines(status.accounts, language, lambda account: _account(account, language)),
            *_lines(status.held, language, lambda lane: _held(lane, language)),
            *_lines(status.problems, language, lambda cause: phrase(language, "owner_status_problem", cause=cause)),
        ]
    )


def _figures(status: Status, language: Language) -> Phrase:
    return phrase(
        language,
        "owner_status",
        name=status.assistant,
        version=status.version,
        chats=status.chats,
        warm=status.warm,
        turns=status.turns,
        waiting=status.waiting,
        owed=status.owed,
        dead=status.counters.get("dead", 0) + status.counters.get("undelivered", 0),
    )


def _instance(instance: InstanceStatus, language: Language) -> Phrase:
    state = _word(_INSTANCE, instance.state, language)
    if not instance.last_error:
        return phrase(language, "owner_status_instance", name=instance.name, kind=instance.kind, state=state)
    cause = instance.last_error
    return phrase(language, "owner_status_error", name=instance.name, kind=instance.kind, state=state, cause=cause)


def _account(account: AccountStatus, language: Language) -> Phrase:
    state = _word(_ACCOUNT, account.state, language)
    return phrase(language, "owner_status_account", name=account.name, state=state, remedy=account.remedy)


def _held(lane: HeldLane, language: Language) -> Phrase:
    again = later(timedelta(seconds=lane.seconds), language)
    return phrase(language, "owner_status_held", chat=lane.chat, cause=lane.cause, later=again)


def _word(words: Mapping[str, Key], state: str, language: Language) -> Phrase | str:
    """Give a state's word; a plugin can say one that nobody knows."""
    return phrase(language, words[state]) if state in words else state


def _lines(things: Sequence[_T], language: Language, say: Callable[[_T], Phrase]) -> list[Phrase]:
    lines = [say(thing) for thing in things[:_MOST]]
    rest = len(things) - _MOST
    return [*lines, phrase(language, "owner_more", rest=rest)] if rest > 0 else lines
