"""The account: what ``apikey`` gives to a backend and says of itself."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

from anyio import to_thread
from pydantic import SecretStr

from nanokimi_auth_apikey.gate import gate
from nanokimi_auth_apikey.keys import (
    DEFAULT_VARIABLE,
    STORED_NAME,
    Key,
    KeyProblem,
    check_fit,
    check_form,
    find_key,
    for_instance,
    tail,
    without_keys,
)
from nanokimi_auth_apikey.settings import Settings
from nanokimi_core import AuthStatus, ConfigError, Context, Grant, LoginNeeded, Need, Refusals, write_private


class ApiKey:
    """An account that is paid by API key.

    The key is read anew for each grant, so that a changed one is used from the next turn on.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._refusals = Refusals(context.folder)

    async def grant(self, need: Need) -> Grant:
        """Give the key; for kimi-cli together with the file that its gate asks for.

        Raises:
            LoginNeeded: There is no key, or it can't be one of this account.
        """
        try:
            key = await self._find()
        except KeyProblem as problem:
            raise LoginNeeded(self._named(str(problem))) from None
        known = self._settings.known
        return Grant(
            provider="kimi",
            base_url=self._settings.endpoint,
            model=self._settings.model_id,
            context_size=known.context_size,
            fingerprint=self._fingerprint(key.secret),
            api_key=key.secret,
            mounts=await to_thread.run_sync(gate, self._context.folder, need),
            capabilities=known.capabilities,
        )

    async def rejected(self, grant: Grant, why: str) -> None:
        """Remember that the server refused this grant's key, until the key or the server changes.

        The key is given all the same: a balance may be filled up, and a server may have erred.
        """
        if grant.api_key is None:
            return
        secret = grant.api_key.get_secret_value()
        said = without_keys(why, secret)
        self._context.log.warning("the server refused the API key %s: %s", tail(secret), said)
        await to_thread.run_sync(self._refusals.note, self._mark(grant.api_key, grant.base_url), said)

    async def status(self) -> AuthStatus:
        """Say which key is used, by its last four characters, and whether the server has refused it."""
        details = {
            "account": self._settings.account,
            "base_url": self._settings.endpoint,
            "model": self._settings.model_id,
        }
        try:
            key = await self._find()
        except KeyProblem as problem:
            details = {"cause": problem.cause, **details}
            return AuthStatus("login_needed", remedy=self._named(problem.remedy), details=details)
        details["source"] = key.source
        said = await to_thread.run_sync(self._refusals.of, self._mark(key.secret, self._settings.endpoint))
        if said is not None:
            details["refused"] = said
            return AuthStatus("rejected", key.tail, remedy=self._remedy_when_refused(), details=details)
        return AuthStatus("ok", key.tail, details=details)

    async def set_key(self, key: SecretStr) -> AuthStatus:
        """Check the key's form and store it in this instance's folder, mode 0600.

        Raises:
            ConfigError: It can't be a key of this account, or the toml says that the key is somewhere else.
        """
        if self._settings.key is not None:
            raise ConfigError(
                f"[plugins.{self._context.name}] key in nanokimi.toml says where the key is",
                remedy="change it there, or take that line out and run the command again",
            )
        text = key.get_secret_value().strip()
        try:
            check_form(text, "the input")
            check_fit(text, self._settings, "the input")
        except KeyProblem as problem:
            raise ConfigError(problem.cause, remedy=problem.remedy) from None
        await to_thread.run_sync(_store, self._context.folder / STORED_NAME, text)
        status = await self.status()
        if not os.environ.get(DEFAULT_VARIABLE):
            return status
        remedy = f"{tail(text)} is stored, but {DEFAULT_VARIABLE} is set and goes first: unset it to use this one"
        return replace(status, remedy=remedy)

    async def _find(self) -> Key:
        return await to_thread.run_sync(find_key, self._settings, self._context.folder)

    def _remedy_when_refused(self) -> str:
        remedy = self._named("make a new key and store it with: nanokimi auth set-key")
        if self._settings.base_url is not None:
            return remedy
        other = "ai" if self._settings.region == "cn" else "cn"
        return f'{remedy} (a key of the other region\'s console needs region = "{other}")'

    def _mark(self, key: SecretStr, endpoint: str) -> str:
        return _digest(self._context.installation, key.get_secret_value(), endpoint)

    def _named(self, remedy: str) -> str:
        return for_instance(remedy, self._context.name)

    def _fingerprint(self, key: SecretStr) -> str:
        known = self._settings.known
        return _digest(
            self._context.installation,
            key.get_secret_value(),
            self._settings.endpoint,
            self._settings.model_id,
            str(known.context_size),
            *sorted(known.capabilities),
        )


def _digest(salt: str, *parts: str) -> str:
    """Hash under a salt, cut to 64 bits: enough to notice a change, nothing to find a key by."""
    key = hashlib.sha256(salt.encode()).digest()
    return hashlib.blake2b(json.dumps(parts).encode(), key=key, digest_size=8).hexdigest()


def _store(path: Path, key: str) -> None:
    write_private(path, key.encode() + b"\n")
