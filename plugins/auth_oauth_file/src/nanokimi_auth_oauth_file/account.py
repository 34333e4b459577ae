"""The account: what ``oauth_file`` gives to a backend and says of itself."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import to_thread

from nanokimi_auth_oauth_file import standing
from nanokimi_auth_oauth_file.device_login import DeviceLogin
from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem, for_instance
from nanokimi_auth_oauth_file.disk.store import Store, Stored
from nanokimi_auth_oauth_file.grants import Grants
from nanokimi_auth_oauth_file.keeping.journal import Journal
from nanokimi_auth_oauth_file.keeping.keeper import LOOK, Keeper
from nanokimi_auth_oauth_file.keeping.state import forget_state
from nanokimi_auth_oauth_file.model_api.api import ModelApi, NoAnswer
from nanokimi_auth_oauth_file.model_api.refused import Shortages
from nanokimi_auth_oauth_file.model_api.refusing import Refusing
from nanokimi_auth_oauth_file.model_api.usage import Usages
from nanokimi_auth_oauth_file.model_api.watch import Watch
from nanokimi_auth_oauth_file.overview import Overview
from nanokimi_auth_oauth_file.serving import Serving
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import (
    AgentCommands,
    AuthStatus,
    ConfigError,
    Context,
    Grant,
    LoginNeeded,
    Need,
    ShowCode,
)

T = TypeVar("T")
_ELSEWHERE = (
    "Use it on no other machine from now on: the first refresh here ends every other copy,"
    " {file} included, and a refresh there would end this one"
)


class OAuthFile:
    """An account by the login of a Kimi subscription.

    With ``credentials = "access-only"`` the keeper refreshes it, and containers see an access token in a directory that
    they can only read. With ``"shared"`` its directories are in the containers, read-write, and the agents refresh it
    under their own locks. A refreshed or newly imported login needs no restart: the fingerprint stays.

    Args:
        settings: Of the instance.
        context: Of the instance.
        look: Seconds between two looks at the login's file.
    """

    def __init__(self, settings: Settings, context: Context, *, look: float = LOOK) -> None:
        self._settings = settings
        self._context = context
        self._store = Store(settings, context.folder)
        self._serving = Serving(settings, context) if settings.credentials == "access-only" else None
        self._keeper = Keeper(context, settings, changed=self._changed, look=look)
        self._usages = Usages(settings, context.folder)
        self._shortages = Shortages(context.folder)
        self._watch = Watch(settings, context, self._readable, self._usages, self._shortages)
        renew = self._keeper.renew if self._serving else None
        self._refusing = Refusing(context, renew, self._usages, self._shortages)
        self._overview = Overview(settings, context, self._serving, self._refusing, self._usages, self._shortages)
        self._grants = Grants(settings, self._store, self._keeper, self._serving, context.log)
        self._agent: AgentCommands | None = None
        self._need: Need | None = None

    def use_agent(self, agent: AgentCommands) -> None:
        """Take the agent's own commands, for ``login`` and ``refresher = "agent"``."""
        self._agent = agent
        self._grants.use_agent(agent)

    # ----------------------------------------------------------------- for turns
    async def grant(self, need: Need) -> Grant:
        """Give the directories of the login, ready for the agent.

        Raises:
            LoginNeeded: There is no login, or none that can be used.
            AccountAway: It has ended, and the login server is away.
        """
        self._need = need
        try:
            grant = await self._grants.give(need)
        except LoginProblem as problem:
            raise LoginNeeded(self._named(str(problem))) from None
        await _in_thread(self._shortages.granted)
        return grant

    async def rejected(self, grant: Grant, why: str) -> None:
        """Hear that the server refused a grant: a refused token is renewed, once for all; other reasons are noted."""
        try:
            stored = await self._find()
        except LoginProblem:
            return
        if stored.login is None:
            return
        login = await self._refusing.hear(grant, why, stored.login)
        self._watch.soon()
        if login is not None and self._serving:
            await self._serving.repeat(login)

    async def run(self) -> None:
        """Keep the login fresh, and look what the account has left."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch.run)
            await self._keeper.run()

    # ----------------------------------------------------------------- for the owner
    async def status(self) -> AuthStatus:
        """Say how the login stands, without using it."""
        try:
            stored = await self._find()
        except LoginProblem as problem:
            status = standing.missing(problem)
        else:
            status = await _in_thread(lambda: self._overview.of(stored))
        details = status.details | await _in_thread(self._overview.set_up)
        return replace(status, remedy=self._named(status.remedy), details=details)

    async def import_login(self, file: Path) -> AuthStatus:
        """Store another machine's credentials file, mode 0600, under the name that the agent expects.

        Raises:
            ConfigError: It is not a credentials file, holds no login, or is older than the one that is here.
        """
        plain = await _in_thread(lambda: Path(os.path.realpath(file.parent), file.name))
        with _as_config_error(self._context.name):
            async with self._keeper.held():
                stored = await _in_thread(lambda: self._store.take(plain))
        await self._taken(stored)
        return replace(standing.describe(stored, self._settings), remedy=_ELSEWHERE.format(file=plain))

    async def login(self) -> AsyncIterator[ShowCode | AuthStatus]:
        """Log in by a code, with the agent's own program; ends with the status, which names the account's models.

        Raises:
            LoginNeeded: It came to nothing, or another login is under way.
            ConfigError: No backend that runs has a login of the agent's.
        """
        if self._agent is None:
            raise ConfigError(
                "logging in by a code needs the agent's own program, and no backend is here that has it",
                remedy=self._named(
                    'let the toml name one (backend = "kimi_docker"), or run: nanokimi auth import FILE'
                ),
            )
        taken: list[Stored] = []

        async def store(folder: Path) -> None:
            taken.append(await self._take_new(folder))

        login = DeviceLogin(self._context.folder, self._context.log)
        async with aclosing(login.run(self._agent, self._grants.environment, store)) as codes:
            async for code in codes:
                yield code
        yield await self._welcomed(taken[0])

    async def log_out(self) -> AuthStatus:
        """Remove the login from the instance's own folder, and the tokens that containers see.

        Raises:
            ConfigError: The toml's ``path`` says that it is somebody else's, or a file can't be removed.
        """
        with _as_config_error(self._context.name):
            async with self._keeper.held():
                await _in_thread(self._store.forget)
                await _in_thread(Journal(self._context.folder, self._context.installation).clear)
            if self._serving:
                await self._serving.clear()
        await _in_thread(self._forget)
        return await self.status()

    async def refresh(self) -> AuthStatus:
        """Refresh the login now.

        Raises:
            LoginNeeded: The server wants a new login.
            AccountAway: The server can't be reached, or is busy.
            ConfigError: The agents refresh it, not NanoKimi.
        """
        if self._serving is None:
            raise ConfigError(
                'with credentials = "shared" the agents refresh the login, each time that it is due',
                remedy='write a message, or set credentials = "access-only"',
            )
        try:
            await self._serving.repeat(await self._keeper.renew(None))
        except LoginProblem as problem:
            raise LoginNeeded(self._named(str(problem))) from None
        return await self.status()

    # ----------------------------------------------------------------- the login on disk
    async def _find(self) -> Stored:
        need = self._need
        if self._serving is not None:
            return await _in_thread(self._store.find)
        if need is None:
            return await _in_thread(self._store.look)
        return await _in_thread(lambda: self._store.look(need.agent, need.user))

    async def _readable(self) -> Login | None:
        try:
            return (await self._find()).login
        except LoginProblem:
            return None

    async def _changed(self, login: Login) -> None:
        """Show the agents a login that is new; the keeper calls this before anybody gets it."""
        if self._serving is not None:
            await self._serving.replace(login)

    async def _take_new(self, folder: Path) -> Stored:
        async with self._keeper.held():
            try:
                return await _in_thread(lambda: self._store.take_new(folder))
            except ConfigError as error:
                raise LoginNeeded(f"the agent's login left nothing that can be kept ({error.message})") from None
            except LoginProblem as problem:
                raise LoginNeeded(self._named(str(problem))) from None

    async def _taken(self, stored: Stored) -> None:
        """Let all that is kept about the old login go, and show the agents the new one."""
        await _in_thread(self._forget)
        await _in_thread(lambda: forget_state(self._context.folder))
        if stored.login is not None and not stored.login.expired(time.time()):
            await self._changed(stored.login)

    def _forget(self) -> None:
        self._usages.forget()
        self._shortages.end()

    async def _welcomed(self, stored: Stored) -> AuthStatus:
        """Say how a login that was just made stands, and which models its account has."""
        await self._taken(stored)
        status, model = await self.status(), self._settings.model
        if stored.login is None:
            return status
        try:
            models = await ModelApi(self._settings.endpoint, self._context.folder).models(stored.login.access_token)
        except NoAnswer as none:
            said = f"not known: {self._settings.endpoint} was asked, and {none}"
            return replace(status, details=status.details | {"models": said})
        status = replace(status, details=status.details | {"models": ", ".join(models) or "none"})
        if model in models:
            return status
        remedy = f'the account has no model "{model}": set model in [plugins.{self._context.name}] to one that it has'
        return replace(status, remedy="; ".join(filter(None, [status.remedy, remedy])))

    # ----------------------------------------------------------------- words
    def _named(self, remedy: str) -> str:
        return for_instance(remedy, self._context.name)


@contextmanager
def _as_config_error(name: str) -> Iterator[None]:
    """Say what is wrong with a login as a command says it, for the instance of this name.

    Raises:
        ConfigError: Something is.
    """
    try:
        yield
    except LoginProblem as problem:
        raise ConfigError(problem.cause, remedy=for_instance(problem.remedy, name)) from None
    except ConfigError as error:
        raise ConfigError(error.message, remedy=for_instance(error.remedy, name)) from None


async def _in_thread(work: Callable[[], T]) -> T:
    return await to_thread.run_sync(work)
