"""The stand-in login server: device codes, access tokens that end, refresh tokens that rotate."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CLIENT_ID = "17e5f671-d194-4dfb-9706-5516cb48c098"
SCOPE = "kimi-code"
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_DEVICE_SECONDS = 1800


@dataclass(frozen=True)
class Refuse:
    """Refuse a token request in OAuth's own form.

    Attributes:
        status: Of the response.
        error: OAuth's word for it.
        description: For people.
        delay: Seconds before the response.
        headers: To add to the response.
    """

    status: int = 400
    error: str = "invalid_grant"
    description: str = "The provided authorization grant is invalid"
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Slow:
    """Answer a token request as usual, but late."""

    delay: float


@dataclass
class _Family:
    """All tokens that grew from one login."""

    expires_in: int
    alive: bool = True


@dataclass
class _Device:
    user_code: str
    ends: float
    answer: str = "authorization_pending"


Answer = tuple[int, dict[str, Any], dict[str, str]]


class OAuth:
    """The login server's memory. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._access: dict[str, tuple[_Family, float]] = {}
        self._refresh: dict[str, _Family] = {}
        self._spent: dict[str, _Family] = {}
        self._devices: dict[str, _Device] = {}
        self._script: deque[Refuse | Slow] = deque()
        self._always: Refuse | Slow | None = None
        self.refreshes = 0
        self.reuses = 0

    def new_login(self, expires_in: int = 900) -> dict[str, Any]:
        """Log somebody in and give what ``kimi login`` writes to disk.

        ``expires_in`` may be negative: the access token has ended, the refresh token is good.
        """
        with self._lock:
            return self._issue(_Family(max(expires_in, 900) if expires_in <= 0 else expires_in), expires_in)

    def accepts(self, token: str) -> bool:
        """Whether the model API lets this access token in, now."""
        with self._lock:
            family, ends = self._access.get(token, (None, 0.0))
            return family is not None and family.alive and time.time() < ends

    def can_refresh(self, token: str) -> bool:
        """Whether this refresh token is the current one of a living login."""
        with self._lock:
            family = self._refresh.get(token)
            return family is not None and family.alive

    def expire_access_tokens(self) -> None:
        """End every access token; refresh tokens stay good."""
        with self._lock:
            self._access.clear()

    def revoke(self) -> None:
        """End every login, its refresh tokens included."""
        with self._lock:
            for family in [*self._refresh.values(), *self._spent.values()]:
                family.alive = False

    def script(self, *answers: Refuse | Slow) -> None:
        """Say how the next token requests go."""
        with self._lock:
            self._script.extend(answers)

    def always(self, answer: Refuse | Slow | None) -> None:
        """Say how every token request goes that no script covers; ``None`` is as usual."""
        with self._lock:
            self._always = answer

    def approve(self, user_code: str) -> None:
        """Do what the person does who enters the code and agrees."""
        self._decide(user_code, "approved")

    def deny(self, user_code: str) -> None:
        """Do what the person does who enters the code and refuses."""
        self._decide(user_code, "access_denied")

    def expire_device_codes(self) -> None:
        """Let every waiting login run out of time."""
        with self._lock:
            for device in self._devices.values():
                device.ends = 0.0

    def close(self) -> None:
        """Let go of every request that waits."""
        self._closing.set()

    def device_authorization(self, form: Mapping[str, str], host: str) -> Answer:
        """Begin a device login."""
        if form.get("client_id") != CLIENT_ID:
            return _error("invalid_client", "Client authentication failed", 401)
        code = "-".join(secrets.token_hex(2).upper() for _ in range(2))
        device_code = secrets.token_urlsafe(24)
        with self._lock:
            self._devices[device_code] = _Device(code, time.time() + _DEVICE_SECONDS)
        page = f"{host}/device"
        answer = {
            "user_code": code,
            "device_code": device_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={code}",
            "expires_in": _DEVICE_SECONDS,
            "interval": 1,
        }
        return 200, answer, {}

    def token(self, form: Mapping[str, str]) -> Answer:
        """Answer a request to the token endpoint."""
        with self._lock:
            scripted = self._script.popleft() if self._script else self._always
        if scripted is not None:
            self._closing.wait(scripted.delay)
        if isinstance(scripted, Refuse):
            return _error(scripted.error, scripted.description, scripted.status, scripted.headers)
        if form.get("client_id") != CLIENT_ID:
            return _error("invalid_client", "Client authentication failed", 401)
        with self._lock:
            if form.get("grant_type") == "refresh_token":
                return self._rotate(form.get("refresh_token", ""))
            if form.get("grant_type") == _DEVICE_GRANT:
                return self._poll(form.get("device_code", ""))
        return _error("unsupported_grant_type", "The authorization grant type is not supported")

    def _rotate(self, token: str) -> Answer:
        if (spent := self._spent.get(token)) is not None:
            spent.alive = False
            self.reuses += 1
        family = self._refresh.pop(token, None)
        if family is None or not family.alive:
            return _error("invalid_grant", "The provided authorization grant is invalid")
        self._spent[token] = family
        self.refreshes += 1
        return 200, _without_file_fields(self._issue(family, family.expires_in)), {}

    def _poll(self, code: str) -> Answer:
        device = self._devices.get(code)
        if device is None:
            return _error("invalid_grant", "The provided authorization grant is invalid")
        if time.time() >= device.ends:
            return _error("expired_token", "The device code has expired")
        if device.answer != "approved":
            return _error(device.answer, "The person has not agreed")
        del self._devices[code]
        return 200, _without_file_fields(self._issue(_Family(900), 900)), {}

    def _decide(self, user_code: str, answer: str) -> None:
        with self._lock:
            device = next(device for device in self._devices.values() if device.user_code == user_code)
            device.answer = answer

    def _issue(self, family: _Family, expires_in: int) -> dict[str, Any]:
        access, refresh = _jwt("access", expires_in), _jwt("refresh", 30 * 86400)
        self._access[access] = (family, time.time() + expires_in)
        self._refresh[refresh] = family
        return {
            "access_token": access,
            "refresh_token": refresh,
            "expires_at": int(time.time()) + expires_in,
            "scope": SCOPE,
            "token_type": "Bearer",
            "expires_in": family.expires_in,
        }


def _without_file_fields(login: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in login.items() if key != "expires_at"}


def _error(error: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Answer:
    return status, {"error": error, "error_description": description}, dict(headers or {})


def _jwt(kind: str, expires_in: int) -> str:
    now = int(time.time())
    claims = {"iss": "kimi-auth", "type": kind, "user_id": "u1", "iat": now, "exp": now + expires_in}
    parts = [{"alg": "HS512", "typ": "JWT"}, {**claims, "jti": secrets.token_hex(8)}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, secrets.token_urlsafe(48)])
