"""An account that is paid by a Kimi subscription: the credentials file of ``kimi login``."""

from __future__ import annotations

from nanokimi_auth_oauth_file.account import OAuthFile
from nanokimi_auth_oauth_file.checks import check
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import Auth, Spec, hookimpl

__all__ = ["OAuthFile", "Settings", "nanokimi_auths"]


@hookimpl
def nanokimi_auths() -> list[Spec[Auth]]:
    """Name the auth plugin that this distribution provides."""
    return [Spec("oauth_file", OAuthFile, config=Settings, check=check)]
