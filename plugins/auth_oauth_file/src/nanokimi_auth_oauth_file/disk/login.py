"""The credentials file of ``kimi login``, as both agents write and read it."""

from __future__ import annotations

import base64
import binascii
import errno
import json
import math
import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

LARGEST = 65_536
_LAST_TIME = 253_402_300_799  # the end of the year 9999, the last that a datetime can say
_NAMES = ("email", "preferred_username", "nickname", "name", "user_id", "sub")

_ORDER = "/login in "
_COMMAND = re.compile(r"nanokimi auth (import|login|logout)\b")

Kind = Literal["missing", "revoked", "expired", "broken", "unreadable", "misplaced", "refused"]


class LoginProblem(Exception):
    """There is no login, or none that can be used.

    Attributes:
        kind: In one word.
        cause: Which file, and what is wrong with it; no secret.
        remedy: What the owner must do.
    """

    def __init__(self, kind: Kind, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.kind = kind
        self.cause = cause
        self.remedy = remedy


class NotALogin(Exception):
    """The content isn't that of a credentials file; the text says why, without showing any of it."""


@dataclass(frozen=True)
class Login:
    """A login.

    Attributes:
        access_token: Empty when the login has been revoked: kimi-code empties both tokens when a refresh is refused.
        refresh_token: Empty when the login can't be refreshed.
        expires_at: When the access token ends, in seconds since 1970; 0 where that isn't known.
        expires_in: How long the access token lives from its issue on, in seconds; 0 where that isn't known.
    """

    access_token: SecretStr
    refresh_token: SecretStr
    expires_at: float
    expires_in: float = 0.0

    @property
    def revoked(self) -> bool:
        """Whether it has been given up; both agents go by the access token."""
        return not self.access_token.get_secret_value()

    @property
    def refreshable(self) -> bool:
        """Whether an agent can get a new access token."""
        return not self.revoked and bool(self.refresh_token.get_secret_value())

    @property
    def until(self) -> datetime | None:
        """When the access token ends."""
        return datetime.fromtimestamp(self.expires_at, UTC) if 0 < self.expires_at <= _LAST_TIME else None

    @property
    def who(self) -> str:
        """Whom the access token names, where it is a JWT; read, not verified."""
        return _name_in(self.access_token.get_secret_value())

    def expired(self, now: float) -> bool:
        """Whether the access token has ended."""
        return 0 < self.expires_at <= now


def parse(data: bytes) -> Login:
    """Read the content of a credentials file.

    Raises:
        NotALogin: It is none.
    """
    return parse_document(data)[1]


def parse_document(data: bytes) -> tuple[dict[str, Any], Login]:
    """Read the content of a credentials file, and give it whole as well: what nobody here knows must be kept.

    Raises:
        NotALogin: It is none.
    """
    if len(data) > LARGEST:
        raise NotALogin(f"it is larger than {LARGEST} bytes")
    found = _json(data)
    if not isinstance(found, dict):
        raise NotALogin("it is not a JSON object")
    if "access_token" not in found and "refresh_token" not in found:
        raise NotALogin("it has neither access_token nor refresh_token")
    tokens = _token(found, "access_token"), _token(found, "refresh_token")
    return found, Login(*tokens, _seconds(found), _lifetime(found))


def read(path: Path) -> Login:
    """Read a credentials file. A link isn't followed: agents can write to its folder.

    Raises:
        LoginProblem: It is missing, unreadable or broken.
    """
    return read_document(path)[1]


def read_document(path: Path) -> tuple[dict[str, Any], Login]:
    """Read a credentials file as ``read`` does, and give all of it as well.

    Raises:
        LoginProblem: It is missing, unreadable or broken.
    """
    try:
        return parse_document(_content(path))
    except FileNotFoundError:
        problem = LoginProblem("missing", f"there is no login in {path.parent}", how_to_log_in())
    except PermissionError:
        problem = LoginProblem("unreadable", f"NanoKimi may not read {path}", "give it back to NanoKimi's user")
    except OSError as error:
        said = "is a link" if error.errno == errno.ELOOP else f"can't be read: {error.strerror}"
        problem = LoginProblem("broken", f"{path} {said}", how_to_log_in())
    except NotALogin as error:
        problem = LoginProblem("broken", f"{path} is no credentials file: {error}", how_to_log_in())
    raise problem


def read_foreign(path: Path, *, follow: bool = True) -> tuple[bytes, Login]:
    """Read a credentials file that the owner names; links are followed unless told otherwise.

    Raises:
        NotALogin: It can't be read, or is none.
    """
    try:
        data = _content(path, follow=follow).removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        reason = error.strerror
    else:
        return data, parse(data)
    raise NotALogin(f"it can't be read: {reason}")


def how_to_log_in() -> str:
    """Say how a login gets here."""
    return (
        "run: nanokimi auth login, or write /login in the owner's chat (or run kimi login on any machine, bring the"
        " file that it writes, ~/.kimi-code/credentials/kimi-code.json or ~/.kimi/credentials/kimi-code.json, over, and"
        " run: nanokimi auth import FILE)"
    )


def counted(number: float, unit: str) -> str:
    """Write how many there are: ``1 minute``, ``2 minutes``, ``2.5 minutes``."""
    return f"{number:g} {unit}{'' if number == 1 else 's'}"


def for_instance(remedy: str, name: str) -> str:
    """Let commands and the toml's table name the plugin's instance where it isn't the one of the plugin's own name."""
    if name == "oauth_file":
        return remedy
    named = remedy.replace("[plugins.oauth_file]", f"[plugins.{name}]").replace(_ORDER, f"/login {name} in ")
    return _COMMAND.sub(lambda found: f"{found[0]} {'--plugin ' if found[1] == 'import' else ''}{name}", named)


def _content(path: Path, *, follow: bool = False) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotALogin("it is not a regular file")
        return os.read(descriptor, LARGEST + 1)
    finally:
        os.close(descriptor)


def _json(data: bytes) -> Any:
    # Raised outside of the handler: the errors of json and of decoding carry the whole text, tokens included.
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except (ValueError, RecursionError):
        reason = "it is not JSON" if data.strip() else "it is empty"
    raise NotALogin(reason)


def _token(found: dict[str, Any], name: str) -> SecretStr:
    value = found.get(name)
    if value is None:
        return SecretStr("")
    if not isinstance(value, str):
        raise NotALogin(f"its {name} is not a string")
    if value and not (value.isascii() and value.isprintable() and " " not in value):
        raise NotALogin(f"its {name} has characters that no token has")
    return SecretStr(value)


def _seconds(found: dict[str, Any]) -> float:
    value = found.get("expires_at")
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotALogin("its expires_at is not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise NotALogin("its expires_at is not a time")
    return float(min(max(value, 0), _LAST_TIME))


def _lifetime(found: dict[str, Any]) -> float:
    """Read ``expires_in``, which is only a hint: earlier versions of the agents don't write it."""
    value = found.get("expires_in")
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _LAST_TIME
    return float(value) if known and value is not None else 0.0


def _name_in(token: str) -> str:
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return ""
    values = (claims.get(name) for name in _NAMES) if isinstance(claims, dict) else ()
    return next((value for value in values if isinstance(value, str) and _is_a_name(value)), "")


def _is_a_name(value: str) -> bool:
    return 0 < len(value) <= 80 and value.isprintable()
