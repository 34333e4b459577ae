"""How an account stands, in words: what ``nanokimi auth status`` shows of it, offline and from any process."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem, counted
from nanokimi_auth_oauth_file.disk.store import Stored
from nanokimi_auth_oauth_file.keeping.state import KeeperState
from nanokimi_auth_oauth_file.model_api.refused import Shortage
from nanokimi_auth_oauth_file.model_api.usage import Usage
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import AuthStatus

_AGAIN = "log in again with: nanokimi auth login (or kimi login elsewhere, and: nanokimi auth import FILE)"


_WAIT = (
    "nothing, if it passes by itself: NanoKimi goes on trying; else look whether this machine reaches the login server"
)


def describe(stored: Stored, settings: Settings) -> AuthStatus:
    """Say how a login stands that can be used."""
    login, details = stored.login, {"file": str(stored.file)}
    if login is None:
        details["access_token"] = "not seen: only the container's user may read the file"  # noqa: S105
        return AuthStatus("ok", details=details)
    until = login.until
    if login.refreshable:
        details["access_token"] = _ended(settings) if login.expired(time.time()) else _lasting(until)
        return AuthStatus("ok", login.who, until, details=details)
    details["access_token"] = _lasting(until)
    return AuthStatus("expiring", login.who, until, f"it can't be refreshed; before it ends, {_AGAIN}", details)


def missing(problem: LoginProblem) -> AuthStatus:
    """Say that there is no login that can be used."""
    details = {"problem": problem.kind, "cause": problem.cause}
    return AuthStatus("login_needed", remedy=problem.remedy, details=details)


def kept(status: AuthStatus, login: Login, keeper: KeeperState | None, refused: str | None) -> AuthStatus:
    """Add what the keeper, maybe of another process, has said of itself.

    Args:
        status: Of the login by itself.
        login: As it is on disk.
        keeper: Its last word.
        refused: Why the login server wants no more of this login's refresh token, where it has said so.
    """
    if refused is not None:
        return replace(status, state="login_needed", remedy=_AGAIN, details=status.details | {"cause": refused})
    if keeper is None:
        return status
    times = {"last_refresh": keeper.last_refresh, "next_refresh": keeper.next_refresh}
    details = status.details | {name: moment(at) for name, at in times.items() if at is not None}
    since = keeper.failing_since
    if keeper.kind in ("", "login_needed") or since is None or login.expires_at - login.expires_in > since.timestamp():
        return replace(status, details=details)
    details |= {"failing_since": moment(since), "cause": keeper.cause}
    return replace(status, state="expiring", remedy=keeper.remedy or _WAIT, details=details)


def rejected(status: AuthStatus, said: str) -> AuthStatus:
    """Say that the model API refuses the login as it is."""
    return replace(status, state="rejected", remedy=_AGAIN, details=status.details | {"refused": said})


def short(status: AuthStatus, shortage: Shortage) -> AuthStatus:
    """Say that the account has nothing left."""
    until = f"{shortage.until:%Y-%m-%d %H:%M} UTC"
    when = f"until {until}" if shortage.known else f"until its quota is renewed (it is tried again from {until} on)"
    remedy = f"wait {when}, change the plan, or take another account (auth in nanokimi.toml)"
    return replace(status, state="out_of_quota", remedy=remedy, details=status.details | {"used_up": shortage.said})


def with_usage(status: AuthStatus, usage: Usage | None) -> AuthStatus:
    """Add what the account had left when it was last asked."""
    if usage is None:
        return status
    details = status.details | {"quotas_asked": f"{moment(usage.at)} ({_ago(usage.at)})"}
    return replace(status, quotas=usage.quotas, details=details)


def moment(at: datetime) -> str:
    """Write a time for people."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def ending(login: Login) -> str | None:
    """Say what the owner must know of a login that ends within a day and can't be refreshed; ``None`` of others."""
    until = login.until
    if login.refreshable or until is None or until - datetime.now(UTC) > timedelta(days=1):
        return None
    return f"the login ends at {moment(until)} and can't be refreshed; {_AGAIN}"


def _ended(settings: Settings) -> str:
    who = "NanoKimi" if settings.credentials == "access-only" else "the agent"
    return f"ended; {who} refreshes it with the next message"


def _lasting(until: datetime | None) -> str:
    if until is None:
        return "its end is not known"
    left = max(until - datetime.now(UTC), timedelta())
    return f"lasts until {moment(until)} ({counted(left.total_seconds() // 60, 'minute')})"


def _ago(at: datetime) -> str:
    minutes = max(datetime.now(UTC) - at, timedelta()).total_seconds() // 60
    return f"{counted(minutes, 'minute') if minutes < 120 else counted(minutes // 60, 'hour')} ago"
