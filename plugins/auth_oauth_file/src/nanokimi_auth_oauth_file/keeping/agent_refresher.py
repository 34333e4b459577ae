"""The refresh by the agent's own program, for a login server that wants nobody else's requests."""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from anyio import to_thread

from nanokimi_auth_oauth_file.disk import access
from nanokimi_auth_oauth_file.disk.finding import Found
from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem, how_to_log_in
from nanokimi_auth_oauth_file.disk.writing import Reserved, aside_name, serialised
from nanokimi_auth_oauth_file.keeping.journal import Refused
from nanokimi_auth_oauth_file.keeping.locks import PATIENCE
from nanokimi_auth_oauth_file.keeping.refreshing import NotRefreshed, Unsaved, refuse_hopeless, unwritable
from nanokimi_auth_oauth_file.keeping.server_refresher import under_locks
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import AgentCommands, AgentError, ConfigError, Context, Failure, Mount

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
        home: The agent's home in its container; ``None`` where it isn't known yet, and kimi-code's is supposed.
        patience: For the agents' locks, in seconds.
    """

    def __init__(
        self,
        context: Context,
        settings: Settings,
        agent: AgentCommands | None = None,
        home: PurePosixPath | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._agent = agent
        self._home = home or AGENT_HOME
        self._knows_home = home is not None
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
        await to_thread.run_sync(_settle, found)
        if force:
            async with under_locks(found, self._patience):
                there = await to_thread.run_sync(_end, found)
            if there.login.refresh_token != found.login.refresh_token:
                return there.login
        failure: AgentError | ConfigError | None = None
        try:
            await self._agent.refresh(self._mounts(found), self._environment)
        except (AgentError, ConfigError) as error:
            failure = error
        now = await to_thread.run_sync(found.again)
        await to_thread.run_sync(refuse_hopeless, now, self._refused)
        if now.login.refresh_token != found.login.refresh_token:
            return now.login
        await self._put_back(found, now)
        raise self._named(found, failure)

    async def _put_back(self, found: Found, now: Found) -> None:
        """Let the file of a login that wasn't refreshed say again when its access token ends."""
        if now.login.expires_at == _ENDED != found.login.expires_at:
            with suppress(NotRefreshed, LoginProblem):
                async with under_locks(found, self._patience):
                    await to_thread.run_sync(_write_end, found, found.document.get("expires_at"))

    def _named(self, found: Found, failure: AgentError | ConfigError | None) -> NotRefreshed | LoginProblem:
        if failure is None:
            return NotRefreshed("away", "the agent has run and not refreshed the login")
        # Before the first turn the home may be the wrong agent's, which finds no login there and asks for one.
        if isinstance(failure, AgentError) and failure.kind is Failure.CREDENTIALS and self._knows_home:
            return LoginProblem(
                "refused", f"the agent can't refresh the login in {found.file}: {failure}", how_to_log_in()
            )
        return NotRefreshed("away", f"the agent could not refresh the login: {failure}")

    def _mounts(self, found: Found) -> tuple[Mount, ...]:
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
    return _write_end(found, _ENDED)


def _write_end(found: Found, expires_at: Any) -> Found:
    """Write into the login's file when its access token ends, unless there is another by now; gives what was there."""
    now = found.again()
    if now.login.refresh_token != found.login.refresh_token or now.login.expires_at == expires_at:
        return now
    try:
        reserved = Reserved(now.file, aside_name(now.file))
        reserved.become(serialised({**now.document, "expires_at": expires_at}))
    except OSError as error:
        raise unwritable(now.file.parent, error) from None
    return now


def _settle(found: Found) -> None:
    """Let the agent find all that it needs as one user's.

    Raises:
        NotRefreshed: It can't be.
    """
    try:
        access.settle(found.place, found.name)
    except LoginProblem as problem:
        raise NotRefreshed("unwritable", problem.cause, problem.remedy) from None
    except OSError as error:
        raise unwritable(found.place.locks, error) from None
