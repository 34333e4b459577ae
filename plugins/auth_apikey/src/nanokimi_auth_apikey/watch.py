"""Asking the server, time and again, what each key's account has left, and telling the owner what comes of it."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from anyio import to_thread

from nanokimi_auth_apikey.keys import KeyProblem
from nanokimi_auth_apikey.ring import Ring
from nanokimi_auth_apikey.settings import Settings
from nanokimi_auth_apikey.standing import Standing
from nanokimi_auth_apikey.teller import Teller
from nanokimi_auth_apikey.usage import Usage, look_up
from nanokimi_core import warnings_of

_JUST_NOW = 60.0


class Watch:
    """Keeps what is known of the keys' accounts up to date.

    Args:
        settings: Say how often.
        ring: The keys.
        teller: Tells the owner.
    """

    def __init__(self, settings: Settings, ring: Ring, teller: Teller) -> None:
        self._settings = settings
        self._ring = ring
        self._teller = teller
        self._every = settings.usage_minutes * 60
        self._wanted = anyio.Event()
        self._runs = False

    async def run(self) -> None:
        """Ask now, and then as often as the settings say, until cancelled; returns where they say never."""
        if not self._every:
            return
        self._runs = True
        try:
            while True:
                self._wanted = anyio.Event()
                await self._ask_those_due()
                with anyio.move_on_after(self._every):
                    await self._wanted.wait()
        finally:
            self._runs = False

    def ask_soon(self) -> None:
        """Ask now, because a key was refused: the answer may say for how long."""
        self._wanted.set()

    async def ask_for_status(self, standings: Sequence[Standing]) -> bool:
        """Ask for a command, unless ``run`` does in this process or the last answers are of this minute.

        Takes no longer than a few seconds; says whether there may be new answers.
        """
        due = [one for one in standings if one.usage is None or one.usage.is_due(one.now, _JUST_NOW)]
        if self._runs or not self._every or not due:
            return False
        await self._ask(due, tells=False)
        return True

    async def _ask_those_due(self) -> None:
        try:
            standings = await to_thread.run_sync(lambda: self._ring.standings(self._ring.found()))
        except KeyProblem:
            return  # grant and status say so
        await self._ask([one for one in standings if one.is_due(self._every / 2)], tells=True)

    async def _ask(self, standings: Sequence[Standing], *, tells: bool) -> None:
        async with anyio.create_task_group() as tasks:
            for standing in standings:
                tasks.start_soon(self._ask_one, standing, tells)

    async def _ask_one(self, standing: Standing, tells: bool) -> None:
        endpoint, account = self._settings.endpoint, self._settings.account
        usage = await look_up(endpoint, account, standing.key.secret, standing.now, standing.usage)
        if usage is None:
            return
        works_again = await to_thread.run_sync(self._ring.learned, standing, usage, self._every)
        if tells:
            await self._tell(standing, usage, works_again=works_again)

    async def _tell(self, standing: Standing, usage: Usage, *, works_again: bool) -> None:
        if works_again:
            await self._teller.tell(f"key {standing.mark}", f"the API key {standing.name} works again")
        for key, text in warnings_of(usage.quotas):
            await self._teller.tell(f"{key} {standing.mark}", f"API key {standing.name}: {text}")
