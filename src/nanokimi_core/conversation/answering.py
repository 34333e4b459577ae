"""From a work that was claimed to what becomes of it: an answer, another try, or a dead letter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from logging import INFO, WARNING, Logger

import anyio.to_thread

from nanokimi_core.config import ChatRules, Settings
from nanokimi_core.contracts.backend import Turn
from nanokimi_core.conversation import catalogue
from nanokimi_core.conversation.access import chat_ids
from nanokimi_core.conversation.accounts.asking import AccountFault
from nanokimi_core.conversation.accounts.standings import Standings
from nanokimi_core.conversation.accounts.successions import Successions
from nanokimi_core.conversation.catalogue import Phrase, phrase
from nanokimi_core.conversation.owner import Owner
from nanokimi_core.conversation.showing import showing
from nanokimi_core.conversation.turns import Displaced, Moved, Seat, Turns
from nanokimi_core.conversation.verdicts import Again, Done, GivenUp, Verdict
from nanokimi_core.delivery import Delivery
from nanokimi_core.errors import AgentError, Failure, NanoKimiError, PluginError
from nanokimi_core.messages import Inbound
from nanokimi_core.store import Ending, Owed, Role, Store, StoreError, Work
from nanokimi_core.supervision import traced

_HOUR = 3600.0
_EVER = 10 * 365 * 86_400.0
_LONG = 20_000
_FIRST_HOLD = 5.0
_LONGEST_HOLD = 300.0
_LONGEST_NAMED = 3600.0
_LONGEST_RETRY = 60.0


class Answering:
    """Does one work after the other; many side by side.

    Args:
        settings: Live.
        store: Where it is noted what a chat was told.
        turns: Who runs them.
        delivery: Knows the transports.
        owner: Who hears of causes.
        seat: Finds the chat, account and backend of a message under its rules.
        standings: Which accounts are down.
        successions: Tells the owner who serves in place of whom.
        passed: Told of a cause that has passed; whether lanes were held for it.
        gets_code: Whether the owner hears of the loss of these accounts by a code to log in with.
        by_code: Names the first of accounts that is lost and logs in by a code; empty where none is.
        log: For what nobody needs to be told.

    Attributes:
        failed: How many attempts have failed since the start.
        unanswered: How many messages of the console have got a sentence in place of an answer since the start.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        store: Store,
        turns: Turns,
        delivery: Delivery,
        owner: Owner,
        *,
        seat: Callable[[str, Inbound, ChatRules], Seat],
        standings: Standings,
        successions: Successions,
        passed: Callable[[str], bool],
        gets_code: Callable[[Sequence[str]], bool],
        by_code: Callable[[Sequence[str]], str],
        log: Logger,
    ) -> None:
        self._settings = settings
        self._store = store
        self._turns = turns
        self._delivery = delivery
        self._owner = owner
        self._seat = seat
        self._standings = standings
        self._successions = successions
        self._passed = passed
        self._gets_code = gets_code
        self._by_code = by_code
        self._log = log
        self._holds: dict[str, int] = {}
        self._away: dict[str, str] = {}
        self._logged: dict[str, str] = {}
        self.failed = 0
        self.unanswered = 0

    async def __call__(self, work: Work) -> Verdict:
        """Do a work; whatever goes wrong in it, the chat gets a sentence at most, and the owner the cause."""
        message = work.rows[-1].message
        rules = self._settings().rules(chat_ids(work.transport, message))
        moment = self._standings.moment
        try:
            if work.attempts > self._settings().limits.max_attempts:
                raise AgentError(Failure.CRASHED, _ENDED.format(times=work.attempts - 1))
            order = work.rows[0].role is Role.ORDER
            verdict = await (self._order(work, message, rules) if order else self._answer(work, message, rules))
        except AgentError as error:
            return await self._failed(work, message, rules, error, moment)
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            if isinstance(error, NanoKimiError) and not _is_backends(error):
                mend = AgentError(Failure.MODEL, error.message, remedy=error.remedy)  # whatever the message
                return await self._failed(work, message, rules, mend, moment)
            self._log.exception("a turn of %s:%s failed in backend %s", work.transport, work.chat, rules.backend)
            cause = f"backend {rules.backend} has a fault: {traced(error)}"
            crashed = AgentError(Failure.CRASHED, cause)
            return await self._failed(work, message, rules, crashed, moment, fault=True)
        if isinstance(verdict, Done) and verdict.ending is Ending.ANSWERED:
            await self._worked(work, rules)
        return verdict

    async def _answer(self, work: Work, message: Inbound, rules: ChatRules) -> Verdict:
        seat = self._seat(work.transport, message, rules)
        context = work.context[-rules.context :] if rules.context else ()
        turn = Turn(work.turn, tuple(row.message for row in work.rows), context)
        route = self._delivery.route(work.transport)
        async with showing(route, message, f"{work.turn}.0", self._log) as grown:
            try:
                answer = await self._turns.run(seat, turn, grown)
            except Displaced:
                return Again(0, False, "a newer message")
            except Moved:
                return Again(0, False, "another account")
        await self._successions.answered(seat.account)
        if not answer:
            owed = self._owed(work, message, phrase(rules.language, "stopped"), work.turn) if answer is None else ()
            return Done(Ending.CANCELLED, owed)
        owed = await self._cut(work, message, answer)
        if not owed:
            raise AgentError(Failure.NO_ANSWER, "the agent's answer shows nothing")
        return Done(Ending.ANSWERED, owed)

    async def _cut(self, work: Work, message: Inbound, answer: str) -> Sequence[Owed]:
        """Render and cut an answer; a long one in a thread, since that takes seconds for a hundred pages."""
        cut = partial(self._owed, work, message, answer, work.turn, notice=False)
        return await anyio.to_thread.run_sync(cut) if len(answer) > _LONG else cut()

    async def _order(self, work: Work, message: Inbound, rules: ChatRules) -> Verdict:
        await self._turns.forget(self._seat(work.transport, message, rules))
        return Done(Ending.COMMAND, self._owed(work, message, phrase(rules.language, "fresh"), work.turn))

    def _owed(self, work: Work, message: Inbound, text: str, key: str, *, notice: bool = True) -> Sequence[Owed]:
        route = self._delivery.route(work.transport)
        reply_to = message.id if route is not None and route.quotes(message.kind) else None
        return self._delivery.prepare(
            work.transport, work.chat, text, key=key, thread=message.thread, reply_to=reply_to, notice=notice
        )

    async def _worked(self, work: Work, rules: ChatRules) -> None:
        """Note that all that this work needed is there."""
        if self._logged:
            self._logged.pop(f"{work.transport}:{work.chat}", None)
        if self._holds:
            self._holds.pop(f"{work.transport}:{work.chat}", None)
        here = f"{work.transport}:{work.chat}"
        for cause in [cause for cause in self._away if cause.partition(" ")[2] == _about(rules)]:
            self._passed(cause)
            chat = self._away[cause]
            if chat == here:  # another chat's success doesn't show that it has passed for the one that was told of
                del self._away[cause]
                await self._owner.tell(f"held {cause}", phrase(self._owner.language, "owner_held_over", chat=chat))

    async def _failed(
        self, work: Work, message: Inbound, rules: ChatRules, error: AgentError, moment: int, *, fault: bool = False
    ) -> Verdict:
        self.failed += 1
        chat = f"{work.transport}:{work.chat}"
        said = f"{error.kind.value}: {error}; {error.remedy}" if error.remedy else f"{error.kind.value}: {error}"
        self._log.log(
            INFO if self._logged.get(chat) == said else WARNING, "%s: attempt %d failed: %s", chat, work.attempts, said
        )
        if error.kind.outside:
            self._logged[chat] = said
            return await self._hold(work, message, rules, error, moment)
        if work.attempts < self._settings().limits.max_attempts:
            wait = error.retry_after.total_seconds() if error.retry_after else 4.0 ** (work.attempts - 1)
            return Again(min(wait, _LONGEST_RETRY), True, said)
        letter = f"m{work.rows[0].number}"
        cause = phrase(self._owner.language, "owner_gave_up", chat=chat, id=letter, cause=_cause(error))
        await self._owner.tell(f"gave up {chat}", cause)
        kind = None if fault else error.kind
        sentence = catalogue.gave_up(kind, rules.language)
        name = "fault" if fault else error.kind.value
        return GivenUp(said, await self._once(work, message, name, sentence))

    async def _hold(self, work: Work, message: Inbound, rules: ChatRules, error: AgentError, moment: int) -> Verdict:
        chat = f"{work.transport}:{work.chat}"
        held = self._holds[chat] = self._holds.get(chat, 0) + 1
        wait = pause(held)
        if error.retry_after is not None:
            wait = max(error.retry_after.total_seconds(), 0.5)
        cause = "" if error.kind is Failure.RATE_LIMIT else f"{error.kind.value} {_about(rules)}"
        once = self._asks_once(work)
        if not once and (error.kind is not Failure.CREDENTIALS or not self._gets_code(rules.auth)):
            if cause:
                chat = self._away.setdefault(cause, chat)
            said = phrase(self._owner.language, "owner_held", chat=chat, cause=_cause(error), remedy=error.remedy)
            await self._owner.tell(f"held {cause or chat}", said)
        sentence = catalogue.held(error.kind, rules.language, retry_after=timedelta(seconds=wait))
        if work.transport == "console":
            login = self._by_code(rules.auth) if error.kind is Failure.CREDENTIALS else ""
            sentence = catalogue.away(error.kind, rules.language, once=once, login=login)
        owed = await self._of_wait(work, message, error.kind.value, sentence)
        passed = partial(self._standings.ended_since, moment, rules.auth)
        wait = min(wait, _LONGEST_NAMED)  # what a server says of days may change: a plan is renewed
        return Again(wait, False, f"{error.kind.value}: {error}", cause, owed, passed)

    def _asks_once(self, work: Work) -> bool:
        """Whether it comes from a console where nobody stays: then its message isn't kept for a late answer."""
        route = self._delivery.route(work.transport) if work.transport == "console" else None
        return route is not None and bool(getattr(route.transport, "asks_once", False))

    async def _of_wait(self, work: Work, message: Inbound, cause: str, sentence: Phrase) -> Sequence[Owed]:
        """Give what a chat is told of a message that waits: once for it, however often it is tried."""
        try:
            told = f"told {work.transport}:{work.chat} {cause} of {work.rows[-1].number}"
            if not await self._store.first_in(told, _EVER):
                return ()
        except StoreError as error:
            self._log.error("%s", error)
            return ()
        return await self._once(work, message, cause, sentence)

    async def _once(self, work: Work, message: Inbound, cause: str, sentence: Phrase) -> Sequence[Owed]:
        """Give what a chat is told of a failure: nothing where it heard of this cause in the last hour.

        The console is told for each message: a pipe waits for it.
        """
        each = f" {message.id}" if work.transport == "console" else ""
        try:
            if not await self._store.first_in(f"told {work.transport}:{work.chat} {cause}{each}", _HOUR):
                return ()
        except StoreError as error:
            self._log.error("%s", error)
            return ()
        self.unanswered += bool(each)
        return self._owed(work, message, sentence, f"{work.turn}-{cause}-{work.attempts}")


def pause(times: int) -> float:
    """Say for how many seconds a lane is held that was held so often for the same message."""
    return min(_FIRST_HOLD * 2.0 ** min(times - 1, 20), _LONGEST_HOLD)


def waits_for(passes_with: str, account: str) -> bool:
    """Whether a lane is held for a cause that may be over when this account works."""
    kind, _, about = passes_with.partition(" ")
    return kind in _OF_ACCOUNTS and account in about.partition(" ")[2].split(",")


_OF_ACCOUNTS = frozenset(kind.value for kind in (Failure.CREDENTIALS, Failure.QUOTA, Failure.MODEL))
_ENDED = "the process ended {times} times while this was being answered"


def _is_backends(error: NanoKimiError) -> bool:
    """Whether it is a fault of the backend's, which a message may have provoked."""
    return isinstance(error, PluginError) and not isinstance(error, AccountFault)


def _about(rules: ChatRules) -> str:
    return f"{rules.backend} {','.join(rules.auth)}".strip()


def _cause(error: AgentError) -> str:
    return f"{error.kind.value}: {error}"
