"""No token is seen beside the containers in which an agent logs in, and refreshes a login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_backend_kimi_docker.agents import AGENTS
from nanokimi_backend_kimi_docker.mounts import agent_user
from nanokimi_core import Need, private_folder
from testbed.cloud import Cloud, Slow
from testbed.engine import connected
from testbed.kimi import SECONDS, Bench
from testbed.onlooker import Onlooker

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

PLANTED = ("PLANTED", "CANARY-that-a-test-planted")
"""Goes where a secret must not go, so that the test sees that its search finds it there."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["kimi-code", "kimi-cli"])
def each(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud, engine: Any) -> Iterator[Bench]:
    image = request.getfixturevalue("kimi_image" if request.param == "kimi-code" else "kimi_cli_image")
    bench = Bench(tmp_path, cloud, image, agent=request.param)
    yield bench
    bench.clean(engine)


async def test_no_token_is_seen_beside_the_containers_of_a_login_and_a_refresh(
    each: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    cloud = each.cloud
    caplog.set_level("INFO")
    servers = (("KIMI_CODE_OAUTH_HOST", cloud.oauth_host), ("KIMI_CODE_BASE_URL", cloud.base_url_coding), PLANTED)
    agent = AGENTS[each.agent]
    due = await each.login(expires_in=-10).grant(Need(agent.name, agent.home, agent_user(rootless=False).outside))
    with (
        connected() as client,
        Onlooker(client, lambda: each.containers(client)) as onlooker,
        anyio.fail_after(2 * SECONDS),
    ):
        async with each.backend() as backend:
            commands = backend.agent_commands()
            async with aclosing(commands.log_in(private_folder(each.root / "fresh"), servers)) as codes:  # type: ignore[type-var]
                async for code in codes:
                    cloud.oauth.approve(code.code)
            cloud.oauth.script(Slow(0.5))
            await commands.refresh(due.mounts, servers)
    assert len(onlooker.seen) == 2
    secrets = cloud.oauth.issued()
    assert len(secrets) == 6
    for views in onlooker.seen.values():
        assert any(PLANTED[1] in view for view in views)
        assert not [secret for secret in secrets if any(secret in view for view in views)]
    assert not [secret for secret in secrets if secret in caplog.text]
