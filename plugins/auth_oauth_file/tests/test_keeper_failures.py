"""What the login server does wrong, and what becomes of it: back-off, the old token, a word to the owner."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import anyio
import pytest

from nanokimi_auth_oauth_file.disk.login import LoginProblem
from nanokimi_core import AccountAway
from testbed.cloud_faults import Alter, DropAfter, DropBefore, Refuse, Strange
from testbed.kept import Kept, text, until

pytestmark = pytest.mark.anyio

BUSY = Refuse(503, "temporarily_unavailable", "busy")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


FAULTS = (
    Refuse(500, "server_error"),
    Refuse(429, "slow_down"),
    Refuse(403, "access_denied"),
    Refuse(401, "invalid_client"),
    Refuse(404, ""),
    Strange("<html>Welcome</html>"),
    Strange("<html>Moved</html>", 302),
    Strange([1, 2]),
    Strange({"access_token": 7, "refresh_token": ["x"], "expires_in": 900}),
    Strange({"access_token": "a b", "refresh_token": ""}),
    Strange("x" * 200_000),
    DropBefore(),
)


async def test_what_goes_wrong_at_the_server_leaves_the_login_as_it_was_and_the_old_token_in_use(kept: Kept) -> None:
    login = kept.log_in(900)
    keeper = kept.keeper()
    for fault in FAULTS:
        kept.cloud.oauth.script(fault)
        with pytest.raises(AccountAway):
            await keeper.renew(None)
        assert kept.read() == login
        assert keeper.state.failing_since is not None
        assert text((await keeper.fresh()).access_token) == login["access_token"]
    await keeper.renew(None)  # the next one works
    assert kept.spendable
    assert (keeper.state.kind, keeper.state.failing_since) == ("", None)


async def test_a_server_that_cant_be_reached_is_away_and_not_a_lost_login(kept: Kept) -> None:
    kept.log_in(-5)
    nowhere = Kept(kept.folder, kept.cloud, oauth_host="http://127.0.0.1:9", base_url=kept.cloud.base_url_coding)
    with pytest.raises(AccountAway, match="can't be reached"):
        await nowhere.keeper().fresh()
    assert kept.spendable


async def test_all_who_wait_share_a_failure_and_a_dead_token_is_not_asked_for_until_the_back_off_ends(
    kept: Kept,
) -> None:
    kept.log_in(-5)
    kept.cloud.oauth.always(Refuse(429, "slow_down", headers={"retry-after": "40"}))
    keeper = kept.keeper()
    for _ in range(3):
        with pytest.raises(AccountAway) as caught:
            await keeper.fresh()
    assert caught.value.retry_after is not None
    assert timedelta(seconds=30) < caught.value.retry_after < timedelta(seconds=45)
    assert kept.cloud.oauth.refresh_requests == 1
    kept.cloud.oauth.always(None)
    kept.times.go(45)
    assert kept.cloud.accepts(text((await keeper.fresh()).access_token))


@pytest.mark.parametrize("fault", [BUSY, Refuse()], ids=["busy", "refused"])
async def test_a_token_that_is_about_to_end_is_given_while_it_lives_where_there_is_no_new_one(
    kept: Kept, fault: Refuse
) -> None:
    login = kept.log_in(900)
    kept.cloud.oauth.always(fault)
    keeper = kept.keeper()
    await keeper.fresh()
    kept.times.go(880)
    for _ in range(2):
        assert text((await keeper.fresh()).access_token) == login["access_token"]
    assert kept.cloud.oauth.refresh_requests == 1
    kept.times.go(20)
    with pytest.raises(LoginProblem if fault is not BUSY else AccountAway):
        await keeper.fresh()


async def test_a_server_that_asks_for_a_year_is_asked_again_in_a_quarter_of_an_hour(kept: Kept) -> None:
    kept.log_in(-5)
    kept.cloud.oauth.script(Refuse(429, "slow_down", headers={"retry-after": "31536000"}))
    with pytest.raises(AccountAway) as caught:
        await kept.keeper().fresh()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after < timedelta(minutes=17)


async def test_each_failure_waits_longer_and_never_longer_than_a_minute(kept: Kept) -> None:
    kept.log_in(-5)
    kept.cloud.oauth.always(BUSY)
    keeper, pauses = kept.keeper(), []
    for _ in range(9):
        with pytest.raises(AccountAway) as caught:
            await keeper.fresh()
        assert caught.value.retry_after is not None
        pauses.append(caught.value.retry_after.total_seconds())
        kept.times.go(61)
    assert kept.cloud.oauth.refresh_requests == 9
    assert pauses[0] <= 2
    assert min(pauses[6:]) > 25
    assert max(pauses) <= 60


async def test_a_server_that_refuses_the_requests_is_asked_less_and_less_often(kept: Kept) -> None:
    kept.log_in(-5)
    kept.cloud.oauth.always(Refuse(403, "", "Only official clients"))
    keeper, pauses = kept.keeper(), []
    for _ in range(11):
        with pytest.raises(AccountAway) as caught:
            await keeper.fresh()
        assert caught.value.retry_after is not None
        pauses.append(caught.value.retry_after.total_seconds())
        kept.times.go(901)
    assert 400 < pauses[-1] <= 900


async def test_the_owner_hears_once_that_it_fails_for_minutes_and_once_that_it_works_again(kept: Kept) -> None:
    kept.cloud.oauth.always(BUSY)
    kept.log_in(900)
    keeper = kept.keeper()
    kept.times.go(500)
    async with kept.running(keeper):
        await until(lambda: keeper.state.kind == "away")
        kept.times.go(200)
        await until(lambda: kept.cloud.oauth.refresh_requests >= 2)
        assert kept.context.told == []
        kept.times.go(101)
        await until(lambda: kept.context.told)
        kept.times.go(180)
        asked = kept.times.asked
        await until(lambda: kept.times.asked > asked + 12)
        assert len(kept.context.told) == 1
        kept.cloud.oauth.always(None)
        while keeper.state.kind:
            kept.times.steady += 30
            await anyio.sleep(0.02)
        await until(lambda: len(kept.context.told) == 2)
    assert "has failed for 5 minutes; its access token ends in" in kept.context.told[0]
    assert "HTTP 503" in kept.context.told[0]
    assert kept.context.told[1] == "the Kimi login is refreshed again"


async def test_a_refused_login_is_asked_about_once_also_after_a_restart(kept: Kept) -> None:
    kept.log_in(-5)
    kept.cloud.oauth.revoke()
    first = kept.keeper()
    async with kept.running(first):
        await until(lambda: first.state.kind == "login_needed")
        for _ in range(3):
            with pytest.raises(LoginProblem) as caught:
                await first.fresh()
    assert caught.value.kind == "refused"
    assert "auth login" in str(caught.value)
    again = kept.keeper()
    async with kept.running(again):
        await until(lambda: again.state.kind == "login_needed")
    with pytest.raises(LoginProblem) as caught:
        await again.renew(None)
    assert caught.value.kind == "refused"
    assert kept.cloud.oauth.refresh_requests == 1
    assert kept.context.told == []  # the turn that fails of it brings the owner a code


async def test_the_owner_hears_of_a_refused_login_at_once_while_its_token_serves(kept: Kept) -> None:
    kept.log_in(900)
    kept.times.go(500)
    kept.cloud.oauth.script(Refuse())
    async with kept.running(kept.keeper()):
        await until(lambda: kept.context.told)
    [said] = kept.context.told
    assert "the login server refused the login in" in said
    assert "auth login" in said


async def test_after_a_refused_login_a_new_file_is_picked_up_without_a_restart(kept: Kept) -> None:
    kept.log_in(900)
    kept.times.go(500)
    kept.cloud.oauth.revoke()
    keeper = kept.keeper()
    async with kept.running(keeper):
        await until(lambda: kept.context.told)
        kept.log_in(-5)
        await until(lambda: keeper.state.kind == "")
        await until(lambda: len(kept.context.told) == 2)
    assert kept.cloud.accepts(kept.read()["access_token"])
    assert kept.context.told[1] == "the Kimi login is refreshed again"


async def test_a_refused_login_serves_while_its_token_lives_and_no_longer_than_it_is_accepted(kept: Kept) -> None:
    login = kept.log_in(900)
    keeper = kept.keeper()
    kept.cloud.oauth.script(Refuse())
    mark = keeper.mark(await keeper.fresh())
    with pytest.raises(LoginProblem):
        await keeper.renew(None)
    assert text((await keeper.fresh()).access_token) == login["access_token"]
    with pytest.raises(LoginProblem):
        await keeper.renew(mark)
    with pytest.raises(LoginProblem):
        await keeper.fresh()
    assert kept.cloud.oauth.refresh_requests == 1


async def test_who_was_faster_than_a_refused_refresh_is_believed(kept: Kept) -> None:
    """An agent without locks spends the token while the request is on its way, and writes a moment later."""
    kept.log_in(-5)

    class Racing(Refuse):
        def answer(self) -> Any:
            kept.log_in(900)
            return super().answer()

    kept.cloud.oauth.script(Racing())
    found = await kept.keeper().fresh()
    assert text(found.access_token) == kept.read()["access_token"]
    assert kept.cloud.oauth.refresh_requests == 1
    assert kept.context.told == []


async def test_who_was_faster_with_a_token_that_has_ended_is_refreshed_as_well(kept: Kept) -> None:
    kept.log_in(-5)

    class Racing(Refuse):
        def answer(self) -> Any:
            kept.log_in(-5)
            return super().answer()

    kept.cloud.oauth.script(Racing())
    found = await kept.keeper().fresh()
    assert kept.cloud.accepts(text(found.access_token))
    assert kept.cloud.oauth.refresh_requests == 2


async def test_a_login_brought_during_a_refresh_is_not_overwritten(kept: Kept) -> None:
    kept.log_in(-5)
    brought: list[dict[str, Any]] = []

    class Bringing(Alter):
        def apply(self, answer: Any) -> Any:
            brought.append(kept.log_in(900))
            return answer

    kept.cloud.oauth.script(Bringing())
    found = await kept.keeper().fresh()
    assert text(found.access_token) == brought[0]["access_token"] == kept.read()["access_token"]


async def test_a_login_that_an_agent_emptied_during_the_refresh_is_mended(kept: Kept) -> None:
    kept.log_in(-5)

    class Emptying(Alter):
        def apply(self, answer: Any) -> Any:
            kept.put(kept.read() | {"access_token": "", "refresh_token": "", "expires_at": 0})
            return answer

    kept.cloud.oauth.script(Emptying())
    await kept.keeper().fresh()
    assert kept.spendable


async def test_a_file_that_was_torn_during_the_refresh_is_mended(kept: Kept) -> None:
    kept.log_in(-5)

    class Tearing(Alter):
        def apply(self, answer: Any) -> Any:
            kept.file.write_text("{")
            return answer

    kept.cloud.oauth.script(Tearing())
    await kept.keeper().fresh()
    assert kept.spendable


async def test_a_file_that_would_grow_too_large_to_be_read_loses_what_nobody_knows(kept: Kept) -> None:
    login = kept.log_in(-5)
    kept.put(login | {"more": [0] * 20_000})
    await kept.keeper().fresh()
    assert "more" not in kept.read()
    assert kept.spendable


async def test_a_login_that_was_taken_away_during_the_refresh_stays_away(kept: Kept) -> None:
    kept.log_in(-5)

    class Removing(Alter):
        def apply(self, answer: Any) -> Any:
            kept.file.unlink()
            return answer

    kept.cloud.oauth.script(Removing())
    with pytest.raises(LoginProblem) as caught:
        await kept.keeper().fresh()
    assert caught.value.kind == "missing"
    assert not kept.file.exists()


async def test_of_a_strange_answer_the_refresh_token_is_kept_and_what_else_is_of_use(kept: Kept) -> None:
    kept.log_in(-5)
    keeper = kept.keeper()
    for fault in (
        Alter({"expires_in": "soon"}),
        Alter({"expires_in": -1}),
        Alter(without=frozenset({"expires_in"})),
        Alter({"expires_in": "900", "scope": 7}),
    ):
        kept.cloud.oauth.script(fault)
        assert kept.cloud.accepts(text((await keeper.renew(None)).access_token))
        assert kept.times.clock.wall() < kept.read()["expires_at"] < kept.times.clock.wall() + 901
        assert kept.spendable


async def test_an_answer_without_an_access_token_is_a_failure_that_keeps_the_new_refresh_token(kept: Kept) -> None:
    kept.log_in(-5)
    keeper = kept.keeper()
    for fault in (Alter({"access_token": None}), Alter({"access_token": "a\nb", "expires_in": True})):
        kept.cloud.oauth.script(fault)
        with pytest.raises(AccountAway, match="no token that is of use"):
            await keeper.renew(None)
        assert kept.spendable
    await keeper.renew(None)
    assert kept.cloud.refreshes == 3


async def test_an_answer_that_was_lost_is_said_to_be_the_cause(kept: Kept) -> None:
    kept.log_in(-5)
    kept.cloud.oauth.script(DropAfter())
    keeper = kept.keeper()
    with pytest.raises(AccountAway, match="gave no answer"):
        await keeper.fresh()
    kept.times.go(60)
    with pytest.raises(LoginProblem, match=r"spent by the refresh of .* whose answer was lost") as caught:
        await keeper.fresh()
    assert caught.value.kind == "refused"


async def test_a_refused_login_is_not_blamed_on_a_lost_answer_where_there_was_none(kept: Kept) -> None:
    kept.log_in(-5)
    keeper = kept.keeper()
    kept.cloud.oauth.script(Refuse(429, "slow_down"))
    with pytest.raises(AccountAway):
        await keeper.fresh()
    kept.cloud.oauth.revoke()
    kept.times.go(60)
    with pytest.raises(LoginProblem) as caught:
        await keeper.fresh()
    assert "spent" not in caught.value.cause


async def test_a_server_that_refuses_the_requests_and_not_the_login_names_the_other_refresher(kept: Kept) -> None:
    kept.log_in(-5)
    kept.cloud.oauth.always(Refuse(403, "", "Only official clients"))
    keeper = kept.keeper()
    with pytest.raises(AccountAway, match='refresher = "agent"'):
        await keeper.fresh()
    assert keeper.state.kind == "denied"
    assert kept.spendable


async def test_a_command_says_what_is_wrong_by_its_error_alone_and_a_keeper_that_runs_then_says_it(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    kept.log_in(-5)
    keeper = kept.keeper()
    kept.cloud.oauth.script(Refuse(503, "server_error", "busy"))
    with pytest.raises(AccountAway, match="HTTP 503"):
        await keeper.renew(None)
    kept.cloud.oauth.revoke()
    with pytest.raises(LoginProblem):
        await keeper.renew(None)

    def said() -> list[str]:  # asyncio says which selector it uses, where another test has left its level low
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    assert (said(), kept.context.told) == ([], [])
    async with kept.running(keeper):
        await until(said)
    assert said() == [keeper.state.cause]
