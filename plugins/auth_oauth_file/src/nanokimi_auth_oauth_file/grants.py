"""Grants: what an agent is started with, by the two ways in which containers see a login."""

from __future__ import annotations

import hashlib
import json
from logging import LoggerAdapter
from typing import Any

from anyio import to_thread

from nanokimi_auth_oauth_file.disk.login import Login
from nanokimi_auth_oauth_file.disk.places import name_for
from nanokimi_auth_oauth_file.disk.store import Store, Stored
from nanokimi_auth_oauth_file.keeping.keeper import Keeper
from nanokimi_auth_oauth_file.serving import Serving
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import AccountAway, AgentCommands, ConfigError, Grant, Mount, Need


class Grants:
    """Makes grants.

    Args:
        settings: Of the instance.
        store: The login on disk.
        keeper: Gives the login, fresh.
        serving: Shows it to containers; ``None`` where they share its own directories.
        log: Of the instance.
    """

    def __init__(
        self, settings: Settings, store: Store, keeper: Keeper, serving: Serving | None, log: LoggerAdapter[Any]
    ) -> None:
        self._settings = settings
        self._store = store
        self._keeper = keeper
        self._serving = serving
        self._log = log
        self._agent: AgentCommands | None = None
        self._warned = False

    def use_agent(self, agent: AgentCommands) -> None:
        """Let the keeper have the agent's own commands."""
        self._agent = agent
        self._keeper.use_agent(agent)

    async def give(self, need: Need) -> Grant:
        """Give the directories of the login, ready for the agent.

        Raises:
            LoginProblem: There is no login, or none that can be used.
            AccountAway: It has ended, and the login server is away.
        """
        return await (self._shared(need) if self._serving is None else self._served(need, self._serving))

    async def _served(self, need: Need, serving: Serving) -> Grant:
        if self._settings.refresher == "agent":
            stored = await self._for_agent(need)
        else:
            stored = await to_thread.run_sync(self._store.keep)
        name = name_for(need.agent, self._settings)
        login = await self._keeper.fresh()
        mark = await serving.show(need, login)
        return self._grant(stored, name, serving.mounts(need), login, mark)

    async def _for_agent(self, need: Need) -> Stored:
        """Find the login as the agent's own program refreshes it, and let the keeper know which agent that is."""
        stored = await to_thread.run_sync(self._store.keep_for, need)
        if stored.name != name_for(need.agent, self._settings):
            try:
                async with self._keeper.held():
                    stored = await to_thread.run_sync(self._store.rename_for, need)
            except ConfigError as error:
                raise AccountAway(str(error)) from None
        self._keeper.agent = need.agent
        if self._agent is not None:
            self._keeper.use_agent(self._agent, need.agent_home)
        return stored

    async def _shared(self, need: Need) -> Grant:
        stored = await to_thread.run_sync(lambda: self._store.prepare(need))
        self._warn_of_two_agents()
        mark = self._keeper.mark(stored.login) if stored.login else ""
        return self._grant(stored, stored.name, _mounts(stored, need), stored.login, mark)

    def _grant(self, stored: Stored, name: str, mounts: tuple[Mount, ...], login: Login | None, mark: str) -> Grant:
        settings = self._settings
        return Grant(
            provider="kimi",
            base_url=settings.endpoint,
            model=settings.model,
            context_size=settings.context_size,
            fingerprint=self._fingerprint(stored, name, mounts),
            oauth_key=f"oauth/{name}",
            mounts=mounts,
            capabilities=settings.capabilities,
            expires_at=login.until if login and not login.refreshable else None,
            environment=self.environment,
            mark=mark,
        )

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """Name the servers where they aren't the default; both agents take them from the environment only."""
        if self._settings.is_default:
            return ()
        return (("KIMI_CODE_BASE_URL", self._settings.endpoint), ("KIMI_CODE_OAUTH_HOST", self._settings.host))

    def _fingerprint(self, stored: Stored, name: str, mounts: tuple[Mount, ...]) -> str:
        settings = self._settings
        parts = [name, settings.host, settings.endpoint, settings.model, str(settings.context_size)]
        parts += [settings.credentials, str(stored.place.credentials), *sorted(settings.capabilities)]
        parts += [f"{mount.source}:{mount.target}" for mount in mounts]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def _warn_of_two_agents(self) -> None:
        if len(self._store.agents) > 1 and not self._warned:
            self._warned = True
            self._log.warning(
                "kimi-code and kimi-cli share this login, and neither heeds the other's lock: a refresh at the same"
                ' moment can lose it; set credentials = "access-only", or give each an instance and a login of its own'
            )


def _mounts(stored: Stored, need: Need) -> tuple[Mount, ...]:
    credentials = Mount(stored.place.credentials, need.agent_home / "credentials", read_only=False)
    if need.agent != "kimi-code":
        return (credentials,)
    return (credentials, Mount(stored.place.locks, need.agent_home / "oauth", read_only=False))
