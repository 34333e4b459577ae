"""The stand-in login server: device codes, access tokens that end, refresh tokens that rotate.

Every refresh token is good once. Who brings a spent one ends the whole family: all that grew from the same login.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from testbed.cloud_devices import Devices
from testbed.cloud_faults import Alter, Answer, DropAfter, DropBefore, Fault, Refuse, Script, Slow, Strange, refusal
from testbed.leaks import ACCESS, REFRESH

__all__ = ["CLIENT_ID", "SCOPE", "OAuth", "Refuse", "Slow"]

CLIENT_ID = "17e5f671-d194-4dfb-9706-5516cb48c098"
SCOPE = "kimi-code"
_MARKS = {"access": ACCESS, "refresh": REFRESH}
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class _Family:
    """All tokens that grew from one login."""

    expires_in: int
    alive: bool = True
    tokens: list[str] = field(default_factory=list)


class OAuth:
    """The login server's memory. Safe to use from several threads.

    Attributes:
        refreshes: How many refresh tokens were exchanged.
        reuses: How often a spent one was brought.
        token_requests: Requests to the token endpoint, polls included.
        refresh_requests: Those that asked for a refresh, whatever came of it.
        dropped: Answers that were never given, after the work was done.
        lifetime: Seconds of an access token from a device login; ``new_login`` has its own.
        told_lifetime: What ``expires_in`` says instead of the truth.
        skew: Seconds that the server's clock is ahead; in ``Date``, ``iat`` and ``exp``.
        devices: The logins by a code.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._access: dict[str, tuple[_Family, float]] = {}
        self._refresh: dict[str, _Family] = {}
        self._spent: dict[str, _Family] = {}
        self._families: list[_Family] = []
        self._script = Script()
        self.devices = Devices(self._script)
        self.refreshes = self.reuses = self.token_requests = self.refresh_requests = self.dropped = 0
        self.lifetime = 900
        self.told_lifetime: int | None = None
        self.skew = 0.0

    # ----------------------------------------------------------------- logins
    def new_login(self, expires_in: int = 900, later: int | None = None) -> dict[str, Any]:
        """Log somebody in and give what ``kimi login`` writes to disk.

        Args:
            expires_in: Of the access token, in seconds; may be negative: it has ended, the refresh token is good.
            later: Of the access tokens that refreshes give; without it as the first, or 900 where that has ended.
        """
        with self._lock:
            family = self._family(later if later is not None else expires_in if expires_in > 0 else 900)
            return self._issue(family, expires_in)

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

    def family(self, token: str) -> list[str]:
        """Give every access and refresh token of this one's login, oldest first."""
        with self._lock:
            return next((list(family.tokens) for family in self._families if token in family.tokens), [])

    def issued(self) -> list[str]:
        """Give every token that was ever given: none of them may be found in a log."""
        with self._lock:
            return [token for family in self._families for token in family.tokens]

    def expire_access_tokens(self) -> None:
        """End every access token; refresh tokens stay good."""
        with self._lock:
            self._access.clear()

    def revoke(self) -> None:
        """End every login, its refresh tokens included."""
        with self._lock:
            for family in self._families:
                family.alive = False

    # ----------------------------------------------------------------- what goes wrong
    def script(self, *faults: Fault) -> None:
        """Say how the next token requests go."""
        self._script.add(*faults)

    def always(self, fault: Fault | None) -> None:
        """Say how every token request goes that no script covers; ``None`` is as usual."""
        self._script.always = fault

    def release(self) -> None:
        """Let every token request that waits go on."""
        self._script.release()

    def close(self) -> None:
        """Let go of every request that waits, now and later."""
        self._script.close()

    # ----------------------------------------------------------------- logins by a code
    def approve(self, user_code: str) -> None:
        """Do what the person does who enters the code and agrees."""
        self.devices.decide(user_code, "approved")

    def deny(self, user_code: str) -> None:
        """Do what the person does who enters the code and refuses."""
        self.devices.decide(user_code, "access_denied")

    def expire_device_codes(self) -> None:
        """Let every waiting login run out of time."""
        self.devices.expire()

    def device_authorization(self, form: Mapping[str, str], host: str) -> Answer:
        """Begin a device login."""
        if form.get("client_id") != CLIENT_ID:
            return refusal("invalid_client", "Client authentication failed", 401)
        return self.devices.begin(host)

    # ----------------------------------------------------------------- the token endpoint
    def token(self, form: Mapping[str, str]) -> Answer:
        """Answer a request to the token endpoint.

        Raises:
            HangUp: There shall be no answer.
        """
        with self._lock:
            self.token_requests += 1
            self.refresh_requests += form.get("grant_type") == "refresh_token"
        fault = self._script.take()
        if isinstance(fault, DropBefore | Refuse) or (isinstance(fault, Slow) and not fault.after):
            self._script.wait(fault.delay)
        if isinstance(fault, DropBefore):
            fault.hang_up()
        if isinstance(fault, Refuse):
            return fault.answer()
        if isinstance(fault, Strange) and not fault.rotates:
            return fault.answer()
        return self._after(fault, self._usual(form))

    def _after(self, fault: Fault | None, answer: Answer) -> Answer:
        """Do to an answer what the script says; the work behind it is done."""
        if isinstance(fault, DropAfter) or (isinstance(fault, Slow) and fault.after):
            self._script.wait(fault.delay)
        if isinstance(fault, DropAfter):
            with self._lock:
                self.dropped += 1
            fault.hang_up()
        if isinstance(fault, Strange):
            return fault.answer()
        return fault.apply(answer) if isinstance(fault, Alter) else answer

    def _usual(self, form: Mapping[str, str]) -> Answer:
        if form.get("client_id") != CLIENT_ID:
            return refusal("invalid_client", "Client authentication failed", 401)
        if form.get("grant_type") == "refresh_token":
            with self._lock:
                return self._rotate(form.get("refresh_token", ""))
        if form.get("grant_type") == _DEVICE_GRANT:
            if (no := self.devices.poll(form.get("device_code", ""))) is not None:
                return no
            with self._lock:
                return 200, self._told(self._issue(self._family(self.lifetime), self.lifetime)), {}
        return refusal("unsupported_grant_type", "The authorization grant type is not supported")

    def _rotate(self, token: str) -> Answer:
        if (spent := self._spent.get(token)) is not None:
            spent.alive = False
            self.reuses += 1
        family = self._refresh.pop(token, None)
        if family is None or not family.alive:
            return refusal("invalid_grant", "The provided authorization grant is invalid")
        self._spent[token] = family
        self.refreshes += 1
        return 200, self._told(self._issue(family, family.expires_in)), {}

    def _family(self, expires_in: int) -> _Family:
        family = _Family(expires_in)
        self._families.append(family)
        return family

    def _issue(self, family: _Family, expires_in: int) -> dict[str, Any]:
        access, refresh = self._jwt("access", expires_in), self._jwt("refresh", 30 * 86400)
        self._access[access] = (family, time.time() + expires_in)
        self._refresh[refresh] = family
        family.tokens += [access, refresh]
        return {
            "access_token": access,
            "refresh_token": refresh,
            "expires_at": int(time.time()) + expires_in,
            "scope": SCOPE,
            "token_type": "Bearer",
            "expires_in": family.expires_in,
        }

    def _told(self, login: Mapping[str, Any]) -> dict[str, Any]:
        """Give a login in the form that goes over the wire."""
        told = {key: value for key, value in login.items() if key != "expires_at"}
        return told if self.told_lifetime is None else told | {"expires_in": self.told_lifetime}

    def _jwt(self, kind: str, expires_in: int) -> str:
        now = int(time.time() + self.skew)
        claims = {"iss": "kimi-auth", "type": kind, "user_id": "u1", "iat": now, "exp": now + expires_in}
        parts = [{"alg": "HS512", "typ": "JWT"}, {**claims, "jti": secrets.token_hex(8)}]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        return ".".join([*encoded, _MARKS[kind] + secrets.token_urlsafe(48)])
