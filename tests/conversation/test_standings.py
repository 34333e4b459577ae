"""How accounts stand: who may try one that is down, and what brings it back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from nanokimi_core import AccountAway, AuthStatus, Failure, Grant, LoginNeeded, Need
from nanokimi_core.conversation.accounts.asking import AccountFault
from nanokimi_core.conversation.accounts.chain import Account, NoAccount
from nanokimi_core.conversation.accounts.standings import Standings
from nanokimi_core.testing import FakeClock
from nanokimi_core.testing.agent import NEED
from testbed.purses import Purse, lost, refusal

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest, nanokimi_clock: FakeClock) -> tuple[str, dict[str, Any]]:
    return nanokimi_clock.backend(request.param)


class Hall:
    """Accounts ``a`` and ``b``, and how they stand."""

    def __init__(self) -> None:
        self.a, self.b = Purse("sk-canary-of-a"), Purse("sk-canary-of-b")
        self.purses = {"a": self.a, "b": self.b}
        self.standings = Standings(self.purses.get)
        self.changes: list[tuple[str, bool]] = []
        self.standings.on_change = lambda name, usable: self.changes.append((name, usable))

    def account(self, *names: str) -> Account:
        chain = [(name, self.purses[name]) for name in names or ("a", "b")]
        return Account(lambda: chain, lambda secret: None, self.standings)

    async def payer(self, account: Account) -> str:
        await account.grant(NEED)
        return account.serving

    async def fail(self, account: Account, kind: Failure = Failure.QUOTA) -> Sequence[str]:
        """Let a turn of a chat fail for its account's sake; gives those that are left."""
        with account.paying():
            await account.grant(NEED)
            return account.failed(refusal(kind))

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.standings.watch)
            yield
            tasks.cancel_scope.cancel()


@pytest.fixture
def hall() -> Hall:
    return Hall()


# --------------------------------------------------------------------- who may try
async def test_what_one_chat_has_met_holds_for_all(hall: Hall) -> None:
    assert await hall.fail(hall.account()) == ["b"]
    assert await hall.payer(hall.account()) == "b"
    down = hall.standings.down("a")
    assert down is not None
    assert (down.kind, down.why, down.remedy) == (Failure.QUOTA, "refused for quota", "mend it")
    assert not down.wants_login
    assert hall.standings.names_down() == ("a",)
    hall.standings.restored("a")
    assert await hall.payer(hall.account()) == "a"
    assert hall.changes == [("a", False), ("a", True)]


async def test_one_turn_at_a_time_tries_an_account_that_is_due_and_one_that_is_cut_short_leaves_it_to_the_next(
    hall: Hall, nanokimi_clock: FakeClock
) -> None:
    one, two = hall.account(), hall.account()
    await hall.fail(one)
    await nanokimi_clock.advance(400)
    with one.paying():
        assert await hall.payer(one) == "a"
        assert await hall.payer(one) == "a"  # a turn asks more than once
        with two.paying():
            assert await hall.payer(two) == "b"
    with two.paying():
        assert await hall.payer(two) == "a"
        two.worked()
    assert hall.standings.down("a") is None


async def test_each_trial_in_vain_makes_the_next_one_later_and_a_late_failure_of_an_old_turn_does_not(
    hall: Hall, nanokimi_clock: FakeClock
) -> None:
    accounts = [hall.account() for _ in range(4)]
    for account in accounts:
        account._paying = True  # they all run when the first one fails
        await account.grant(NEED)
    for account in accounts:
        account.failed(refusal(Failure.QUOTA))
    first = hall.standings.down("a")
    assert first is not None
    assert first.times == 1
    await nanokimi_clock.advance(310)
    await hall.fail(hall.account())
    second = hall.standings.down("a")
    assert second is not None
    assert second.until - anyio.current_time() > 500
    assert second.since == first.since


async def test_where_all_are_down_the_first_that_is_due_is_tried_and_the_others_hear_why_none_works(
    hall: Hall, nanokimi_clock: FakeClock
) -> None:
    one, two = hall.account(), hall.account()
    await hall.fail(one)
    await hall.fail(one, Failure.CREDENTIALS)
    with pytest.raises(NoAccount, match="a: refused for quota; b: refused for credentials") as raised:
        await two.grant(NEED)
    assert raised.value.lost == ["b"]
    assert raised.value.failure.kind is Failure.QUOTA
    await nanokimi_clock.advance(3)
    with one.paying(), two.paying():
        assert [await hall.payer(one), await hall.payer(two)] == ["a", "b"]
        with pytest.raises(NoAccount):
            await hall.account().grant(NEED)


async def test_an_account_that_hangs_or_breaks_is_named_and_is_asked_again_only_now_and_then(
    hall: Hall, nanokimi_clock: FakeClock
) -> None:
    class Broken(Purse):
        calls = 0

        async def grant(self, need: Need) -> Grant:
            self.calls += 1
            raise KeyError("torn")

    broken = hall.purses["a"] = Broken()
    for _ in range(5):
        assert await hall.payer(hall.account()) == "b"
    assert broken.calls == 1
    with pytest.raises(AccountFault, match='the account "a" has a fault: KeyError'):
        await hall.account("a").grant(NEED)
    await nanokimi_clock.advance(70)
    assert await hall.payer(hall.account()) == "b"
    assert 1 <= broken.calls - 1 <= 2


async def test_an_account_that_is_away_names_its_time_and_nobody_needs_to_log_in(hall: Hall) -> None:
    hall.a.trouble = AccountAway("the login server is busy")
    with pytest.raises(LoginNeeded, match="a: the login server is busy") as raised:
        await hall.account("a").grant(NEED)
    assert isinstance(raised.value, NoAccount)
    assert raised.value.lost == []


async def test_a_chat_without_any_account_is_told_what_to_set(hall: Hall) -> None:
    with pytest.raises(NoAccount, match=r'no account is chosen; set auth = "apikey"'):
        await Account(list, lambda secret: None, hall.standings).grant(NEED)


async def test_an_account_that_comes_back_while_its_turn_fails_leaves_the_turns_own_error(hall: Hall) -> None:
    account = hall.account("a")
    with account.paying():
        await account.grant(NEED)
        account.failed(refusal(Failure.CREDENTIALS))
        hall.standings.restored("a")
        none = account.none()
    assert isinstance(none, NoAccount)
    assert str(none.failure) == "refused for credentials"


# --------------------------------------------------------------------- what brings one back
async def test_a_status_that_was_fine_all_the_while_brings_nothing_back(hall: Hall, nanokimi_clock: FakeClock) -> None:
    async with hall.watched():
        hall.a.states = AuthStatus("ok")
        await hall.fail(hall.account())
        await nanokimi_clock.advance(30)
        assert hall.standings.names_down() == ("a",)
        assert 8 <= hall.a.looks <= 14
        hall.a.states = AuthStatus("out_of_quota")
        await nanokimi_clock.advance(5)
        hall.a.states = AuthStatus("expiring")
        await nanokimi_clock.advance(5)
        assert hall.standings.names_down() == ()
        looks = hall.a.looks
        await nanokimi_clock.advance(30)
        assert hall.a.looks == looks  # nothing is down


async def test_a_lost_login_is_back_when_the_account_gives_a_grant_and_not_for_what_it_says(
    hall: Hall, nanokimi_clock: FakeClock
) -> None:
    account = hall.account()
    async with hall.watched():
        hall.a.trouble, hall.a.states = lost(), AuthStatus("ok")
        assert await hall.payer(account) == "b"
        await nanokimi_clock.advance(30)
        assert hall.standings.names_down() == ("a",)
        assert ("a", True) not in hall.changes
        hall.a.states = AuthStatus("login_needed")
        await nanokimi_clock.advance(5)
        hall.a.trouble, hall.a.states = None, AuthStatus("ok")
        await nanokimi_clock.advance(5)
        assert hall.standings.names_down() == ()


@pytest.mark.parametrize("trouble", [AccountAway("busy"), KeyError("torn")])
async def test_an_account_that_was_away_or_broken_is_back_without_a_turn(
    hall: Hall, nanokimi_clock: FakeClock, trouble: Exception
) -> None:
    async with hall.watched():
        hall.a.trouble = trouble
        await hall.payer(hall.account())
        await nanokimi_clock.advance(200)
        assert hall.standings.names_down() == ("a",)
        hall.a.trouble = None
        await nanokimi_clock.advance(300)
        assert hall.standings.names_down() == ()


async def test_an_account_that_does_not_say_how_it_stands_keeps_no_other_from_coming_back(
    hall: Hall, nanokimi_clock: FakeClock
) -> None:
    class Mute(Purse):
        async def status(self) -> AuthStatus:
            self.looks += 1
            if self.looks % 2:
                raise KeyError("torn")
            await anyio.sleep_forever()
            raise AssertionError

    hall.purses["a"] = mute = Mute("sk-canary-of-a")
    account = hall.account()
    async with hall.watched():
        hall.b.states = AuthStatus("out_of_quota")
        await hall.fail(account)
        await hall.fail(account)
        await nanokimi_clock.advance(30)
        hall.b.states = AuthStatus("ok")
        await nanokimi_clock.advance(30)
        assert hall.standings.names_down() == ("a",)
        assert mute.looks > 3


async def test_what_came_back_since_a_moment_is_known_by_name(hall: Hall) -> None:
    moment = hall.standings.moment
    assert not hall.standings.ended_since(moment, ["a", "b"])
    hall.standings.restored("a")
    assert hall.standings.ended_since(moment, ["a", "b"])
    assert not hall.standings.ended_since(moment, ["b"])
    assert not hall.standings.ended_since(hall.standings.moment, ["a"])


async def test_looking_for_the_next_grant_tries_nothing_and_counts_for_nothing(
    hall: Hall, nanokimi_clock: FakeClock
) -> None:
    account = hall.account()
    await hall.fail(account)
    await nanokimi_clock.advance(400)
    assert await account.next_fingerprint() == f"b:{hall.b._fingerprint('sk-canary-of-b')}-0"
    with account.paying():
        assert await hall.payer(account) == "a"
