"""How accounts stand, for all chats together: which are down and why, and when a turn may try one again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from logging import Logger, getLogger

import anyio

from nanokimi_core.contracts.auth import Auth, Grant, Need
from nanokimi_core.conversation.accounts.asking import AccountFault, ask, look
from nanokimi_core.errors import AccountAway, AgentError, Failure, LoginNeeded
from nanokimi_core.logs import keep_secret

_FIRST: dict[Failure, float] = {Failure.CREDENTIALS: 300.0, Failure.QUOTA: 300.0, Failure.MODEL: 30.0}
_FIRST_PROMISED = 15.0
_LONGEST = 3600.0
_FIRST_AWAY, _LONGEST_AWAY = 5.0, 60.0
_RESORT, _LONGEST_RESORT = 2.0, 120.0
_SOON, _LONGEST_SOON = 60.0, 600.0
_LOOK_EVERY = 3.0
_OK = ("ok", "expiring")
_MOST_REFUSED = 64

Identity = tuple[str, str]
"""The fingerprint and the mark of a grant."""


def identity(grant: Grant) -> Identity:
    """Say which credentials a grant stands for."""
    return grant.fingerprint, grant.mark


@dataclass(frozen=True)
class Standing:
    """Why an account is down, and until when.

    Attributes:
        kind: ``CREDENTIALS``, ``QUOTA``, or ``MODEL`` for a fault of its plugin.
        why: The cause, for the owner.
        remedy: What the owner can do.
        since: When it went down, in seconds since 1970.
        until: From when on one turn tries it again; on the event loop's clock.
        resort: The same for a chain where no other account works.
        soon: The same for credentials that have changed while their agents needn't be started again.
        refused: The credentials that a server refused; empty where there was no grant.
        away: The account says that this passes by itself.
        promised: Until when the server, or the account, asked to be left alone, if it did.
        times: How often it was tried in vain.
    """

    kind: Failure
    why: str
    remedy: str
    since: float
    until: float
    resort: float
    soon: float
    refused: frozenset[Identity]
    away: bool
    promised: float | None
    times: int

    @property
    def wants_login(self) -> bool:
        """Whether somebody must log in, or store a key."""
        return self.kind is Failure.CREDENTIALS and not self.away


class Standings:
    """Keeps which accounts are down, under the names of their instances.

    One turn that fails puts an account down for every chat; one that works, a login or another key brings it back.

    Args:
        find: Gives the live account of a name, for the looks at those that are down.
        log: For accounts that can't be looked at.
        every: Seconds between two looks at an account that is down.

    Attributes:
        on_lost: Called with the names of the accounts that need a login, each time that a turn finds none in its chain
            that works, because of them.
        on_change: Called when an account has gone down, and when it may be used again (``True``).
    """

    def __init__(
        self,
        find: Callable[[str], Auth | None] = lambda name: None,
        *,
        log: Logger | None = None,
        every: float = _LOOK_EVERY,
    ) -> None:
        self._find = find
        self._log = log or getLogger("nanokimi")
        self._every = every
        self._down: dict[str, Standing] = {}
        self._tried: set[str] = set()
        self._well: dict[str, bool] = {}
        self._ended: dict[str, int] = {}
        self._fallen = anyio.Event()
        self.moment = 0
        self.need: Need | None = None
        self.on_lost: Callable[[Sequence[str]], None] = lambda names: None
        self.on_change: Callable[[str, bool], None] = lambda name, usable: None

    # ------------------------------------------------------------------ how they stand
    def down(self, name: str) -> Standing | None:
        """Say why an account is down; ``None`` where it isn't."""
        return self._down.get(name)

    def names_down(self) -> tuple[str, ...]:
        """Name the accounts that are down."""
        return tuple(self._down)

    def ended_since(self, moment: int, names: Collection[str]) -> bool:
        """Whether one of these accounts has come back since ``moment`` had a value."""
        return self.moment != moment and any(self._ended.get(name, 0) > moment for name in names)

    # ------------------------------------------------------------------ what happens to them
    def restored(self, name: str) -> None:
        """Use an account again at once: it works, somebody has logged in, or there is another key."""
        self._down.pop(name, None)
        self._well.pop(name, None)
        self.moment += 1
        self._ended[name] = self.moment
        self.on_change(name, True)

    def restored_all(self) -> None:
        """Use every account again: the owner has changed something."""
        for name in self.names_down():
            self.restored(name)

    def worked(self, name: str) -> None:
        """Note that an account's server has let a turn through."""
        if name in self._down:
            self.restored(name)

    def refused(
        self, name: str, credentials: Collection[Identity], error: AgentError, claims: Collection[str] = ()
    ) -> None:
        """Note that a turn failed for an account's sake, with these of its credentials."""
        refused = frozenset(credentials)
        self._fell(name, error.kind, str(error), error.remedy, error.retry_after, claims, refused=refused)

    def gave_none(self, name: str, error: LoginNeeded | AccountFault, claims: Collection[str] = ()) -> None:
        """Note that an account gave no grant."""
        if isinstance(error, AccountFault):
            self._fell(name, Failure.MODEL, error.message, error.remedy, None, claims)
            return
        away = isinstance(error, AccountAway)
        wait = error.retry_after if isinstance(error, AccountAway) else None
        self._fell(name, Failure.CREDENTIALS, str(error), "", wait, claims, away=away)

    def _fell(
        self,
        name: str,
        kind: Failure,
        why: str,
        remedy: str,
        wait: timedelta | None,
        claims: Collection[str],
        *,
        refused: frozenset[Identity] = frozenset(),
        away: bool = False,
    ) -> None:
        before = self._down.get(name)
        if before is not None and name not in claims and _alike(before, kind, refused, away):
            return  # a turn that began before the account was down says nothing new
        if before is not None and refused and len(before.refused) + len(refused) <= _MOST_REFUSED:
            refused |= before.refused
        times = before.times + 1 if before is not None else 1
        seconds = _pause(kind, away, wait, times)
        asked = None if wait is None else min(max(wait.total_seconds(), 0.0), _LONGEST)
        if asked is not None:
            seconds = asked if times == 1 else max(asked, seconds)
        now = anyio.current_time()
        self._down[name] = Standing(
            kind=kind,
            why=why,
            remedy=remedy,
            since=before.since if before is not None else time.time(),
            until=now + seconds,
            resort=now + min(_RESORT * 2.0 ** (times - 1), _LONGEST_RESORT),
            soon=now + (min(_SOON * 2.0 ** (times - 2), _LONGEST_SOON) if times > 1 else 0.0),
            refused=refused,
            away=away,
            promised=None if asked is None else now + asked,
            times=min(times, 20),
        )
        self._well.pop(name, None)
        self._fallen.set()
        self.on_change(name, False)

    # ------------------------------------------------------------------ who may try one that is down
    def may_ask(self, name: str, claims: set[str] | None) -> bool:
        """Whether to ask an account for a grant; not one that is away or has a fault, but now and then.

        Args:
            name: The account.
            claims: Of the turn that asks, which gets what it tries noted here; ``None`` where no turn will follow.
        """
        standing = self._down.get(name)
        if standing is None or standing.refused or standing.wants_login:
            return True
        return self._due(standing.until) and self._claim(name, claims)

    def may_serve(self, name: str, grant: Grant, claims: set[str] | None) -> bool:
        """Whether an account that gives a grant may serve: it isn't down, has other credentials, or is to be tried."""
        standing = self._down.get(name)
        if standing is None:
            return True
        if all(grant.fingerprint != fingerprint for fingerprint, _ in standing.refused):
            self.restored(name)
            return True
        if claims is not None and name in claims:
            return True
        other = identity(grant) not in standing.refused and self._due(standing.soon)
        return (other or self._due(standing.until)) and self._claim(name, claims)

    def last_resort(self, name: str, claims: set[str] | None) -> bool:
        """Whether to try an account that is down, as no other works."""
        standing = self._down.get(name)
        return standing is None or (self._due(standing.resort) and self._claim(name, claims))

    def release(self, claims: set[str]) -> None:
        """End what a turn has claimed: another one may try."""
        self._tried -= claims
        claims.clear()

    def _claim(self, name: str, claims: set[str] | None) -> bool:
        if claims is None or name in self._tried:
            return False
        self._tried.add(name)
        claims.add(name)
        return True

    def _due(self, when: float) -> bool:
        return anyio.current_time() >= when

    # ------------------------------------------------------------------ looking at them
    async def watch(self) -> None:
        """Look at the accounts that are down, every few seconds, until cancelled."""
        while True:
            await self._fallen.wait()
            while self._down:
                self._fallen = anyio.Event()
                for name in self.names_down():
                    await self._look(name)
                with anyio.move_on_after(self._every):
                    await self._fallen.wait()
            self._fallen = anyio.Event()

    async def _look(self, name: str) -> None:
        auth, standing = self._find(name), self._down.get(name)
        if auth is None or standing is None:
            return
        try:
            well = (await look(name, auth)).state in _OK
        except AccountFault as error:
            self._log.debug("%s can't be looked at: %s", name, error)
            return
        before, self._well[name] = self._well.get(name), well
        if self._down.get(name) is not standing:
            return
        if standing.refused:
            if well and before is False:
                self.restored(name)
        elif (well and not before) if standing.wants_login else self._due(standing.until):
            await self._try(name, auth, standing)

    async def _try(self, name: str, auth: Auth, standing: Standing) -> None:
        """Ask an account that gave no grant for one: that it says it is well isn't enough."""
        if self.need is None:
            return
        try:
            await ask(name, auth, self.need, keep_secret)
        except (LoginNeeded, AccountFault) as error:
            if self._down.get(name) is standing:
                self.gave_none(name, error, (name,))
                self._well[name] = True
        else:
            self.restored(name)


def _pause(kind: Failure, away: bool, wait: timedelta | None, times: int) -> float:
    """Say for how many seconds an account is left alone that was tried so often in vain."""
    if away:
        return min(_FIRST_AWAY * 2.0 ** (times - 1), _LONGEST_AWAY)
    return min((_FIRST[kind] if wait is None else _FIRST_PROMISED) * 2.0 ** (times - 1), _LONGEST)


def _alike(before: Standing, kind: Failure, refused: frozenset[Identity], away: bool) -> bool:
    return (before.kind, not before.refused, before.away) == (kind, not refused, away)


def rest(standing: Standing) -> timedelta | None:
    """Say how long an account asked to be left alone from now on; ``None`` where it didn't."""
    if standing.promised is None:
        return None
    return timedelta(seconds=max(0.0, standing.promised - anyio.current_time()))
