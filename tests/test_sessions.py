"""Warm sessions: who stays, who leaves, and who waits."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from nanokimi_core import AgentError, Chat, Failure, Session
from nanokimi_core.config import Settings
from nanokimi_core.conversation import sessions
from nanokimi_core.conversation.accounts.chain import Account
from nanokimi_core.conversation.sessions import SessionPool
from testbed.fakes import ScriptedBackend

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Held:
    """A pool of ``cap`` sandboxes over a scripted backend."""

    def __init__(self, pool: SessionPool, brain: ScriptedBackend) -> None:
        self.pool = pool
        self.brain = brain
        self.accounts: dict[str, Account] = {}

    @asynccontextmanager
    async def use(self, name: str, sandbox: str | None = None) -> AsyncIterator[None]:
        account = self.accounts.setdefault(name, Account(list, lambda secret: None))
        chat = Chat(name, name, "direct", Path("/nowhere"), account, sandbox or name)
        async with self.pool.use(chat, account, "brain", self.brain):
            yield

    async def turn(self, name: str, sandbox: str | None = None) -> None:
        async with self.use(name, sandbox):
            pass


@asynccontextmanager
async def held(cap: int, idle_timeout: float = 60) -> AsyncIterator[Held]:
    async def room(backend: str) -> int:
        return cap

    brain = ScriptedBackend()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            log = logging.getLogger("test")
            limits = {"idle_timeout": idle_timeout, "turn_silence": 0.2}
            settings = Settings.model_validate({"limits": limits})
            pool = SessionPool(lambda: settings, room=room, log=log)
            pool.open(tasks)
            yield Held(pool, brain)
            await pool.leave_all()
            tasks.cancel_scope.cancel()


async def test_an_unused_session_leaves_by_itself() -> None:
    async with held(4, idle_timeout=0.05) as given:
        await given.turn("a")
        assert given.brain.up == 1
        while given.brain.up:
            await anyio.sleep(0.01)
        await given.turn("a")
        assert given.brain.events == ["enter a", "leave a", "enter a"]


async def test_a_busy_session_never_leaves_for_being_idle() -> None:
    async with held(4, idle_timeout=0.01) as given, given.use("a"):
        await anyio.sleep(0.1)
        assert given.brain.up == 1


async def test_a_session_whose_idle_time_ends_during_a_later_use_leaves_after_that_use() -> None:
    async with held(4, idle_timeout=0.05) as given:
        await given.turn("a")
        async with given.use("a"):
            await anyio.sleep(0.2)
            assert given.brain.events == ["enter a"]
        while given.brain.up:
            await anyio.sleep(0.01)


async def test_at_the_cap_the_least_recently_used_leaves_first() -> None:
    async with held(2) as given:
        for name in ("a", "b", "a", "c"):
            await given.turn(name)
        assert given.brain.events == ["enter a", "enter b", "leave b", "enter c"]
        assert given.brain.most_up == 2


async def test_a_busy_session_is_never_put_out_for_another() -> None:
    async with held(1) as given, anyio.create_task_group() as tasks:
        async with given.use("a"):
            tasks.start_soon(given.turn, "b")
            await anyio.sleep(0.05)
            assert given.brain.events == ["enter a"]
        while given.brain.events[-1] != "enter b":
            await anyio.sleep(0.01)
        assert given.brain.events == ["enter a", "leave a", "enter b"]


async def test_chats_of_one_sandbox_take_one_place() -> None:
    async with held(1) as given, given.use("a", "home"), given.use("b", "home"):
        assert given.brain.up == 2


async def test_a_sandbox_leaves_as_a_whole() -> None:
    async with held(1) as given:
        await given.turn("a", "home")
        await given.turn("b", "home")
        await given.turn("c")
        assert sorted(given.brain.events[2:4]) == ["leave a", "leave b"]


async def test_a_session_that_cannot_be_entered_gives_its_place_back() -> None:
    async with held(1) as given:
        given.brain.fail_to_enter = [AgentError(Failure.ENGINE, "no engine")]
        with pytest.raises(AgentError, match="no engine"):
            await given.turn("a")
        await given.turn("b")
        assert given.brain.events == ["enter b"]


async def test_a_turn_cancelled_while_waiting_for_room_leaves_nothing_behind() -> None:
    async with held(1) as given:
        async with given.use("a"):
            with anyio.move_on_after(0.05):
                await given.turn("b")
        await given.turn("c")
        assert given.brain.events == ["enter a", "leave a", "enter c"]


async def test_many_chats_over_a_small_cap_all_get_their_turn() -> None:
    async with held(3, idle_timeout=0.01) as given:
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(given.turn, f"c{number}")
        assert sum(event.startswith("enter") for event in given.brain.events) == 40
        assert given.brain.most_up <= 3


async def test_an_agent_that_does_not_come_up_is_given_up_and_gives_its_place_back() -> None:
    class Hanging(ScriptedBackend):
        @asynccontextmanager
        async def session(self, chat: Chat) -> AsyncIterator[Session]:
            if chat.id == "a":
                await anyio.sleep_forever()
            async with super().session(chat) as session:
                yield session

    async with held(1) as given:
        given.brain = Hanging()
        with pytest.raises(AgentError, match="not up within"):
            await given.turn("a")
        await given.turn("b")
        assert given.brain.events == ["enter b"]


async def test_a_session_that_hangs_on_leaving_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clinging(ScriptedBackend):
        @asynccontextmanager
        async def session(self, chat: Chat) -> AsyncIterator[Session]:
            async with super().session(chat) as session:
                yield session
                if chat.id == "a":
                    await anyio.sleep_forever()

    monkeypatch.setattr(sessions, "_LEAVING", 0.05)
    async with held(1) as given:
        given.brain = Clinging()
        await given.turn("a")
        await given.turn("b")
        assert given.brain.events == ["enter a", "leave a", "enter b"]
