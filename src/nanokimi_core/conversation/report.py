"""How the assistant stands, in the owner's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from nanokimi_core.conversation.catalogue import Key, Phrase, joined, later, phrase

if TYPE_CHECKING:
    from nanokimi_core.config.model import Language
    from nanokimi_core.status import AccountStatus, HeldLane, InstanceStatus, QuotaStatus, Status

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
            *_lines(list(_more(status.accounts, language)), language, lambda line: line),
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
    if instance.said:
        state = f"{state}; {instance.said}"
    if not instance.last_error:
        return phrase(language, "owner_status_instance", name=instance.name, kind=instance.kind, state=state)
    cause = instance.last_error
    return phrase(language, "owner_status_error", name=instance.name, kind=instance.kind, state=state, cause=cause)


def _account(account: AccountStatus, language: Language) -> Phrase:
    state = _word(_ACCOUNT, account.state, language)
    return phrase(language, "owner_status_account", name=account.name, state=state, remedy=account.remedy)


def _more(accounts: Sequence[AccountStatus], language: Language) -> Iterator[Phrase]:
    """Say of accounts what there is to say beyond their state, low quotas first."""
    quotas = [(account, quota) for account in accounts for quota in account.quotas]
    for account, quota in sorted(quotas, key=lambda each: not each[1].low):
        if figures := _quota(quota, language):
            key: Key = "owner_status_quota_low" if quota.low else "owner_status_quota"
            yield phrase(language, key, name=account.name, quota=quota.name, figures=figures)
    for account in accounts:
        if account.login_until:
            until = moment(account.login_until)
            yield phrase(language, "owner_status_login", name=account.name, until=until)
        if len(accounts) > 1 and (account.serves or account.chats):
            in_use: Key = "owner_status_serves" if account.serves else "owner_status_chats"
            yield phrase(language, in_use, name=account.name, count=account.chats)


def _quota(quota: QuotaStatus, language: Language) -> Phrase | None:
    if quota.used is not None:
        figures = phrase(language, "quota_used", used=round(100 * quota.used))
    elif quota.left:
        figures = phrase(language, "quota_left", left=quota.left)
    else:
        return None
    if not quota.resets_at:
        return figures
    return phrase(language, "quota_resets", figures=figures, until=moment(quota.resets_at))


def moment(written: str) -> str:
    """Write a moment for people, in the time of this machine; what is no moment stays as it is."""
    try:
        return f"{datetime.fromisoformat(written).astimezone():%Y-%m-%d %H:%M %Z}"
    except (ValueError, OverflowError):
        return written


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
