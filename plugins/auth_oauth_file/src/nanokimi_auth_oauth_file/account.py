"""The account: what ``oauth_file`` gives to a backend and says of itself."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from anyio import to_thread
from pydantic import SecretStr

from nanokimi_auth_oauth_file.login import Login, LoginProblem, for_instance
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_auth_oauth_file.store import Store, Stored
from nanokimi_core import AuthStatus, ConfigError, Context, Grant, LoginNeeded, Mount, Need, Refusals

T = TypeVar("T")
_SECRET = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*|sk-[\w-]{8,}")


class OAuthFile:
    """An account whose login lies in directories that all containers share, read-write.

    The agents refresh it themselves, one at a time under their own locks, so that a refresh in one container is seen
    by all others. A refreshed or newly imported login needs no restart: the fingerprint stays.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._store = Store(settings, context.folder)
        self._need: Need | None = None
        self._refusals = Refusals(context.folder)
        self._warned = False

    async def grant(self, need: Need) -> Grant:
        """Give the directories of the login, ready for the agent.

        Raises:
            LoginNeeded: There is no login, or none that the agent could use.
        """
        self._need = need
        try:
            stored = await _in_thread(lambda: self._store.prepare(need))
        except LoginProblem as problem:
            raise LoginNeeded(self._named(str(problem))) from None
        self._warn_of_two_agents()
        mounts = _mounts(stored, need)
        return Grant(
            provider="kimi",
            base_url=self._settings.endpoint,
            model=self._settings.model,
            context_size=self._settings.context_size,
            fingerprint=self._fingerprint(stored, mounts),
            oauth_key=f"oauth/{stored.name}",
            mounts=mounts,
            capabilities=self._settings.capabilities,
            expires_at=stored.login.until if stored.login and not stored.login.refreshable else None,
            environment=self._environment(),
        )

    async def rejected(self, grant: Grant, why: str) -> None:
        """Remember that the server refused the login as it is now; a refresh or an import makes it a new one."""
        try:
            stored = await self._look()
        except LoginProblem:
            return
        said = _harmless(why, stored.login)
        self._context.log.warning("the server refused the login in %s: %s", stored.file, said)
        if stored.login is not None:
            await to_thread.run_sync(self._refusals.note, _mark(stored.login), said)

    async def status(self) -> AuthStatus:
        """Say how the login stands, without using it."""
        details = {
            "oauth_host": self._settings.host,
            "base_url": self._settings.endpoint,
            "model": self._settings.model,
        }
        try:
            stored = await self._look()
        except LoginProblem as problem:
            found = {"problem": problem.kind, "cause": problem.cause}
            return AuthStatus("login_needed", remedy=self._named(problem.remedy), details=found | details)
        status = describe(stored)
        status = replace(status, details=status.details | details)
        said = await to_thread.run_sync(self._refusals.of, _mark(stored.login)) if stored.login else None
        if said is not None:
            remedy = "log in again with kimi login, and run: nanokimi auth import FILE"
            details = status.details | {"refused": said}
            return replace(status, state="rejected", remedy=self._named(remedy), details=details)
        return replace(status, remedy=self._named(status.remedy))

    async def import_login(self, file: Path) -> AuthStatus:
        """Store another machine's credentials file, mode 0600, under the name that the agent expects.

        Raises:
            ConfigError: It is not a credentials file, holds no login, or is older than the one that is here.
        """
        try:
            stored = await _in_thread(lambda: self._store.take(file))
        except LoginProblem as problem:
            raise ConfigError(problem.cause, remedy=problem.remedy) from None
        status = describe(stored)
        return replace(
            status,
            remedy=(
                "use it on no other machine from now on: the first refresh here ends every other copy,"
                f" {file} included, and a refresh there would end this one"
            ),
        )

    async def _look(self) -> Stored:
        need = self._need
        if need is None:
            return await _in_thread(self._store.look)
        return await _in_thread(lambda: self._store.look(need.agent, need.user))

    def _named(self, remedy: str) -> str:
        return for_instance(remedy, self._context.name)

    def _environment(self) -> tuple[tuple[str, str], ...]:
        """Name the servers where they aren't the default; both agents take them from the environment only."""
        if self._settings.is_default:
            return ()
        return (("KIMI_CODE_BASE_URL", self._settings.endpoint), ("KIMI_CODE_OAUTH_HOST", self._settings.host))

    def _fingerprint(self, stored: Stored, mounts: tuple[Mount, ...]) -> str:
        settings = self._settings
        parts = [stored.name, settings.host, settings.endpoint, settings.model, str(settings.context_size)]
        parts += sorted(settings.capabilities)
        parts += [f"{mount.source}:{mount.target}" for mount in mounts]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def _warn_of_two_agents(self) -> None:
        if len(self._store.agents) > 1 and not self._warned:
            self._warned = True
            self._context.log.warning(
                "kimi-code and kimi-cli share this login, and neither heeds the other's lock: a refresh at the same"
                " moment can lose it; give each an instance and a login of its own"
            )


def describe(stored: Stored) -> AuthStatus:
    """Say how a login stands that can be used."""
    login, details = stored.login, {"file": str(stored.file)}
    if login is None:
        details["access_token"] = "not seen: only the container's user may read the file"  # noqa: S105
        return AuthStatus("ok", details=details)
    until = login.until
    ended = login.expired(time.time())
    if login.refreshable:
        details["access_token"] = "ended; the agent refreshes it with the next message" if ended else _lasting(until)
        return AuthStatus("ok", login.who, until, details=details)
    details["access_token"] = _lasting(until)
    remedy = "it can't be refreshed; before it ends, log in again with kimi login and run: nanokimi auth import FILE"
    return AuthStatus("expiring", login.who, until, remedy, details)


def _lasting(until: datetime | None) -> str:
    if until is None:
        return "its end is not known"
    left = max(until - datetime.now(UTC), timedelta())
    return f"lasts until {until:%Y-%m-%d %H:%M} UTC ({left.total_seconds() // 60:.0f} minutes)"


def _mounts(stored: Stored, need: Need) -> tuple[Mount, ...]:
    credentials = Mount(stored.place.credentials, need.agent_home / "credentials", read_only=False)
    if need.agent != "kimi-code":
        return (credentials,)
    return (credentials, Mount(stored.place.locks, need.agent_home / "oauth", read_only=False))


def _mark(login: Login) -> str:
    """Tell one state of a login from another, without keeping a token."""
    tokens = [token.get_secret_value() for token in (login.access_token, login.refresh_token)]
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()[:16]


def _harmless(text: str, login: Login | None) -> str:
    """Take tokens, and what looks like one, out of a text of the server's."""
    tokens: list[SecretStr] = [login.access_token, login.refresh_token] if login else []
    for token in tokens:
        if value := token.get_secret_value():
            text = text.replace(value, "…")
    return " ".join(_SECRET.sub("…", text).split())[:300]


async def _in_thread(work: Callable[[], T]) -> T:
    return await to_thread.run_sync(work)
