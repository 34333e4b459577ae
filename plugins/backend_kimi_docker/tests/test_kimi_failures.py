"""Each way in which a turn fails with the real kimi-code, and the name that it gets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio
import pytest

from nanokimi_backend_kimi_docker.agents import AGENTS, KimiCode
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_core import Failure, Session
from testbed.cloud import CallTool, Cloud, Drop, Fail, Say
from testbed.kimi import Bench, ask, events, failure

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

USAGE_LIMIT = "You've reached your usage limit for this billing cycle. Your quota will be refreshed in the next cycle."
NO_BALANCE = "Your account is suspended, please check your plan and billing details"


@dataclass(frozen=True)
class Way:
    """How the model's server fails, and what comes of it."""

    reply: Fail | Drop | Say
    kind: Failure
    detail: str
    remedy: str = ""
    wait: timedelta | None = None


NO_MEMBERSHIP = "We're unable to verify your membership benefits at this time."
TOO_FAST = "Your account org-1<ak-2> request reached organization max RPM: 3, please try again after 42 seconds"
TOMORROW = "You exceeded your current quota, which resets in 20 hours 30 minutes"
WAYS = {
    "401": Way(Fail(401, "invalid_authentication_error", "Invalid Authentication"), Failure.CREDENTIALS, "401"),
    "402": Way(Fail(402, "payment_required", NO_MEMBERSHIP), Failure.QUOTA, "balance is used up", "top up"),
    "403": Way(Fail(403, "permission_denied_error", "no permission"), Failure.CREDENTIALS, "may not do this", "plan"),
    "403 of a quota": Way(
        Fail(403, "access_terminated_error", USAGE_LIMIT), Failure.QUOTA, "usage limit", "plan's quota"
    ),
    "404": Way(Fail(404, "resource_not_found_error", "no such model"), Failure.MODEL, "404", '"kimi-for-coding"'),
    "429": Way(Fail(429, "rate_limit_reached_error", "slow down"), Failure.RATE_LIMIT, "429"),
    "429 of a quota": Way(Fail(429, "exceeded_current_quota_error", NO_BALANCE), Failure.QUOTA, "429"),
    "429 that says when": Way(
        Fail(429, "rate_limit_reached_error", TOO_FAST),
        Failure.RATE_LIMIT,
        "fewer requests",
        "nothing, if it passes",
        timedelta(seconds=42),
    ),
    "429 of a quota that says when": Way(
        Fail(429, "exceeded_current_quota_error", TOMORROW),
        Failure.QUOTA,
        "account's quota is used up",
        "wait until the quota is renewed",
        timedelta(hours=20, minutes=30),
    ),
    "500": Way(Fail(500, "server_error", "it broke"), Failure.NO_ANSWER, "500 it broke"),
    "503": Way(Fail(503, "server_error", "it is busy"), Failure.RATE_LIMIT, "503", "overloaded"),
    "a cut connection": Way(Drop("half an"), Failure.RATE_LIMIT, "terminated", "away"),
    "an empty answer": Way(Say(""), Failure.NO_ANSWER, "empty response"),
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, kimi_image: str) -> Iterator[Bench]:
    with Cloud() as cloud:
        yield Bench(tmp_path_factory.mktemp("failures"), cloud, kimi_image)


@pytest.fixture(scope="module")
async def session(shared: Bench) -> AsyncIterator[Session]:
    async with shared.backend(max_attempts=2) as backend, backend.session(shared.chat()) as session:
        yield session


@pytest.fixture
def cloud(shared: Bench) -> Iterator[Cloud]:
    yield shared.cloud
    shared.cloud.always(None)


@pytest.mark.parametrize("name", WAYS)
async def test_a_failing_model_server_becomes_a_named_failure(name: str, cloud: Cloud, session: Session) -> None:
    way = WAYS[name]
    cloud.always(way.reply)
    error = await failure(session)
    assert (error.kind, way.detail in str(error), way.remedy in error.remedy) == (way.kind, True, True)
    assert way.wait is None or error.retry_after == way.wait
    cloud.always(None)
    assert "well?" in await ask(session, "well?")


async def test_only_what_the_account_is_refused_for_is_told_to_it(
    shared: Bench, cloud: Cloud, session: Session
) -> None:
    shared.key.rejections.clear()
    for status in (404, 401, 402):
        cloud.always(Fail(status, "some_error", "refused"))
        await failure(session)
    rejected, used_up = shared.key.rejections
    assert "401" in rejected
    assert "402" in used_up


async def test_a_rate_limit_says_how_long_to_wait_instead_of_waiting_in_silence(cloud: Cloud, session: Session) -> None:
    cloud.always(Fail(429, "rate_limit_reached_error", "slow down", headers={"retry-after": "900"}))
    with anyio.fail_after(30):
        error = await failure(session)
    assert error.kind is Failure.RATE_LIMIT
    assert error.retry_after is not None
    assert timedelta(seconds=800) < error.retry_after <= timedelta(seconds=900)


async def test_a_failure_after_the_agent_has_said_something_is_still_a_failure(cloud: Cloud, session: Session) -> None:
    cloud.script(CallTool("Bash", {"command": "true"}, text="Let me look."), Fail(404, "x", "gone"))
    assert (await failure(session)).kind is Failure.MODEL


async def test_a_failing_account_does_not_hide_why_the_turn_failed(
    shared: Bench, cloud: Cloud, session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def rejected(*_: object) -> None:
        raise RuntimeError("the account has a fault of its own")

    monkeypatch.setattr(shared.key, "rejected", rejected)
    cloud.always(Fail(401, "x", "Invalid Authentication"))
    assert (await failure(session)).kind is Failure.CREDENTIALS
    assert "the account of console:me failed to hear" in caplog.text


class Asking(KimiCode):
    """Asks before it uses a tool."""

    def settings(self, config: KimiDockerConfig) -> dict[str, Any]:
        return {**super().settings(config), "default_permission_mode": "manual"}


async def test_an_agent_that_asks_is_granted_its_wish(
    shared: Bench, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(AGENTS, "kimi-code", Asking())
    cloud.script(CallTool("Bash", {"command": "echo granted > /workspace/granted"}))
    chat = shared.chat("console:asking")
    async with shared.backend() as backend, backend.session(chat) as session:
        await events(session, "write")
    assert (chat.folder / "workspace" / "granted").read_text() == "granted\n"


class Mute(KimiCode):
    """Says nothing at a turn's end, as on an engine where a hook can't reach the container's standard error."""

    def settings(self, config: KimiDockerConfig) -> dict[str, Any]:
        return {**super().settings(config), "hooks": []}


async def test_a_turn_without_any_hook_still_ends(shared: Bench, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AGENTS, "kimi-code", Mute())
    async with shared.backend() as backend, backend.session(shared.chat("console:mute")) as session:
        for _ in range(2):
            assert await ask(session, "hello") == "heard: [Ana] hello"
        cloud.always(Fail(404, "x", "gone"))
        assert (await failure(session)).kind is Failure.NO_ANSWER
