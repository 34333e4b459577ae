"""The accounts of a chat: a chain of auth plugins behind one face."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nanokimi_core.contracts.auth import Auth, AuthStatus, Grant, Need
from nanokimi_core.conversation.accounts.asking import AccountFault, ask, look, refuse
from nanokimi_core.conversation.accounts.standings import Identity, Standing, Standings, identity, rest
from nanokimi_core.errors import AgentError, Failure, LoginNeeded

_MOST_GIVEN = 8
_MOST_TRIALS = 16  # of other credentials in one turn
_NONE_CHOSEN = 'no account is chosen; set auth = "apikey" in nanokimi.toml'


class NoAccount(LoginNeeded):
    """No account of a chain can be used now.

    Attributes:
        failure: What becomes of a turn that needs one.
        lost: The accounts that need a login.
    """

    def __init__(self, failure: AgentError, lost: Sequence[str] = ()) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.lost = lost


@dataclass(frozen=True)
class _Given:
    name: str
    auth: Auth
    grant: Grant

    @property
    def fingerprint(self) -> str:
        return f"{self.name}:{self.grant.fingerprint}"


class Account:
    """The chain of auth instances that the toml gives a chat; the first one that works serves.

    It remembers what it was asked for and what it gave, so that the core sees when a running agent must be restarted,
    and who is meant by a refusal.

    Args:
        chain: Gives the instances with their names, in the toml's order; asked each time, so that it follows a
            reload.
        keep_secret: Gets every secret that passes, so that no log shows it.
        standings: Which accounts are down; of all chats together.

    Attributes:
        fingerprint: Of the last grant, with the account's name before it.
        serving: Whose the last grant was; empty before the first.
    """

    def __init__(
        self,
        chain: Callable[[], Sequence[tuple[str, Auth]]],
        keep_secret: Callable[[str], None],
        standings: Standings | None = None,
    ) -> None:
        self._chain = chain
        self._keep_secret = keep_secret
        self._standings = standings if standings is not None else Standings()
        self._need: Need | None = None
        self._given: OrderedDict[str, _Given] = OrderedDict()
        self._failed: set[str] = set()
        self._spent: dict[str, set[Identity]] = {}
        self._trials = 0
        self._claims: set[str] = set()
        self._paying = False
        self._payer: _Given | None = None
        self._error: AgentError | None = None
        self.fingerprint: str | None = None
        self.serving = ""

    # ------------------------------------------------------------------ for a turn
    @contextmanager
    def paying(self) -> Iterator[None]:
        """Pay for a turn: what fails in it isn't asked again in it, and what it tries, no other turn tries."""
        self._paying, self._payer, self._error = True, None, None
        try:
            yield
        finally:
            self._paying = False
            self._failed.clear()
            self._spent.clear()
            self._trials = 0
            self._standings.release(self._claims)

    async def has_other_credentials(self) -> bool:
        """Whether the account that this turn failed on has others, not tried in it: another key of several."""
        if self._payer is None or self._need is None:
            return False
        self._trials += 1
        if self._trials > _MOST_TRIALS:
            return False
        spent = self._spent[self._payer.name]
        given = await self._ask(self._payer.name, self._payer.auth, self._need, None)
        return given is not None and all(given.grant.fingerprint != fingerprint for fingerprint, _ in spent)

    @property
    def payer(self) -> str:
        """Name the account that pays for this turn; empty where none was asked."""
        return self._payer.name if self._payer is not None else ""

    def worked(self) -> None:
        """Note that the server has let this turn through."""
        if self._payer is not None:
            self._standings.worked(self._payer.name)

    def failed(self, error: AgentError) -> Sequence[str]:
        """Note that this turn failed for its account's sake, and name those of the chain that are left to try."""
        if self._payer is None:
            return ()
        self._standings.refused(self._payer.name, self._spent[self._payer.name], error, self._claims)
        self._failed.add(self._payer.name)
        self._error = error
        return [name for name, _ in self._chain() if name not in self._failed]

    def lost(self, none: NoAccount) -> AgentError:
        """Say what becomes of a turn that no account pays for, and let those be offered a login that need one."""
        if none.lost:
            self._standings.on_lost(none.lost)
        return none.failure

    def usable(self, names: Sequence[str]) -> bool:
        """Whether one of these is not down, as far as is known."""
        return any(self._standings.down(name) is None for name in names)

    def skipped(self) -> list[str]:
        """Name the accounts of the chain that stand before the one that serves."""
        names = [name for name, _ in self._chain()]
        return names[: names.index(self.serving)] if self.serving in names else []

    # ------------------------------------------------------------------ the contract
    async def grant(self, need: Need) -> Grant:
        """Give the grant of the first account that works.

        Raises:
            NoAccount: None does; the text has the remedy of each.
            AccountFault: None does, for a fault of its plugin; it is named, so that the backend isn't blamed.
        """
        self._need = self._standings.need = need
        claims = self._claims if self._paying else set[str]()
        self._payer = None
        try:
            given = await self._choose(need, claims)
        finally:
            if claims is not self._claims:
                self._standings.release(claims)
        if self._paying:
            self._payer = given
            self._spent.setdefault(given.name, set()).add(identity(given.grant))
        self.serving, self.fingerprint = given.name, given.fingerprint
        self._given[given.fingerprint] = given
        self._given.move_to_end(given.fingerprint)
        if len(self._given) > _MOST_GIVEN:
            self._given.popitem(last=False)
        return given.grant

    async def rejected(self, grant: Grant, why: str) -> None:
        """Tell the account that gave a grant that its server refused it.

        An agent that runs may use newer credentials than it was started with: the account is shown those that this chat
        got last, so that it sees whether they are still the ones that there are.

        Raises:
            AccountFault: The auth plugin has a fault.
        """
        given = next((each for each in self._given.values() if each.grant is grant), None) or next(
            (each for each in reversed(self._given.values()) if each.grant.fingerprint == grant.fingerprint), None
        )
        if given is not None:
            auth = dict(self._chain()).get(given.name, given.auth)
            await refuse(given.name, auth, given.grant, why)

    async def status(self) -> AuthStatus:
        """Say how the account stands that would serve now: the first that is usable, else the first.

        Raises:
            AccountFault: An auth plugin has a fault.
        """
        states = [await look(name, auth) for name, auth in self._chain()]
        usable = (status for status in states if status.state in ("ok", "expiring"))
        first = states[0] if states else AuthStatus("login_needed", remedy='set auth = "apikey" in nanokimi.toml')
        return next(usable, first)

    # ------------------------------------------------------------------ for sessions that are up
    async def changed_since(self, fingerprint: str | None) -> bool:
        """Ask again for what was asked last; whether the answer differs from ``fingerprint``.

        Raises:
            LoginNeeded: No account works any more.
        """
        if self._need is None:
            return False
        await self.grant(self._need)
        return self.fingerprint != fingerprint

    @property
    def plan(self) -> Hashable:
        """What decides over the next grant; ``None`` where none was asked for yet."""
        return None if self._need is None else (self._need, tuple((name, id(auth)) for name, auth in self._chain()))

    async def next_fingerprint(self) -> str | None:
        """Say what the fingerprint of the next grant would be; ``None`` where no account works for the moment.

        It is empty where none works any more, until somebody logs in.
        """
        assert self._need is not None  # noqa: S101  # there is a plan
        try:
            return (await self._choose(self._need, None)).fingerprint
        except NoAccount:
            found = [self._standings.down(name) for name, _ in self._chain()]
            gone = all(each is not None and each.wants_login and not each.refused for each in found)
            return "" if gone else None
        except AccountFault:
            return None

    # ------------------------------------------------------------------ the choice
    async def _choose(self, need: Need, claims: set[str] | None) -> _Given:
        """Give the first grant that may serve; where there is none, one of an account that was down."""
        chain = [(name, auth) for name, auth in self._chain() if name not in self._failed]
        resort: dict[str, _Given | None] = {}
        for name, auth in chain:
            if not self._standings.may_ask(name, claims):
                resort[name] = None
            elif (given := await self._ask(name, auth, need, claims)) is not None:
                if self._standings.may_serve(name, given.grant, claims):
                    return given
                resort[name] = given
        for name, auth in chain:
            if name not in resort or not self._standings.last_resort(name, claims):
                continue
            if (last := resort[name] or await self._ask(name, auth, need, claims)) is not None:
                self._standings.may_serve(name, last.grant, claims)  # is back, where it was down for want of a grant
                return last
        raise self.none()

    async def _ask(self, name: str, auth: Auth, need: Need, claims: set[str] | None) -> _Given | None:
        try:
            return _Given(name, auth, await ask(name, auth, need, self._keep_secret))
        except (LoginNeeded, AccountFault) as error:
            self._standings.gave_none(name, error, claims or ())
            return None

    def none(self) -> NoAccount | AccountFault:
        """Say why no account of the chain works, in the same words for all chats."""
        names = [name for name, _ in self._chain()]
        down = [(name, standing) for name in names if (standing := self._standings.down(name)) is not None]
        if not down:  # none is chosen, or those that failed in this turn have come back meanwhile
            return NoAccount(self._error or AgentError(Failure.CREDENTIALS, _NONE_CHOSEN))
        if all(standing.kind is Failure.MODEL for _, standing in down):
            return AccountFault(down[0][1].why, remedy=down[0][1].remedy)
        kind = next(standing.kind for _, standing in down if standing.kind is not Failure.MODEL)
        remedy = "; ".join(dict.fromkeys(standing.remedy for _, standing in down if standing.remedy))
        waits = [rest(standing) for _, standing in down]
        soonest = None if None in waits else min(wait for wait in waits if wait is not None)
        failure = AgentError(kind, _causes(down, alone=len(names) == 1), remedy=remedy, retry_after=soonest)
        return NoAccount(failure, [name for name, standing in down if standing.wants_login])


def _causes(down: Sequence[tuple[str, Standing]], *, alone: bool) -> str:
    """Name each account with its cause; a turn's failure of the only account goes without the name."""
    if alone and down[0][1].refused:
        return down[0][1].why
    return "; ".join(f"{name}: {standing.why}" for name, standing in down)
