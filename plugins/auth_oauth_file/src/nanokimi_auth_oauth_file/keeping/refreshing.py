"""What a refresh is, whoever does it."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from nanokimi_auth_oauth_file.disk.finding import Found
from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem, how_to_log_in
from nanokimi_auth_oauth_file.keeping.journal import Refused

Reason = Literal["away", "denied", "unwritable", "locked"]


class NotRefreshed(Exception):
    """The login is as it was.

    Attributes:
        kind: ``away``: the server; ``denied``: the server wants none of these requests; ``unwritable``: the disk, and
            nothing was sent; ``locked``: another program, and nothing was sent.
        remedy: What the owner can do, if anything.
        retry_after: In seconds, where the server said so.
    """

    def __init__(self, kind: Reason, why: str, remedy: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.kind = kind
        self.remedy = remedy
        self.retry_after = retry_after


@dataclass(frozen=True)
class Unsaved:
    """A new login that couldn't be written.

    Attributes:
        found: What lies on disk: the login whose refresh token is spent.
        document: The new one.
        login: The same.
        why: What the system said.
    """

    found: Found
    document: Mapping[str, Any]
    login: Login
    why: str


class Refresher(Protocol):
    """A way to a new access token."""

    def due_at(self, life: float, jitter: float = 0.0) -> float:
        """Say when a token that lives ``life`` seconds is due, in seconds after its issue.

        Args:
            life: In seconds.
            jitter: From 0 to 1, drawn anew for each token.
        """
        ...

    async def refresh(self, found: Found, *, force: bool) -> Login | Unsaved:
        """Get a new access token; what is on disk already, and newer, is taken as one.

        Args:
            found: What was seen on disk.
            force: The access token is of no use, although it hasn't ended.

        Raises:
            NotRefreshed: There is none now.
            LoginProblem: There will be none from this login.
        """
        ...


def refuse_hopeless(found: Found, refused: Refused | None = None) -> None:
    """Stop where no request can help.

    Raises:
        LoginProblem: The login has been revoked, has no refresh token, or the server has refused it before.
    """
    login = found.login
    if login.revoked:
        raise LoginProblem(
            "revoked", f"the login in {found.file} has been revoked (its tokens are empty)", how_to_log_in()
        )
    if not login.refreshable:
        cause = f"the login in {found.file} can't be refreshed (it has no refresh token)"
        raise LoginProblem("expired", cause, how_to_log_in())
    if refused is not None and (cause_then := refused.cause(login.refresh_token)) is not None:
        raise LoginProblem("refused", cause_then, how_to_log_in())


def unwritable(folder: Path, error: OSError) -> NotRefreshed:
    """Say that a folder can't be written, so that no token was spent."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space" if full else "check its disk, owner and mode"
    return NotRefreshed("unwritable", f"a new login couldn't be written to {folder}: {error.strerror}", remedy)
