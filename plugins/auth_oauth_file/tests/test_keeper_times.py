"""When a refresh is due: before the agents think so, whatever the clocks do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from nanokimi_auth_oauth_file.disk.login import Login
from nanokimi_auth_oauth_file.keeping.server_refresher import ServerRefresher
from nanokimi_auth_oauth_file.keeping.timing import Clock, Span
from testbed.context import PluginContext
from testbed.kept import Kept, text, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def agents_refresh_at(life: float) -> float:
    """The agents' rule: due when less than max(300 s, half of its life) are left."""
    return life - max(300.0, life / 2)


@given(life=st.floats(min_value=1, max_value=10**7), jitter=st.floats(0, 1))
def test_the_keeper_comes_before_the_agents_and_never_at_once(life: float, jitter: float) -> None:
    context = PluginContext(Path(), "oauth_file")
    due = ServerRefresher(context, "https://auth.invalid", Clock()).due_at(life, jitter)
    assert life * 0.17 < due <= life * 0.45
    assert due < agents_refresh_at(life) or life < 400


async def test_it_refreshes_before_half_of_the_life_and_not_before_a_third(kept: Kept) -> None:
    kept.log_in(900)
    async with kept.running(kept.keeper()):
        await until(lambda: kept.seen)
        kept.times.go(360)
        assert await nothing_happens(kept)
        kept.times.go(50)
        await until(lambda: kept.cloud.refreshes == 1)
    assert kept.spendable


async def test_the_moment_differs_from_one_time_to_the_next(kept: Kept) -> None:
    moments = set()
    for _ in range(5):
        issued = kept.log_in(900)["expires_at"] - 900
        keeper = kept.keeper()
        async with kept.running(keeper):
            await until(lambda keeper=keeper: keeper.state.next_refresh is not None)
        state = keeper.state
        assert state.next_refresh is not None
        moments.add(round(state.next_refresh.timestamp() - issued, 1))
    assert len(moments) > 1
    assert 364 <= min(moments) <= max(moments) <= 406


async def test_after_a_sleep_in_which_the_steady_clock_stood_still_it_refreshes_at_the_next_look(kept: Kept) -> None:
    kept.log_in(900)
    async with kept.running(kept.keeper()):
        await until(lambda: kept.seen)
        kept.times.wall += 3600
        await until(lambda: kept.cloud.refreshes == 1)
        assert await nothing_happens(kept)


async def test_a_clock_that_is_set_back_delays_no_refresh(kept: Kept) -> None:
    kept.log_in(900)
    keeper = kept.keeper()
    async with kept.running(keeper):
        await until(lambda: kept.seen)
        kept.times.wall -= 86_400
        assert await nothing_happens(kept)
        kept.times.go(410)
        await until(lambda: kept.cloud.refreshes == 1)
        assert await nothing_happens(kept)
    kept.times.go(901)
    await keeper.fresh()
    assert kept.cloud.refreshes == 2


async def test_a_clock_that_is_set_forward_costs_one_refresh_and_no_more(kept: Kept) -> None:
    kept.log_in(900)
    async with kept.running(kept.keeper()):
        await until(lambda: kept.seen)
        kept.times.wall += 86_400 * 365
        await until(lambda: kept.cloud.refreshes == 1)
        assert await nothing_happens(kept)


async def test_a_clock_that_jumps_to_and_fro_makes_it_refresh_at_most_once_for_each_jump(kept: Kept) -> None:
    kept.log_in(900)
    async with kept.running(kept.keeper()):
        await until(lambda: kept.seen)
        for jump in (7200, -7200, 7200, -7200):
            kept.times.wall += jump
            await nothing_happens(kept)
    assert kept.cloud.oauth.refresh_requests <= 4


@pytest.mark.parametrize("skew", [-86_400, 86_400])
async def test_the_servers_clock_doesnt_matter(kept: Kept, skew: float) -> None:
    kept.cloud.oauth.skew = skew
    kept.log_in(-5)
    keeper = kept.keeper()
    async with kept.running(keeper):
        await until(lambda: kept.cloud.refreshes == 1)
        assert await nothing_happens(kept)
    assert abs(kept.read()["expires_at"] - kept.times.clock.wall() - 900) < 30


async def test_a_file_from_a_machine_with_another_clock_is_believed_only_in_its_lifetime(kept: Kept) -> None:
    kept.put(kept.cloud.new_login(900) | {"expires_at": 4_000_000_000})
    async with kept.running(kept.keeper()):
        await until(lambda: kept.seen)
        assert await nothing_happens(kept)
        kept.times.go(410)
        await until(lambda: kept.cloud.refreshes == 1)


async def test_a_token_whose_end_nobody_knows_is_refreshed_at_once(kept: Kept) -> None:
    login = kept.cloud.new_login(900)
    kept.put({name: login[name] for name in ("access_token", "refresh_token")})
    async with kept.running(kept.keeper()):
        await until(lambda: kept.cloud.refreshes == 1)
        assert await nothing_happens(kept)


async def test_a_token_that_lives_for_seconds_doesnt_make_it_hammer(kept: Kept) -> None:
    kept.log_in(20)
    keeper = kept.keeper()
    login = await keeper.fresh()
    async with kept.running(keeper):
        assert await nothing_happens(kept)
        for _ in range(5):
            assert text((await keeper.fresh()).access_token) == text(login.access_token)
    assert kept.cloud.refreshes == 0


def test_the_clock_that_says_less_is_believed() -> None:
    now = {"wall": 1000.0, "steady": 0.0}
    clock = Clock(lambda: now["wall"], lambda: now["steady"])
    span = Span(Login(SecretStr("a"), SecretStr("r"), 1900, 900), clock)
    assert span.rest() == 900
    now["wall"] += 100
    assert span.rest() == 800
    now["steady"] += 300
    assert span.rest() == 600
    now["wall"] -= 5000
    assert span.rest() == 600


async def nothing_happens(kept: Kept) -> bool:
    """Let the keeper look a few times, and say whether it did nothing."""
    before, asked = kept.cloud.oauth.token_requests, kept.times.asked
    await until(lambda: kept.times.asked > asked + 12)
    return kept.cloud.oauth.token_requests == before
