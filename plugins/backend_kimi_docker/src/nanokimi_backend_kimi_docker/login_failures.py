"""Why an agent's own login, or its own refresh of one, came to nothing."""

from __future__ import annotations

from datetime import timedelta

from nanokimi_core import AgentError, Failure

ANEW = "ask for a new code: nanokimi auth login, or /login in the owner's chat"
_DECLINED = "the login was refused on its page"
_AWAY = timedelta(seconds=30)

_Sign = tuple[str, ...]
_LOGINS: tuple[tuple[_Sign, Failure, str, str], ...] = (
    (
        ("eacces", "erofs", "enospc", "permission denied", "read-only file system", "no space left"),
        Failure.ENGINE,
        "the agent can't write where the login is",
        "look at: nanokimi doctor",
    ),
    (("denied", "cancelled"), Failure.CREDENTIALS, _DECLINED, ANEW),
    (("timed out after", "expired"), Failure.CREDENTIALS, "the login's code has ended", ANEW),
    (
        ("invalid_grant", "unauthorized", "grant is invalid", "re-login", "rejected", "not logged in", "(http 401)"),
        Failure.CREDENTIALS,
        "the login server refuses the login",
        "log in again: nanokimi auth login",
    ),
    (
        ("fetch failed", "cannot connect", "request failed", "server error", "(http 429)", "(http 5", "retries"),
        Failure.RATE_LIMIT,
        "the login server is away or busy",
        "wait, or look whether this machine and its containers reach it",
    ),
)


def of_login(last_words: str) -> AgentError:
    """Name the failure behind the last words of an agent's own login or refresh."""
    said = last_words or "it said nothing"
    for signs, failure, cause, remedy in _LOGINS:
        if any(sign in said.lower() for sign in signs):
            wait = _AWAY if failure is Failure.RATE_LIMIT else None
            detail = cause if cause == _DECLINED else f"{cause}: {said}"  # the agent says that again in other words
            return AgentError(failure, detail, remedy=remedy, retry_after=wait)
    return AgentError(Failure.CRASHED, f"the agent's login has failed: {said}", remedy="look at: nanokimi doctor")
