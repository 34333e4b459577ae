"""The refresh by the agent's own program, for a login server that wants nobody else's requests."""

from __future__ import annotations

from pathlib import PurePosixPath

from anyio import to_thread

from nanokimi_auth_oauth_file.disk.finding import Found
from nanokimi_auth_oauth_file.disk.login import Login
from nanokimi_auth_oauth_file.disk.writing import Reserved, aside_name, serialised
from nanokimi_auth_oauth_file.keeping.journal import Refused
from nanokimi_auth_oauth_file.keeping.locks import PATIENCE
from nanokimi_auth_oauth_file.keeping.refreshing import NotRefreshed, Unsaved, refuse_hopeless, unwritable
from nanokimi_auth_oauth_file.keeping.server_refresher import under_locks
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import AgentCommands, AgentError, ConfigError, Context, Mount

AGENT_HOME = PurePosixPath("/home/node/.kimi-code")
_ENDED = 1
"""An ``expires_at`` that every agent takes for an ended token; 0 would mean that it isn't known."""


class AgentRefresher:
    """Refreshes by letting the agent run with the login's own directories, read-write.

    The agent takes its own locks, and it refreshes only what is due by its own rule.

    Args:
        context: Of the instance.
        settings: Of the instance.
        agent: Its commands; ``None`` where no backend has given them yet.
        home: The agent's home in its container.
        patience: For the agents' locks, in seconds.
    """

    def __init__(
        self,
        context: Context,
        settings: Settings,
        agent: AgentCommands | None = None,
        home: PurePosixPath = AGENT_HOME,
        patience: float = PATIENCE,
    ) -> None:
        self._agent = agent
        self._home = home
        self._environment = _environment(settings)
        self._patience = patience
        self._refused = Refused(context.folder, context.installation)

    def due_at(self, life: float, jitter: float = 0.0) -> float:
        """Wait until it is due for the agent as well: when less than max(300 s, half of its life) are left."""
        return max(life - max(300.0, life / 2), 0.0) + (0.02 + 0.03 * jitter) * life

    async def refresh(self, found: Found, *, force: bool) -> Login | Unsaved:
        """Let the agent get a new access token.

        Raises:
            NotRefreshed: It didn't.
            LoginProblem: There is nothing that it could do.
        """
        await to_thread.run_sync(refuse_hopeless, found, self._refused)
        if self._agent is None:
            said = "the agent refreshes this login, and no backend is here that has one"
            raise NotRefreshed("away", said, 'start NanoKimi, or set refresher = "keeper"')
        if force:
            async with under_locks(found, self._patience):
                there = await to_thread.run_sync(_end, found)
            if there.login.refresh_token != found.login.refresh_token:
                return there.login
        try:
            await self._agent.refresh(self._mounts(found), self._environment)
        except (AgentError, ConfigError) as error:
            raise NotRefreshed("away", f"the agent could not refresh the login: {error}") from None
        now = await to_thread.run_sync(found.again)
        await to_thread.run_sync(refuse_hopeless, now, self._refused)
        if now.login.refresh_token == found.login.refresh_token:
            raise NotRefreshed("away", "the agent has run and not refreshed the login")
        return now.login

    def _mounts(self, found: Found) -> tuple[Mount, ...]:
        found.place.locks.mkdir(mode=0o700, exist_ok=True)
        return (
            Mount(found.place.credentials, self._home / "credentials", read_only=False),
            Mount(found.place.locks, self._home / "oauth", read_only=False),
        )


def _environment(settings: Settings) -> tuple[tuple[str, str], ...]:
    if settings.is_default:
        return ()
    return (("KIMI_CODE_BASE_URL", settings.endpoint), ("KIMI_CODE_OAUTH_HOST", settings.host))


def _end(found: Found) -> Found:
    """Write into the login's file that the access token has ended, unless there is another by now."""
    now = found.again()
    if now.login.refresh_token != found.login.refresh_token or now.login.expires_at == _ENDED:
        return now
    try:
        reserved = Reserved(now.file, aside_name(now.file))
        reserved.become(serialised({**now.document, "expires_at": _ENDED}))
    except OSError as error:
        raise unwritable(now.file.parent, error) from None
    return now
