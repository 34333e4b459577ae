"""An account that is paid by API key: Moonshot's platform, or a key that a Kimi Code member made."""

from __future__ import annotations

from nanokimi_auth_apikey.account import ApiKey
from nanokimi_auth_apikey.checks import check
from nanokimi_auth_apikey.settings import Settings
from nanokimi_core import Auth, Spec, hookimpl

__all__ = ["ApiKey", "Settings", "nanokimi_auths"]


@hookimpl
def nanokimi_auths() -> list[Spec[Auth]]:
    """Name the auth plugin that this distribution provides."""
    return [Spec("apikey", ApiKey, config=Settings, check=check)]
