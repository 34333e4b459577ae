"""What containers see of the login, kept up with it; loud where it can't be written."""

from __future__ import annotations

import time
from collections import OrderedDict

import anyio
from anyio import to_thread

from nanokimi_auth_oauth_file.disk.login import Login, LoginProblem
from nanokimi_auth_oauth_file.disk.marks import mark_of, token_mark
from nanokimi_auth_oauth_file.served import Served
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import Context, Mount, Need

_MOST_KNOWN = 16


class Serving:
    """The served directories of an instance, for its event loop.

    Args:
        settings: Of the instance.
        context: Of the instance.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        self._context = context
        self._served = Served(settings, context.folder)
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._newest: Login | None = None
        self._writing = anyio.Lock()
        self._said = ""

    def mounts(self, need: Need) -> tuple[Mount, ...]:
        """Give what an agent's containers mount."""
        return (Mount(self._served.folder_for(need), need.agent_home / "credentials", read_only=True),)

    async def show(self, need: Need, login: Login) -> str:
        """Let an agent's containers see a login's access token, and give the mark of the login that they now see.

        A login that has been replaced since it was asked for takes no newer one's place.

        Where it can't be written they go on with the token that they have, while it lives.

        Raises:
            LoginProblem: It can't be written, and what they have is nothing or has ended.
        """
        async with self._writing:
            return await self._show(need, self._newer(login))

    async def _show(self, need: Need, login: Login) -> str:
        mark = self._remember(login)
        try:
            await to_thread.run_sync(self._served.give, need, login)
        except LoginProblem as problem:
            await self._tell(problem)
            older = await to_thread.run_sync(self._served.seen, need)
            if older is None:
                raise
            mark, ends = self._known.get(self._token_mark(older), ("unknown", 0.0))
            if 0 < ends <= time.time():
                raise
        else:
            self._said = ""
        return mark

    async def replace(self, login: Login) -> None:
        """Let all containers see a login that is new; what can't be written is told to the owner."""
        self._newest = login
        await self.repeat(login)

    async def repeat(self, login: Login) -> None:
        """Write what all containers see once more, or what has become new since."""
        async with self._writing:
            login = self._newer(login)
            self._remember(login)
            try:
                await to_thread.run_sync(self._served.replace, login)
            except LoginProblem as problem:
                await self._tell(problem)

    async def clear(self) -> None:
        """Take every token away from the containers.

        Raises:
            LoginProblem: One can't be removed.
        """
        async with self._writing:
            self._newest = None
            await to_thread.run_sync(self._served.clear)

    def users(self) -> list[str]:
        """Name the agents that were served, with the uid of each; blocking."""
        return self._served.users()

    def _newer(self, login: Login) -> Login:
        """Give the newest login in place of one that containers were shown before it; one never seen is the newest."""
        if self._newest is None or self._token_mark(login) not in self._known:
            self._newest = login
        return self._newest

    def _remember(self, login: Login) -> str:
        mark = mark_of(login, self._context.installation)
        self._known[self._token_mark(login)] = mark, login.expires_at
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return mark

    def _token_mark(self, login: Login) -> str:
        return token_mark(login.access_token, self._context.installation)

    async def _tell(self, problem: LoginProblem) -> None:
        said = f"agents can't be given the new access token, and the one that they have will end: {problem}"
        if said != self._said:
            self._said = said
            self._context.log.error("%s", said)
        await self._context.tell_owner("served", said)
