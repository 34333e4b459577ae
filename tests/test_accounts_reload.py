"""Accounts that change while agents run: no agent keeps an old secret, no turn is lost, no conversation begins anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import AccountAway, AgentEvent, Failure, Text, Turn
from nanokimi_core.testing import FakeClock
from testbed.fakes import ScriptedSession, until
from testbed.purses import Bank, lost, refusal, standings

pytestmark = pytest.mark.anyio

CHATS = [f"c{number}" for number in range(10)]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest, nanokimi_clock: FakeClock) -> tuple[str, dict[str, Any]]:
    return nanokimi_clock.backend(request.param)


@pytest.fixture
def bank() -> Bank:
    return Bank()


# --------------------------------------------------------------------- no agent keeps an old secret
async def test_after_a_reload_unused_agents_of_the_old_account_go_at_once_and_busy_ones_right_after_their_turn(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    gate = bank.gates["busy"] = anyio.Event()
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock) as bot:
        await bot.says("idle", "idle")
        await bot.answer(30, "idle")
        await bot.says("busy", "busy")
        await until(lambda: len(bank.asked) == 2)
        assert await bot.reload({"auth": "b"}) == []
        await nanokimi_clock.settle()
        assert bank.brain.events[-1] == "leave net:idle"
        assert bank.brain.up == 1
        gate.set()
        assert (await bot.answer(30, "busy")).text == "a: busy"
        await nanokimi_clock.settle()
        assert bank.brain.up == 0
        for chat in ("idle", "busy"):
            await bot.says("again", chat)
            assert (await bot.answer(30, chat)).text == "b: again"


async def test_agents_whose_account_has_not_changed_stay_up_over_a_reload(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock) as bot:
        await bot.says("one")
        await bot.answer(30)
        await bot.reload({"language": "es"})
        await nanokimi_clock.advance(30)
        assert bank.brain.events == ["enter net:desk"]


@pytest.mark.parametrize("change", ["another key", "no key any more"])
async def test_an_unused_agent_with_a_key_that_another_process_has_changed_goes_within_seconds(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank, change: str
) -> None:
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock) as bot:
        await bot.says("one")
        await bot.answer(30)
        if change == "another key":
            bank.purses["a"].change("sk-canary-of-a2")
        else:
            bank.purses["a"].lose()
        await nanokimi_clock.advance(15)
        await until(lambda: bank.brain.up == 0)


async def test_when_a_chain_moves_on_unused_agents_of_the_lost_account_go_at_once(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        for chat in ("one", "two"):
            await bot.says("hello", chat)
            await bot.answer(30, chat)
        bank.refuses["a"] = refusal(Failure.QUOTA)
        await bot.says("hello", "two")
        assert (await bot.answer(30, "two")).text == "b: hello"
        await nanokimi_clock.settle()
        assert "leave net:one" in bank.brain.events
        assert bank.brain.events.count("enter net:one") == 1


async def test_an_account_that_is_away_for_a_moment_keeps_its_agents(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock) as bot:
        await bot.says("one")
        await bot.answer(30)
        bank.purses["a"].trouble = AccountAway("busy")
        await nanokimi_clock.advance(40)
        assert bank.brain.events == ["enter net:desk"]


# --------------------------------------------------------------------- nothing is lost
async def test_ten_turns_that_run_over_a_reload_are_answered_and_each_second_answer_cites_the_first(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    gate = anyio.Event()

    async def citing(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text(f"{bank.payer(session)}: ")
        if not gate.is_set():
            await session.wait(gate)
        yield Text("+".join(message.text for each in session.remembered(turn) for message in each.messages))

    bank.brain.answer = citing
    limits = {"limits": {"max_turns": 10, "max_warm": 10}}
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock, toml=limits) as bot:
        for chat in CHATS:
            await bot.says(f"first of {chat}", chat)
        await until(lambda: len(bank.brain.prompts) == 10)
        before = bot.assistant
        assert await bot.reload({"auth": "b"}) == []
        for chat in CHATS:
            await bot.says(f"second of {chat}", chat)
        gate.set()
        for chat in CHATS:
            assert (await bot.answer(30, chat)).text == f"a: first of {chat}"
            assert (await bot.answer(30, chat)).text == f"b: first of {chat}+second of {chat}"
        assert bot.assistant is before
        assert await bot.dead_letters() == []
        assert bot.told == []


# --------------------------------------------------------------------- whose account it is
async def test_each_chat_is_paid_by_the_instance_that_its_table_names_also_after_a_reload(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    chats = {"net:office": {"auth": "work"}, "net:flat": {"auth": ["home", "a"]}, "net:*": {}}
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock, toml={"chats": chats}) as bot:

        async def payers() -> list[str]:
            paid = []
            for chat in ("office", "flat", "desk"):
                await bot.says("who", chat)
                paid.append((await bot.answer(30, chat)).text.partition(":")[0])
            return paid

        assert await payers() == ["work", "home", "a"]
        seats = bot.assistant.conversation.seats
        assert {name: seats.served(name) for name in ("work", "home", "a", "b")} == {
            "work": 1,
            "home": 1,
            "a": 1,
            "b": 0,
        }
        moved = {"net:office": {"auth": "home"}, "net:flat": {"auth": ["work", "a"]}, "net:*": {}}
        assert await bot.reload({"chats": moved, "auth": "b"}) == []
        assert await payers() == ["home", "work", "b"]
        assert {name: seats.served(name) for name in ("work", "home", "a", "b")} == {
            "work": 1,
            "home": 1,
            "a": 0,
            "b": 1,
        }
        bank.purses["home"].trouble = lost()
        assert (await payers())[1:] == ["work", "b"]
        assert standings(bot).names_down() == ("home",)


async def test_an_account_that_was_down_is_used_again_after_a_reload(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bank.refuses["a"] = refusal(Failure.QUOTA)
        await bot.says("one")
        assert (await bot.answer(30)).text == "b: one"
        bank.refuses.clear()
        await bot.reload({})
        await bot.says("two")
        assert (await bot.answer(30)).text == "a: two"
