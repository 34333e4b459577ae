"""The work beside the keeper's: what the account has left, and warnings before things break."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable

import anyio
from anyio import to_thread

from nanokimi_auth_oauth_file.disk.login import Login
from nanokimi_auth_oauth_file.model_api.refused import Shortages
from nanokimi_auth_oauth_file.model_api.usage import Usages
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_auth_oauth_file.standing import ending
from nanokimi_core import Context, warnings_of

_SOONEST = 60.0
"""Seconds between two look-ups at least, however many refusals ask for one."""
_WITHOUT = 900.0


class Watch:
    """Looks at intervals, and when something was refused.

    Args:
        settings: Of the instance.
        context: Of the instance.
        login: Reads the login that there is now; ``None`` where there is none that can be used.
        usages: Asks the server.
        shortages: Hears what it says.
    """

    def __init__(
        self,
        settings: Settings,
        context: Context,
        login: Callable[[], Awaitable[Login | None]],
        usages: Usages,
        shortages: Shortages,
    ) -> None:
        self._context = context
        self._login = login
        self._usages = usages
        self._shortages = shortages
        self._pause = settings.usage_minutes * 60 or _WITHOUT
        self._soonest = min(_SOONEST, self._pause)
        self._wanted = anyio.Event()

    def soon(self) -> None:
        """Look before the next interval is over."""
        self._wanted.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._wanted = anyio.Event()
            await self.look()
            await anyio.sleep(self._soonest)
            with anyio.move_on_after(self._pause * random.uniform(0.9, 1.1) - self._soonest):  # noqa: S311  # no secret
                await self._wanted.wait()

    async def look(self) -> None:
        """Look once."""
        login = await self._login()
        if login is None:
            return
        if (said := ending(login)) is not None:
            await self._context.tell_owner("login ends", said)
        if not self._usages.tells or login.expired(time.time()):
            return
        quotas = await self._usages.ask(login.access_token)
        await to_thread.run_sync(self._shortages.looked_up, quotas)
        for key, text in warnings_of(quotas):
            await self._context.tell_owner(key, text)
