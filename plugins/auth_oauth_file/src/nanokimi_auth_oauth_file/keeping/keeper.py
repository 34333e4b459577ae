"""The keeper: the only one that refreshes a login, in good time, once for all who need it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath

import anyio
from anyio import to_thread

from nanokimi_auth_oauth_file.disk.finding import Found, find
from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem
from nanokimi_auth_oauth_file.disk.marks import mark_of
from nanokimi_auth_oauth_file.keeping.agent_refresher import AgentRefresher
from nanokimi_auth_oauth_file.keeping.locks import PATIENCE, FileLock, LockHeld, holding
from nanokimi_auth_oauth_file.keeping.refreshing import NotRefreshed, Refresher, Unsaved, refuse_hopeless, unwritable
from nanokimi_auth_oauth_file.keeping.server_refresher import ServerRefresher, locked, under_locks
from nanokimi_auth_oauth_file.keeping.state import KeeperState
from nanokimi_auth_oauth_file.keeping.timing import Clock, Span
from nanokimi_auth_oauth_file.keeping.trouble import Trouble
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import AccountAway, AgentCommands, ConfigError, Context, keep_secret

LOOK = 5.0
"""Seconds between two looks at the login's file and at the clocks."""
_SHORTEST = 0.2
_MOST_KNOWN = 16
_MOST_RENEWALS, _RENEWALS_IN = 5, 600.0


class Keeper:
    """Keeps one login: refreshes it before the agents would, and notices when somebody else has changed it.

    Args:
        context: Of the instance; its folder holds the keeper's lock, journal and state.
        settings: Of the instance. With ``credentials = "shared"`` it stands back: it watches, and refreshes only where
            ``renew`` asks for it.
        changed: Called with each login that is new, whoever has refreshed it, when it is on disk; before ``fresh`` or
            ``renew`` give it. It must not call the keeper.
        agent: For which agent the login is, where several lie in one place.
        clock: The clocks.
        look: Seconds between two looks at the file.
        patience: Seconds that a lock is waited for.
    """

    def __init__(
        self,
        context: Context,
        settings: Settings,
        *,
        changed: Callable[[Login], Awaitable[None]] | None = None,
        agent: str = "kimi-code",
        clock: Clock | None = None,
        look: float = LOOK,
        patience: float = PATIENCE,
    ) -> None:
        self.agent = agent
        self._context = context
        self._settings = settings
        self._changed = changed
        self._clock = clock or Clock()
        self._interval = look
        self._patience = patience
        self._chance = random.SystemRandom()
        self._server = ServerRefresher(context, settings.host, self._clock, patience)
        self._refresher: Refresher = self._server
        if settings.refresher == "agent":
            self._refresher = AgentRefresher(context, settings)
        self._trouble = Trouble(context, self._clock, settings.warn_after * 60, self._chance)
        self._turn = anyio.Lock()
        self._looking = anyio.Lock()
        self._spans: dict[str, tuple[Span, float]] = {}
        self._mark: str | None = None
        self._rejected: str | None = None
        self._lost: tuple[str, LoginProblem] | None = None
        self._unsaved: Unsaved | None = None
        self._attempts = 0
        self._failure = ""
        self._renewals: deque[float] = deque(maxlen=_MOST_RENEWALS)

    @property
    def state(self) -> KeeperState:
        """How it stands; ``read_state`` gives the same to other processes."""
        return self._trouble.state

    def mark(self, login: Login) -> str:
        """Mark a login as it is now, for ``renew``; holds no secret."""
        return mark_of(login, self._context.installation)

    def use_agent(self, commands: AgentCommands, home: PurePosixPath | None = None) -> None:
        """Take the agent's commands, for ``refresher = "agent"``; may be called again when its home is known.

        Args:
            commands: What the agent can do.
            home: Its home in its container, where it is known.
        """
        if self._settings.refresher == "agent":
            self._refresher = AgentRefresher(self._context, self._settings, commands, home, self._patience)

    async def fresh(self, *, lasting: float = 30.0) -> Login:
        """Give a login whose access token lives at least ``lasting`` seconds, or half of its life where that is less.

        It is refreshed only where it doesn't; where that fails, the one that there is is given while it lives.

        Raises:
            LoginProblem: A person must log in.
            AccountAway: There is no token that lives, and none to be had at the moment.
        """
        login = (await self._look()).login
        if self._lives(login, lasting) or (self._stands_back and login.refreshable):
            return login
        try:
            return await self._refreshed(lambda login: self._lives(login, lasting), force=False)
        except AccountAway:
            if not self._lives(login):
                raise
        except LoginProblem as problem:
            if problem.kind not in ("refused", "expired") or not self._lives(login):
                raise
        return login

    async def renew(self, mark: str | None) -> Login:
        """Refresh now, unless the login on disk no longer has this mark: then somebody was faster.

        Args:
            mark: Of the login that was of no use; ``None`` refreshes in any case, also during a back-off.

        Raises:
            LoginProblem: A person must log in.
            AccountAway: There is no new token to be had at the moment.
        """
        if mark is not None:
            self._rejected = mark
        return await self._refreshed(
            lambda login: mark is not None and self.mark(login) != mark, force=True, now=not mark
        )

    async def run(self) -> None:
        """Refresh whenever it is due, and notice a file that changed; until cancelled."""
        self._trouble.attend()
        while True:
            pause = await self._round()
            await self._trouble.write()
            await anyio.sleep(pause)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep every refresh away, this keeper's, another process's and the agents', while the file is replaced.

        Raises:
            ConfigError: A lock doesn't get free, or can't be taken; says which.
        """
        try:
            async with self._turn, self._own_lock(), self._agents_locks():
                yield
        except NotRefreshed as error:
            raise ConfigError(str(error), remedy=error.remedy) from None

    @asynccontextmanager
    async def _agents_locks(self) -> AsyncIterator[None]:
        try:
            found = await to_thread.run_sync(find, self._settings, self._context.folder, self.agent)
        except LoginProblem:
            found = None
        if found is None:
            yield
            return
        async with under_locks(found, self._patience):
            yield

    # ----------------------------------------------------------------- looking
    async def _look(self) -> Found:
        async with self._looking:
            await self._trouble.recall()
            try:
                found = await to_thread.run_sync(find, self._settings, self._context.folder, self.agent)
            except LoginProblem as problem:
                if self._unsaved is None or problem.kind == "missing":
                    self._mark = None
                    raise
                found = self._unsaved.found
            found = await self._or_unsaved(found)
            await self._note(found.login)
            return found

    async def _or_unsaved(self, found: Found) -> Found:
        unsaved = self._unsaved
        if unsaved is None:
            return found
        if found.login.refresh_token != unsaved.found.login.refresh_token and not found.login.revoked:
            self._unsaved = None
            await self._server.forget()
            return found
        return Found(found.place, found.name, unsaved.document, unsaved.login)

    async def _note(self, login: Login) -> None:
        mark = self.mark(login)
        if mark == self._mark:
            return
        for token in (login.access_token, login.refresh_token):
            keep_secret(token.get_secret_value())
        if mark not in self._spans:
            self._spans[mark] = (Span(login, self._clock), self._chance.random())
            while len(self._spans) > _MOST_KNOWN:
                del self._spans[next(iter(self._spans))]
        if self._changed is not None and not login.revoked:
            await self._changed(login)
        first, self._mark = self._mark is None, mark
        if self._unsaved is None and self._lives(login):
            await (self._trouble.seen(login.expires_at - login.expires_in) if first else self._trouble.over())

    def _span(self, login: Login) -> tuple[Span, float]:
        return self._spans.get(self.mark(login)) or (Span(login, self._clock), 0.0)

    def _lives(self, login: Login, lasting: float = 0.0) -> bool:
        span, _ = self._span(login)
        if login.revoked or self.mark(login) == self._rejected:
            return False
        return span.rest() > min(lasting, span.life / 2)

    def _due_in(self, login: Login) -> float:
        """Give the seconds until a login is due."""
        span, jitter = self._span(login)
        if self.mark(login) == self._rejected or not span.known:
            return 0.0
        return max(span.rest() - span.life + self._refresher.due_at(span.life, jitter), 0.0)

    @property
    def _stands_back(self) -> bool:
        return self._settings.credentials == "shared"

    def _is_lost(self, login: Login) -> bool:
        return not login.refreshable or (self._lost is not None and self._lost[0] == self.mark(login))

    # ----------------------------------------------------------------- refreshing
    async def _round(self) -> float:
        """Look once, and do what is to be done; gives the seconds until the next look."""
        login: Login | None = None
        try:
            found = await self._look()
            login = found.login
            if not login.refreshable and not self._lives(login):
                refuse_hopeless(found)
            if self._unsaved is not None and not self._trouble.left():
                await self._refreshed(lambda _: self._unsaved is None, force=False)
            elif self._may_refresh(login) and not self._due_in(login) and not self._trouble.left():
                force = self.mark(login) == self._rejected
                await self._refreshed(lambda login: self._due_in(login) > 0, force=force)
            login = (await self._look()).login
        except AccountAway:
            pass
        except LoginProblem as problem:
            await self._trouble.lost(problem, serves=login is not None and self._lives(login))
            self._trouble.plan(None)
            return self._interval
        return await self._planned(login) if login is not None else self._interval

    async def _planned(self, login: Login) -> float:
        await self._trouble.look(self._span(login)[0].rest())
        self._plan(login)
        if not self._may_refresh(login) and self._unsaved is None:
            return self._interval
        return min(max(self._due_in(login), self._trouble.left(), _SHORTEST), self._interval)

    def _plan(self, login: Login) -> None:
        pause = max(self._due_in(login), self._trouble.left())
        self._trouble.plan(self._clock.wall() + pause if self._may_refresh(login) else None)

    def _may_refresh(self, login: Login) -> bool:
        return not self._stands_back and not self._is_lost(login)

    async def _refreshed(self, good: Callable[[Login], bool], *, force: bool, now: bool = False) -> Login:
        """Refresh, one at a time: who waited for another's refresh takes what came of it, good or bad."""
        attempts = self._attempts
        async with self._turn:
            found = await self._look()
            if good(found.login):
                return found.login
            waited = self._attempts != attempts
            if self._lost is not None and self._lost[0] == self.mark(found.login):
                raise _again(self._lost[1])
            if (left := self._trouble.left()) and (waited or not now):
                raise AccountAway(self._failure, retry_after=timedelta(seconds=left))
            if waited and now:
                return found.login
            self._bound_renewals(force and not now)
            return await self._attempt(found, force or self.mark(found.login) == self._rejected)

    async def _attempt(self, found: Found, force: bool) -> Login:
        self._attempts += 1
        try:
            async with self._own_lock():
                outcome = await self._refresh(found, force)
            self._unsaved = outcome if isinstance(outcome, Unsaved) else None
            login = (await self._look()).login
            if not self._lives(login):
                raise NotRefreshed("away", "the login server gave no token that is of use")
        except NotRefreshed as error:
            await self._note_failure(found, error)
            raise _away(error, self._trouble.left()) from None
        except LoginProblem as problem:
            await self._note_loss(found, problem)
            raise
        if self._unsaved is None:
            until = f"{login.until:%Y-%m-%d %H:%M:%S} UTC" if login.until else "an unknown time"
            self._context.log.info("the login was refreshed; its access token lasts until %s", until)
            await self._trouble.over()
        else:
            self._failure = self._unsaved.why
            await self._trouble.unsaved(self._failure)
        self._plan(login)
        await self._trouble.refreshed()
        await self._trouble.write()
        return login

    async def _note_failure(self, found: Found, error: NotRefreshed) -> None:
        self._failure = str(error)
        await (self._trouble.failed(error) if self._unsaved is None else self._trouble.unsaved(self._failure))
        self._plan(found.login)
        await self._trouble.write()

    async def _note_loss(self, found: Found, problem: LoginProblem) -> None:
        if self._unsaved is not None:
            self._unsaved = None
            await self._server.forget()
        if problem.kind in ("refused", "revoked", "expired"):
            self._lost = (self.mark(found.login), problem)
        await self._trouble.lost(problem)
        self._trouble.plan(None)
        await self._trouble.write()

    async def _refresh(self, found: Found, force: bool) -> Login | Unsaved:
        if self._unsaved is not None:
            return await self._server.save(self._unsaved)
        return await self._refresher.refresh(found, force=force)

    def _bound_renewals(self, counts: bool) -> None:
        """Stop where tokens are refused as fast as they come: another one wouldn't help.

        Raises:
            AccountAway: For a while.
        """
        now = self._clock.steady()
        if not counts:
            return
        if len(self._renewals) == _MOST_RENEWALS and now - self._renewals[0] < _RENEWALS_IN:
            left = timedelta(seconds=_RENEWALS_IN - now + self._renewals[0])
            raise AccountAway("the model API refuses every token that the login server gives", retry_after=left)
        self._renewals.append(now)

    @asynccontextmanager
    async def _own_lock(self) -> AsyncIterator[None]:
        file = self._context.folder / "keeper.lock"
        try:
            async with holding(FileLock(file), patience=self._patience):
                yield
        except LockHeld as error:
            raise locked(error) from None
        except OSError as error:
            raise unwritable(Path(error.filename or file).parent, error) from None


def _away(error: NotRefreshed, left: float = 0.0) -> AccountAway:
    said = f"{error}; {error.remedy}" if error.remedy else str(error)
    return AccountAway(said, retry_after=timedelta(seconds=left) if left else None)


def _again(problem: LoginProblem) -> LoginProblem:
    return LoginProblem(problem.kind, problem.cause, problem.remedy)
