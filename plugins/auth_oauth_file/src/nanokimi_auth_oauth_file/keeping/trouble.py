"""What is wrong with refreshing: since when, when it is tried again, and who has been told."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

from anyio import to_thread

from nanokimi_auth_oauth_file.disk.login import LoginProblem, counted, for_instance
from nanokimi_auth_oauth_file.keeping.refreshing import NotRefreshed
from nanokimi_auth_oauth_file.keeping.state import KeeperState, note_refresh, read_state, write_state
from nanokimi_auth_oauth_file.keeping.timing import Clock
from nanokimi_core import Context

_FIRST, _LONGEST, _MOST_ASKED = 2.0, 60.0, 900.0
_SAME = 1.0
_LOUD = ("unwritable", "unsaved")
_LASTING = ("unwritable", "denied")
"""What doesn't pass because another process looks at it."""


class Trouble:
    """The keeper's state, kept on disk as well, and its word to the owner.

    Args:
        context: Of the instance.
        clock: The clocks.
        warn_after: Seconds of failing after which the owner is told.
        chance: For the jitter.
    """

    def __init__(self, context: Context, clock: Clock, warn_after: float, chance: random.Random) -> None:
        self._context = context
        self._clock = clock
        self._warn_after = warn_after
        self._chance = chance
        self._failures = 0
        self._since: float | None = None
        self._again_at = float("-inf")
        self._warned = False
        self._written: KeeperState | None = None
        self._asked = False
        self._earlier = False
        self._attended = False
        self._unheard = False
        self.state = KeeperState()

    def attend(self) -> None:
        """Log what is wrong from now on, and tell the owner: the keeper runs, so that this is no command's process."""
        self._attended = True
        if self.state.kind == "login_needed" and self._is_to_be_said(news=False):  # it isn't tried again
            self._context.log.warning("%s", self.state.cause)

    def left(self) -> float:
        """Give the seconds until it may be tried again."""
        return max(self._again_at - self._clock.steady(), 0.0)

    async def failed(self, error: NotRefreshed) -> None:
        """Note that a refresh came to nothing, and back off: twice as long each time, as long as the server asks."""
        self._failures += 1
        longest = _MOST_ASKED if error.kind == "denied" else _LONGEST
        pause = min(_FIRST * 2.0 ** min(self._failures - 1, 10), longest) * self._chance.uniform(0.5, 1.0)
        asked = min(error.retry_after or 0.0, _MOST_ASKED)
        self._again_at = self._clock.steady() + max(pause, asked * self._chance.uniform(1.0, 1.1))
        await self._begin(KeeperState(error.kind, str(error), error.remedy))

    async def unsaved(self, why: str) -> None:
        """Note that a new login is in memory only."""
        self._failures += 1
        pause = min(_FIRST * 2.0 ** min(self._failures - 1, 10), _LONGEST)
        self._again_at = self._clock.steady() + pause
        remedy = "free some space or mend the disk, and leave NanoKimi running until it has saved it"
        await self._begin(KeeperState("unsaved", f"the refreshed login couldn't be saved: {why}", remedy))

    async def lost(self, problem: LoginProblem, *, serves: bool = False) -> None:
        """Note that a person must log in.

        Args:
            problem: Why.
            serves: The access token lives yet. No turn fails then that would bring the owner a code, so that they hear
                of it from here.
        """
        remedy = for_instance(problem.remedy, self._context.name)
        news = (self.state.kind, self.state.cause) != ("login_needed", problem.cause)
        if self._is_to_be_said(news=news):
            self._context.log.warning("%s", problem.cause)
        if news:
            self._since = self._since or self._clock.steady()
            self._show(KeeperState("login_needed", problem.cause, remedy))
        self._earlier = False
        if problem.kind == "refused" and serves:
            self._warned = True
            await self._tell(f"{problem.cause}; {remedy}")

    async def seen(self, issued: float) -> None:
        """Note that there is a login, which lives, that this process hasn't seen before.

        Args:
            issued: When, in seconds since 1970. One that was there in an earlier process's trouble ends it not.
        """
        since = self.state.failing_since
        if not self._earlier or since is None or issued > since.timestamp():
            await self.over()

    async def over(self) -> None:
        """Note that all is well."""
        self._earlier = False
        self._failures = 0
        self._again_at = float("-inf")
        self._since = None
        if self.state.kind:
            self._context.log.info("the login is refreshed again")
        self.state = KeeperState(last_refresh=self.state.last_refresh, next_refresh=self.state.next_refresh)
        self._unheard = False
        if self._warned and self._attended:
            self._warned = False
            await self._tell("the Kimi login is refreshed again")

    async def look(self, rest: float) -> None:
        """Tell the owner, once, when it has failed for long.

        Args:
            rest: How long the access token lives yet, in seconds.
        """
        if self._since is None or self._warned or self._clock.steady() - self._since < self._warn_after:
            return
        if self.state.kind == "login_needed":
            return
        self._warned = True
        until = "has ended" if rest <= 0 else f"ends in {counted(round(rest / 60), 'minute')}"
        failed = counted(self._warn_after / 60, "minute")
        said = f"refreshing the Kimi login has failed for {failed}; its access token {until}"
        await self._tell(". ".join(filter(None, [said, self.state.cause, self.state.remedy])))

    async def refreshed(self) -> None:
        """Note that the login has been refreshed just now."""
        at = datetime.fromtimestamp(self._clock.wall(), UTC)
        self.state = replace(self.state, last_refresh=at)
        await to_thread.run_sync(note_refresh, self._context.folder, at)

    def plan(self, next_at: float | None) -> None:
        """Note when the next refresh is due, in seconds since 1970."""
        following = datetime.fromtimestamp(next_at, UTC) if next_at is not None else None
        before = self.state.next_refresh
        if before is not None and following is not None and abs((following - before).total_seconds()) < _SAME:
            following = before
        self.state = replace(self.state, next_refresh=following)

    async def write(self) -> None:
        """Write the state down, if it has changed."""
        if self.state != self._written:
            self._written = self.state
            await to_thread.run_sync(write_state, self._context.folder, self.state)

    async def recall(self) -> None:
        """Take up, once, what of an earlier process's state is of use."""
        if self._asked:
            return
        self._asked = True
        before = await to_thread.run_sync(read_state, self._context.folder)
        if before is None:
            return
        if before.kind in _LASTING and not self.state.kind:
            self._earlier, self._warned = True, before.kind in _LOUD
            self.state = before
        elif self.state.last_refresh is None:
            self.state = replace(self.state, last_refresh=before.last_refresh)

    async def _begin(self, state: KeeperState) -> None:
        news = self._earlier or (state.kind, state.cause) != (self.state.kind, self.state.cause)
        self._earlier = False
        if self._since is None:
            self._since = self._clock.steady()
        self._show(state)
        # A command's error says it; a new login that lies in memory only is no error.
        news = self._is_to_be_said(news=news) or (news and state.kind == "unsaved")
        if news:
            loud = self._context.log.error if state.kind in _LOUD else self._context.log.warning
            loud("%s", f"{state.cause}; {state.remedy}" if state.remedy else state.cause)
        if news and state.kind in _LOUD:
            self._warned = True
            await self._tell(f"{state.cause}; {state.remedy}")

    def _is_to_be_said(self, *, news: bool) -> bool:
        """Whether to say something that may be news; news that nobody attends to are kept for later."""
        self._unheard = self._unheard or news
        if not self._attended:
            return False
        unheard, self._unheard = self._unheard, False
        return unheard

    def _show(self, state: KeeperState) -> None:
        since = self.state.failing_since or datetime.fromtimestamp(self._clock.wall(), UTC)
        last, following = self.state.last_refresh, self.state.next_refresh
        self.state = replace(state, last_refresh=last, next_refresh=following, failing_since=since)

    async def _tell(self, text: str) -> None:
        await self._context.tell_owner("refresh", text)
