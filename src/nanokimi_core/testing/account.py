"""An account that can be lost, refused, changed and logged in to, without a server."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import anyio
from pydantic import SecretStr

from nanokimi_core.contracts.auth import AuthStatus, Grant, Need, ShowCode
from nanokimi_core.errors import ConfigError, LoginNeeded

_CODE = timedelta(minutes=10)
_REMEDY = "log in with: nanokimi auth set-key"


@dataclass
class ScriptedAuth:
    """An account whose key can change or get lost. It holds for as long as this object lives.

    Attributes:
        key: Its key; ``None`` where there is none.
        base_url: Of its server, which nobody asks.
        model: The server's model id.
        rejections: What it was told of refused grants, in order.
        grants: How many grants it has given.
    """

    key: str | None = field(default="sk-canary-in-the-tests", repr=False)
    base_url: str = "http://127.0.0.1/v1"
    model: str = "model"
    rejections: list[str] = field(default_factory=list, repr=False)  # a server may quote the key
    grants: int = 0
    _refused: str = field(default="", repr=False)
    _code: str = field(default="", repr=False)
    _answer: anyio.Event = field(default_factory=anyio.Event, repr=False)
    _confirmed: bool = field(default=False, repr=False)

    # ------------------------------------------------------------------ the contract
    async def grant(self, need: Need) -> Grant:
        """Give a grant.

        Raises:
            LoginNeeded: The key is lost.
        """
        if self.key is None:
            raise LoginNeeded(_REMEDY)
        self.grants += 1
        return Grant("kimi", self.base_url, self.model, 1000, self._fingerprint(self.key), SecretStr(self.key))

    async def rejected(self, grant: Grant, why: str) -> None:
        """Note that a grant was refused; that of an older key says nothing of this one."""
        self.rejections.append(why)
        if self.key is not None and grant.fingerprint == self._fingerprint(self.key):
            self._refused = grant.fingerprint

    async def status(self) -> AuthStatus:
        """Say how it stands."""
        if self.key is None:
            return AuthStatus("login_needed", remedy=_REMEDY)
        if self._refused == self._fingerprint(self.key):
            return AuthStatus("rejected", remedy=_REMEDY)
        return AuthStatus("ok", who=f"…{self.key[-4:]}")

    async def set_key(self, key: SecretStr) -> AuthStatus:
        """Use another key.

        Raises:
            ConfigError: It doesn't begin with ``sk-``.
        """
        if not key.get_secret_value().startswith("sk-"):
            raise ConfigError("that is no key of this account", remedy="give one that begins with sk-")
        self.change(key.get_secret_value())
        return await self.status()

    async def login(self) -> AsyncIterator[ShowCode | AuthStatus]:
        """Show a code, and wait until somebody confirms or declines it; the key is another one then."""
        self._code, self._answer, self._confirmed = secrets.token_hex(4), anyio.Event(), False
        yield ShowCode("http://127.0.0.1/login", self._code, datetime.now(UTC) + _CODE)
        with anyio.move_on_after(_CODE.total_seconds()):
            await self._answer.wait()
        if self._confirmed:
            self.change()
            yield await self.status()
        else:
            yield AuthStatus("login_needed", remedy="log in again: the code was not confirmed")

    # ------------------------------------------------------------------ the account's side
    def lose(self) -> None:
        """Take the key away: the next grant raises ``LoginNeeded``."""
        self.key = None

    def change(self, key: str | None = None) -> str:
        """Change the key, which ends a refusal, and give it; a new one unless given."""
        self.key, self._refused = key or f"sk-scripted-{secrets.token_hex(12)}", ""
        return self.key

    def confirm(self, code: str) -> None:
        """Confirm the code that a login shows.

        Raises:
            ValueError: No login shows such a code.
        """
        self._reply(code, confirmed=True)

    def decline(self, code: str) -> None:
        """Decline the code that a login shows.

        Raises:
            ValueError: No login shows such a code.
        """
        self._reply(code, confirmed=False)

    def _reply(self, code: str, *, confirmed: bool) -> None:
        if not self._code or code != self._code:
            raise ValueError(f"no login shows the code {code}")
        self._code, self._confirmed = "", confirmed
        self._answer.set()

    def _fingerprint(self, key: str) -> str:
        return sha256("\0".join((self.base_url, self.model, key)).encode()).hexdigest()[:12]
