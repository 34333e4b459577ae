"""A ``kimi`` that somebody runs by hand on the folder of a running assistant: both refresh, and neither loses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_backend_kimi_docker.agents import AGENTS
from nanokimi_backend_kimi_docker.mounts import agent_user
from nanokimi_core import Need
from testbed.cloud import Cloud
from testbed.kimi import Bench
from testbed.login_road import Road

pytestmark = [pytest.mark.anyio, pytest.mark.engine, pytest.mark.timeout(240)]

LIVES = {"kimi-code": 6, "kimi-cli": 30}
"""Seconds of an access token: one that short is due for an agent whenever it looks, and soon for the keeper. kimi-cli
refreshes nothing where the file has become another one while it starts, so that it needs longer ones."""
BY_HAND = 3
IN_ALL = {"kimi-code": 16, "kimi-cli": 6}


@pytest.fixture(params=["kimi-code", "kimi-cli"])
def hand(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud, engine: Any) -> Iterator[Bench]:
    image = request.getfixturevalue("kimi_image" if request.param == "kimi-code" else "kimi_cli_image")
    bench = Bench(tmp_path, cloud, image, agent=request.param)
    yield bench
    bench.clean(engine)


async def test_a_kimi_run_by_hand_and_the_assistant_refresh_one_login_many_times_and_spend_no_token_twice(
    hand: Bench, engine: Any, tmp_path: Path
) -> None:
    cloud, account = hand.cloud, hand.login(expires_in=LIVES[hand.agent])
    need = Need(hand.agent, AGENTS[hand.agent].home, agent_user(rootless=False).outside)
    grant = await account.grant(need)
    (account.folder / "config.toml").touch()  # an agent's home has one
    site = tmp_path / "site"
    site.mkdir()
    road = Road(site, cloud, hand.image, agent=hand.agent, tables={"path": str(account.folder)})
    try:
        road.service.start()
        await anyio.to_thread.run_sync(road.says, "ann")
        await anyio.to_thread.run_sync(road.until_answered)
        async with hand.backend() as backend:
            for _ in range(4 * BY_HAND):
                with anyio.fail_after(60):
                    await backend.agent_commands().refresh(grant.mounts, grant.environment)
                if sent_by_hand(cloud) >= BY_HAND:
                    break
        await anyio.to_thread.run_sync(
            cloud.wait_until, lambda: cloud.refreshes >= IN_ALL[hand.agent], "the keeper goes on", 90
        )
        await anyio.to_thread.run_sync(road.says, "ann")
        await anyio.to_thread.run_sync(road.until_answered)
        assert road.told() == []
    finally:
        await anyio.to_thread.run_sync(road.clean, engine)
    assert cloud.oauth.reuses == 0
    assert sent_by_hand(cloud) >= BY_HAND
    assert cloud.refreshes - sent_by_hand(cloud) >= BY_HAND
    stored = account.file(hand.agent).read_text()
    assert any(cloud.oauth.can_refresh(token) for token in cloud.oauth.issued() if token in stored)
    assert account.file(hand.agent).stat().st_uid == need.user[0]


def sent_by_hand(cloud: Cloud) -> int:
    """How many refreshes the agent's own program has asked for."""
    return sum(
        one.path == "/api/oauth/token" and not one.headers["user-agent"].startswith("NanoKimi")
        for one in cloud.requests
    )
