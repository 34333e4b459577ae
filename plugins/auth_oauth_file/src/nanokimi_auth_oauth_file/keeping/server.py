"""The login server, asked for a new access token.

What the keeper sends, and all that it sends there: ``POST {oauth_host}/api/oauth/token``, a form with

- ``client_id``: ``17e5f671-d194-4dfb-9706-5516cb48c098``, the public one of Kimi Code, for which the login was made
- ``grant_type``: ``refresh_token``
- ``refresh_token``: the login's

and these headers, which say that it is NanoKimi that asks:

- ``User-Agent``: ``NanoKimi/VERSION (+keeper)``
- ``X-Msh-Platform``: ``nanokimi``
- ``X-Msh-Version``: NanoKimi's version
- ``X-Msh-Device-Name``: ``NanoKimi`` (not the machine's name)
- ``X-Msh-Device-Model``: system and processor, as ``Linux x86_64``
- ``X-Msh-Os-Version``: the kernel's version
- ``X-Msh-Device-Id``: a random number of this instance's own, in the file ``device_id`` of its folder
- ``Accept``: ``application/json``

Redirects aren't followed. (The form and the names of the headers are those of the agents' own requests, read in
kimi-cli 1.51.0 and kimi-code 2.1.0; the values are not.)
"""

from __future__ import annotations

import json
import math
import platform
import ssl
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
from anyio import CancelScope
from pydantic import SecretStr

from nanokimi_core import write_private

CLIENT_ID = "17e5f671-d194-4dfb-9706-5516cb48c098"
LONGEST_REQUEST = 20.0
"""Seconds for a request in all; what is cut off may have spent the token, so it isn't short."""
_LARGEST = 65_536
_LONGEST_TOKEN = 16_384
_LONGEST_LIFE = 10 * 365 * 86_400.0
_TIMEOUT = httpx.Timeout(LONGEST_REQUEST, connect=10.0)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)


class Refused(Exception):
    """The server wants no more of this refresh token; the text is the server's."""


class NoAnswer(Exception):
    """There is no new token now.

    Attributes:
        doubt: The refresh token may be spent all the same.
        denied: The server refused the request and not the token: waiting is of little use.
        retry_after: In seconds, where the server said so.
    """

    def __init__(
        self, why: str, *, doubt: bool = False, denied: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(why)
        self.doubt = doubt
        self.denied = denied
        self.retry_after = retry_after


@dataclass(frozen=True)
class Tokens:
    """What the server gave; ``None`` where it gave nothing of use.

    Attributes:
        access_token: The new one.
        refresh_token: The new one; the old one is spent.
        expires_in: The access token's life, in seconds.
        rest: ``scope`` and ``token_type``, where they were given.
    """

    access_token: SecretStr | None
    refresh_token: SecretStr | None
    expires_in: float | None
    rest: Mapping[str, str]

    @property
    def strange(self) -> str:
        """Name what an answer should have, and this one hasn't."""
        missing = [name for name in ("access_token", "refresh_token", "expires_in") if getattr(self, name) is None]
        return ", ".join(missing)


class LoginServer:
    """A login server.

    Args:
        host: Its root, without a slash at the end.
        folder: The instance's own.
        longest: Seconds for a request in all.
    """

    def __init__(self, host: str, folder: Path, longest: float = LONGEST_REQUEST) -> None:
        self._host = host
        self._longest = longest
        self._folder = folder
        self._name = urlsplit(host).netloc

    async def refresh(self, token: SecretStr, keep: Callable[[Tokens], None] | None = None) -> Tokens:
        """Exchange a refresh token. Takes no longer than the server is given.

        Args:
            token: Is spent by it.
            keep: Called with what came, before anything else is done; must not raise.

        Raises:
            Refused: The token is no good any more.
            NoAnswer: There is no new one now.
        """
        headers = await anyio.to_thread.run_sync(identity, self._folder)
        try:
            with anyio.fail_after(self._longest) as patience:
                return await self._exchange(token, headers, patience, keep or (lambda _: None))
        except _NEVER_SENT as error:
            raise NoAnswer(f"the login server {self._name} can't be reached ({_reason(error)})") from None
        except (httpx.HTTPError, TimeoutError) as error:
            said = f"the login server {self._name} gave no answer ({_reason(error)})"
            raise NoAnswer(said, doubt=True) from None
        raise NoAnswer(f"the login server {self._name} gave an answer of more than {_LARGEST} bytes", doubt=True)

    async def _exchange(
        self, token: SecretStr, headers: Mapping[str, str], patience: CancelScope, keep: Callable[[Tokens], None]
    ) -> Tokens:
        form = {"client_id": CLIENT_ID, "grant_type": "refresh_token", "refresh_token": token.get_secret_value()}
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT, headers=headers, verify=_trusted()) as client,
            client.stream("POST", f"{self._host}/api/oauth/token", data=form) as response,
        ):
            body = bytearray()
            async for piece in response.aiter_bytes(4096):
                body += piece
                if len(body) > _LARGEST:
                    patience.cancel()  # ends the next read; leaving the loop would leave its generators behind
                    body.clear()
            tokens = self._understood(response, _fields(bytes(body)), token)
            keep(tokens)  # leaving this block takes its time
            return tokens

    def _understood(self, response: httpx.Response, fields: dict[str, Any], token: SecretStr) -> Tokens:
        status = response.status_code
        if status == 200:
            return self._tokens(fields)
        error = fields.get("error") if isinstance(fields.get("error"), str) else ""
        said = _words(fields.get("error_description"), token) or _words(error, token)
        if error == "invalid_grant" or (status == 401 and error in ("", "invalid_token", "unauthorized")):
            raise Refused(said or f"HTTP {status}")
        why = f"the login server {self._name} answered HTTP {status}{f': {said}' if said else ''}"
        retry_after = _seconds(response.headers.get("retry-after", ""))
        if status >= 500:
            raise NoAnswer(why, doubt=True, retry_after=retry_after)
        denied = 400 <= status < 500 and status not in (408, 425, 429)
        raise NoAnswer(why, denied=denied, retry_after=retry_after)

    def _tokens(self, fields: dict[str, Any]) -> Tokens:
        rest = {name: fields[name] for name in ("scope", "token_type") if isinstance(fields.get(name), str)}
        found = Tokens(
            _token(fields.get("access_token")),
            _token(fields.get("refresh_token")),
            _life(fields.get("expires_in")),
            {name: value[:200] for name, value in rest.items()},
        )
        if found.access_token is None and found.refresh_token is None:
            raise NoAnswer(f"the login server {self._name} answered HTTP 200 without any token", doubt=True)
        return found


def identity(folder: Path) -> dict[str, str]:
    """Give the headers that say who asks.

    Args:
        folder: Keeps the device's number.
    """
    release = version("nanokimi")
    return {
        "User-Agent": f"NanoKimi/{release} (+keeper)",
        "Accept": "application/json",
        "X-Msh-Platform": "nanokimi",
        "X-Msh-Version": release,
        "X-Msh-Device-Name": "NanoKimi",
        "X-Msh-Device-Model": _ascii(f"{platform.system()} {platform.machine()}"),
        "X-Msh-Os-Version": _ascii(platform.release()),
        "X-Msh-Device-Id": _device(folder / "device_id"),
    }


@cache
def _trusted() -> ssl.SSLContext:
    """Read whom to trust, once: it takes longer than a request."""
    return httpx.create_ssl_context()


def _device(file: Path) -> str:
    """Read this instance's number; where there is none, make one up and keep it if there is room."""
    with suppress(OSError, ValueError):
        return str(uuid.UUID(file.read_text("ascii").strip()))
    made = str(uuid.uuid4())
    with suppress(OSError):
        write_private(file, made.encode())
    return made


def _fields(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _token(value: object) -> SecretStr | None:
    usable = isinstance(value, str) and 0 < len(value) <= _LONGEST_TOKEN and value.isascii() and value.isprintable()
    return SecretStr(value) if usable and isinstance(value, str) and " " not in value else None


def _life(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return min(seconds, _LONGEST_LIFE) if math.isfinite(seconds) and seconds > 0 else None


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _words(value: object, token: SecretStr) -> str:
    """Give what a server said in a form that can be shown: short, printable, without the token."""
    if not isinstance(value, str):
        return ""
    text = value[:2000].replace(token.get_secret_value(), "…")
    return "".join(character for character in " ".join(text.split()) if character.isprintable())[:200]


def _reason(error: Exception) -> str:
    name = "timed out" if isinstance(error, TimeoutError | httpx.TimeoutException) else type(error).__name__
    text = " ".join(str(error).split())[:120]
    return text if text and not isinstance(error, TimeoutError) else name


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()[:100]
