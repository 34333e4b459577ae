"""Marks: hashes that tell one login or token from another, and of which no token can be made."""

from __future__ import annotations

import hashlib
import hmac
import json

from pydantic import SecretStr

from nanokimi_auth_oauth_file.disk.login import Login

_DIGITS = 24


def mark_of(login: Login, salt: str) -> str:
    """Mark a login as it is now; it has another mark as soon as one of its tokens is another.

    Args:
        login: Both of its tokens count.
        salt: The installation's identity, so that two installations with one login can't be told to have it.
    """
    return _hashed(json.dumps([_text(login.access_token), _text(login.refresh_token)]), salt)


def token_mark(token: SecretStr, salt: str) -> str:
    """Mark one token."""
    return _hashed(_text(token), salt)


def _hashed(text: str, salt: str) -> str:
    return hmac.new(salt.encode(), text.encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def _text(token: SecretStr) -> str:
    return token.get_secret_value()
