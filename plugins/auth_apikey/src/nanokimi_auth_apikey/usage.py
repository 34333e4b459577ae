"""What an account has left, as its server tells it to whoever has the key."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import anyio
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from nanokimi_auth_apikey.endpoints import Account
from nanokimi_core import Quota, __version__, balance_of, quotas_of

if TYPE_CHECKING:
    import httpx

Outcome = Literal["known", "refused", "untold"]

_LARGEST = 65_536
_PATIENCE = 3.5  # seconds: a status must come within five
_PATHS: dict[Account, str] = {"platform": "/users/me/balance", "kimi-code": "/usages"}
_CURRENCIES = {"api.moonshot.cn": "CNY", "api.moonshot.ai": "USD"}
_ASK_AGAIN = 86_400.0
_FILLED_UP = 1.05


class Usage(BaseModel):
    """A server's answer.

    Attributes:
        at: When it came, in seconds since 1970.
        outcome: ``refused``: it doesn't know the key. ``untold``: it doesn't tell what is left.
        quotas: What is left.
        full: What the balance was when it was last filled up, as far as that was seen.
        balance: What it is.
    """

    model_config = ConfigDict(frozen=True)

    at: Annotated[float, Field(allow_inf_nan=False)]
    outcome: Outcome
    quotas: tuple[Quota, ...] = ()
    full: Annotated[float, Field(allow_inf_nan=False)] | None = None
    balance: Annotated[float, Field(allow_inf_nan=False)] | None = None

    def is_due(self, now: float, every: float) -> bool:
        """Whether to ask again, every so many seconds; a server that tells nothing is asked once a day."""
        return not 0 <= now - self.at < (_ASK_AGAIN if self.outcome == "untold" else every)

    @property
    def broke(self) -> bool:
        """Whether there is no balance, so that the platform answers no model."""
        return any(quota.name == "Balance" and quota.used == 1 for quota in self.quotas)

    @property
    def used_up(self) -> tuple[Quota, ...]:
        """What is used up so that no model is answered; of a plan nothing, while there is something bought besides."""
        if any(quota.name == "Extra usage" and quota.used is None for quota in self.quotas):
            return ()
        return tuple(quota for quota in self.quotas if quota.used == 1 and quota.name != "Extra usage")


async def look_up(endpoint: str, account: Account, key: SecretStr, now: float, before: Usage | None) -> Usage | None:
    """Ask the server what the account has left, within a few seconds; ``None`` where no answer came that says anything.

    Nothing but the key is sent, to the model API's own address; an answer that leads elsewhere is not followed.
    """
    status, content = 0, b""
    with anyio.move_on_after(_PATIENCE):
        try:
            http = await to_thread.run_sync(_client, key, endpoint.startswith("https:"))
            async with http, http.stream("GET", endpoint + _PATHS[account]) as response:
                async for piece in response.aiter_raw():  # to its end: trio warns of streams that are left alone
                    content += piece if len(content) <= _LARGEST else b""
                status = response.status_code
        except _errors():
            return None
    return _read(status, content, endpoint, account, now, before)


def _client(key: SecretStr, encrypted: bool) -> httpx.AsyncClient:
    """Make a client, in a thread: importing it and reading the certificates would hold up everything else."""
    import httpx

    headers = {
        "Authorization": f"Bearer {key.get_secret_value()}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"NanoKimi/{__version__}",
    }
    trusted = httpx.create_ssl_context() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(headers=headers, verify=trusted, timeout=_PATIENCE, follow_redirects=False)


def _errors() -> tuple[type[Exception], ...]:
    """Name what can go wrong: on the way, and with a proxy or certificates that the environment names."""
    import httpx

    return httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError, OSError


def _read(
    status: int, content: bytes, endpoint: str, account: Account, now: float, before: Usage | None
) -> Usage | None:
    if status == 401:
        return Usage(at=now, outcome="refused")
    if status in (404, 405):
        return Usage(at=now, outcome="untold")
    if status != 200 or len(content) > _LARGEST:
        return None
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if account == "kimi-code":
        usage = Usage(at=now, outcome="known", quotas=quotas_of(answer))
    else:
        quotas = balance_of(answer, currency=_CURRENCIES.get(urlsplit(endpoint).hostname or "", ""))
        usage = _since_filled_up(Usage(at=now, outcome="known", quotas=quotas), before)
    return usage if usage.quotas else None


def _since_filled_up(usage: Usage, before: Usage | None) -> Usage:
    """Say what part of a balance is used up since it was last filled up, which the server doesn't tell."""
    if not usage.quotas:
        return usage
    quota = usage.quotas[0]
    balance = full = float(quota.left.split()[0])
    if before is not None and before.balance is not None and before.full is not None:
        filled_up = balance > max(before.balance, 0.0) * _FILLED_UP
        full = balance if filled_up else before.full
    used = min(max(1 - balance / full, 0.0), 0.999) if quota.used is None and full > 0 else quota.used
    return usage.model_copy(update={"quotas": (replace(quota, used=used),), "full": full, "balance": balance})


def said_of(quotas: Iterable[Quota]) -> str:
    """Write what is left in one line."""
    return ", ".join(f"{quota.name} {quota.left}" for quota in quotas)
