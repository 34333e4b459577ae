"""Which credentials files may be imported."""

from __future__ import annotations

from pathlib import Path

from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem, NotALogin, read, read_foreign
from nanokimi_core import ConfigError

_WHICH_FILE = "name the kimi-code.json that kimi login has written"


def read_importable(path: Path, *, follow: bool = True) -> tuple[bytes, Login]:
    """Read a credentials file that holds a login; a link is followed unless told otherwise.

    Raises:
        ConfigError: It is none, or holds no login.
    """
    try:
        data, login = read_foreign(path, follow=follow)
    except NotALogin as error:
        raise ConfigError(f"{path} is no credentials file: {error}", remedy=_WHICH_FILE) from None
    if login.revoked or not login.refreshable:
        what = "has been revoked (its tokens are empty)" if login.revoked else "has no refresh token"
        raise ConfigError(f"the login in {path} {what}", remedy="log in again with kimi login and import that")
    return data, login


def refuse_older(login: Login, target: Path, *, own: bool) -> None:
    """Keep a login from being replaced by an older copy of itself, whose refresh token is spent.

    Raises:
        ConfigError: The one that is there is newer.
    """
    try:
        there = read(target)
    except LoginProblem:
        return
    if not there.refreshable or there.who != login.who or there.expires_at <= login.expires_at:
        return
    first = "or run first: nanokimi auth logout" if own else f"or take {target} away first"
    raise ConfigError(
        f"{target} has a newer login{' of the same account' if login.who else ''}, and an older copy is spent by now",
        remedy=f"log in again with kimi login and import that, {first}",
    )
