"""A chain of accounts: the next one takes over within the turn, for all chats, and the first comes back by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import AccountAway, AuthStatus, Failure
from nanokimi_core.conversation import catalogue
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.testing import Bot, FakeClock
from nanokimi_core.testing.agent import NEED
from testbed.fakes import until
from testbed.purses import Bank, lost, refusal, standings, told_of_accounts

pytestmark = pytest.mark.anyio

MINUTE = 60
TROUBLES: dict[str, Callable[[], BaseException]] = {
    "login": lost,
    "away": lambda: AccountAway("the login server is busy"),
    "fault": lambda: KeyError("torn"),
}
SERVER = {"refused": Failure.CREDENTIALS, "used up": Failure.QUOTA}
EVERY = [*TROUBLES, *SERVER]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest, nanokimi_clock: FakeClock) -> tuple[str, dict[str, Any]]:
    return nanokimi_clock.backend(request.param)


@pytest.fixture
def bank() -> Bank:
    return Bank()


def bring_down(bank: Bank, name: str, how: str) -> None:
    if how in SERVER:
        bank.refuses[name] = refusal(SERVER[how])
    else:
        bank.purses[name].trouble = TROUBLES[how]()


def bring_back(bank: Bank, name: str) -> None:
    bank.refuses.pop(name, None)
    bank.purses[name].trouble = None


async def ask(bot: Bot, text: str, chat: str = "desk") -> str:
    await bot.says(text, chat)
    return (await bot.answer(30, chat)).text


# --------------------------------------------------------------------- taking over
@pytest.mark.parametrize("how", EVERY)
async def test_the_next_account_takes_over_within_the_turn_and_for_all_chats_and_the_owner_is_told_once(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank, how: str
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        assert await ask(bot, "one") == "a: one"
        bring_down(bank, "a", how)
        assert await ask(bot, "two") == "b: two"
        bank.asked.clear()
        for chat in ("desk", "club", "hall"):
            assert await ask(bot, "three", chat) == "b: three"
        assert bank.asked == ["b", "b", "b"]
        [said] = told_of_accounts(bot)
        assert said.startswith("My account a can't be used, so b pays until it can: ")
        cause = {"login": "nanokimi auth login", "away": "is busy", "fault": 'account "a" has a fault: KeyError: '}
        assert cause.get(how, f"refused for {getattr(SERVER.get(how), 'value', '')}; mend it") in said
        assert bot.network.texts("desk") == ["a: one", "b: two", "b: three"]
        assert "a" in standings(bot).names_down()


async def test_a_refused_grant_is_tried_once_more_on_the_same_account_and_used_up_quota_is_not(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", "c", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", "refused")
        bring_down(bank, "b", "used up")
        assert await ask(bot, "one") == "c: one"
        assert bank.asked == ["a", "a", "b", "c"]


async def test_the_owner_is_told_of_each_account_once_also_when_another_one_fails_after_it(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", "c", clock=nanokimi_clock) as bot:
        for name, payer in (("a", "b"), ("b", "c")):
            bring_down(bank, name, "used up")
            for text in ("one", "two"):
                assert await ask(bot, text) == f"{payer}: {text}"
        assert [text.split()[2] for text in told_of_accounts(bot)] == ["a", "b"]


async def test_an_account_that_fails_in_the_middle_of_an_answer_leaves_it_to_the_next_without_a_word_to_the_chat(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", "used up")
        bank.words = "well, "
        assert await ask(bot, "one") == "b: one"
        assert bank.asked == ["a", "b"]
        await bot.chat().stays_silent()


async def test_where_no_account_works_the_chat_hears_it_once_and_nothing_is_lost(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", "refused")
        bring_down(bank, "b", "used up")
        assert await ask(bot, "one") == catalogue.held(Failure.CREDENTIALS, "en")
        await bot.says("two")
        await nanokimi_clock.advance(15 * MINUTE)
        assert bot.chat().shown == [catalogue.held(Failure.CREDENTIALS, "en")]
        held = [text for text in bot.told if "are kept unanswered" in text]
        assert len(held) == 1
        assert "a: refused for credentials; b: refused for quota; mend it" in held[0]
        bring_back(bank, "b")
        await nanokimi_clock.advance(10 * MINUTE)
        assert (await bot.answer()).text == "b: one+two"


# --------------------------------------------------------------------- going back
@pytest.mark.parametrize("how", EVERY)
async def test_the_first_account_serves_again_by_itself_and_the_owner_is_told_once(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank, how: str
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", how)
        assert await ask(bot, "one") == "b: one"
        bring_back(bank, "a")
        await nanokimi_clock.advance(6 * MINUTE)
        for text in ("two", "three"):
            assert await ask(bot, text) == f"a: {text}"
        fell, back = told_of_accounts(bot)
        assert "can't be used" in fell
        assert back == phrase("en", "owner_account_back", id="a")
        assert standings(bot).names_down() == ()


async def test_a_lost_login_that_is_there_again_serves_the_next_turn(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", "login")
        assert await ask(bot, "one") == "b: one"
        bring_back(bank, "a")
        assert await ask(bot, "two") == "a: two"


@pytest.mark.parametrize("how", SERVER)
async def test_another_key_ends_the_standing_of_the_refused_one_at_once(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank, how: str
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", how)
        assert await ask(bot, "one") == "b: one"
        bank.purses["a"].change("sk-canary-of-a-new-one")
        assert await ask(bot, "two") == "a-new-one: two"


async def test_another_login_behind_the_same_fingerprint_is_tried_at_once(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", "used up")
        assert await ask(bot, "one") == "b: one"
        bank.refuses.clear()
        bank.purses["a"].mark = "another login"
        assert await ask(bot, "two") == "a: two"


async def test_a_token_that_is_renewed_again_and_again_does_not_have_a_used_up_account_tried_each_time(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", "used up")
        for number in range(12):
            bank.purses["a"].mark = f"token {number}"
            assert await ask(bot, "one") == "b: one"
        assert bank.asked.count("a") == 2


@pytest.mark.parametrize("how", SERVER)
async def test_each_of_an_accounts_keys_is_tried_in_the_turn_that_fails_and_none_of_them_in_the_next_ones(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank, how: str
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bank.purses["a"].notes = 3
        bring_down(bank, "a", how)
        assert await ask(bot, "one") == "b: one"
        assert bank.asked.count("a") == 3
        bank.asked.clear()
        for chat in ("desk", "club", "hall", "desk"):
            bank.purses["a"].number += 1
            assert await ask(bot, "two", chat) == "b: two"
        assert bank.asked == ["b"] * 4


@pytest.mark.parametrize("notes", [3, 1_000_000])
async def test_an_account_that_gives_another_key_each_time_is_not_tried_without_end(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank, notes: int
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bank.purses["a"].notes, bank.purses["a"].restless = notes, True
        bring_down(bank, "a", "used up")
        assert await ask(bot, "one") == "b: one"
        assert bank.asked.count("a") <= 20


async def test_an_account_whose_status_becomes_fine_serves_again_within_seconds(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", "used up")
        bank.purses["a"].states = AuthStatus("out_of_quota")
        assert await ask(bot, "one") == "b: one"
        await nanokimi_clock.advance(10)
        assert await ask(bot, "two") == "b: two"
        bring_back(bank, "a")
        bank.purses["a"].states = AuthStatus("ok")
        await nanokimi_clock.advance(10)
        assert await ask(bot, "three") == "a: three"


async def test_an_account_that_says_it_is_fine_is_tried_by_one_turn_at_a_time_and_seldom(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", "used up")
        bank.purses["a"].states = AuthStatus("ok")
        assert await ask(bot, "one") == "b: one"
        await nanokimi_clock.advance(6 * MINUTE)
        bank.asked.clear()
        for number in range(6):
            await bot.says("two", f"c{number}")
        for number in range(6):
            assert (await bot.answer(30, f"c{number}")).text == "b: two"
        assert sorted(bank.asked) == ["a", *"bbbbbb"]
        bank.asked.clear()
        for _ in range(5):
            await nanokimi_clock.advance(9 * MINUTE)
            assert await ask(bot, "three") == "b: three"
        assert 1 <= bank.asked.count("a") <= 3
        assert len(told_of_accounts(bot)) == 1


async def test_used_up_quota_is_not_tried_before_the_time_that_the_server_named(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bank.refuses["a"] = refusal(Failure.QUOTA, retry_after=timedelta(minutes=12))
        assert await ask(bot, "one") == "b: one"
        bank.refuses.clear()
        await nanokimi_clock.advance(11 * MINUTE)
        assert await ask(bot, "two") == "b: two"
        await nanokimi_clock.advance(2 * MINUTE)
        assert await ask(bot, "three") == "a: three"


async def test_the_owner_hears_of_the_return_also_when_it_came_after_a_restart(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        for _ in range(2):
            bring_down(bank, "a", "used up")
            assert await ask(bot, "one") == "b: one"
            await bot.restart()
            assert await ask(bot, "one") == "b: one"
            bring_back(bank, "a")
            await bot.restart()
            assert await ask(bot, "one") == "a: one"
        said = told_of_accounts(bot)
    assert ["works again" in text for text in said] == [False, True, False, True]


# --------------------------------------------------------------------- lanes that wait
@pytest.mark.parametrize("how", ["refused", "used up"])
async def test_a_restored_account_answers_at_once_what_has_piled_up_in_order(
    tmp_path: Path, bank: Bank, how: str, nanokimi_clock: FakeClock
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bank.refuses = {name: refusal(SERVER[how], retry_after=timedelta(hours=9)) for name in ("a", "b")}
        for chat in ("desk", "club"):
            await ask(bot, "one", chat)
            await bot.says("two", chat)
            await bot.says("three", chat)
        await until(lambda: len(bot.assistant.conversation.lanes.held) == 2)
        bring_back(bank, "b")
        standings(bot).restored("b")
        for chat in ("desk", "club"):
            assert (await bot.answer(10, chat)).text == "b: one+two+three"


@pytest.mark.parametrize("how", ["login", "away", "refused"])
async def test_what_another_process_mends_is_noticed_and_the_chats_go_on(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank, how: str
) -> None:
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock) as bot:
        bring_down(bank, "a", how)
        if how == "refused":
            bank.refuses["a"] = refusal(Failure.CREDENTIALS, retry_after=timedelta(hours=9))
        if how == "login":
            bank.purses["a"].states = AuthStatus("login_needed")
        assert await ask(bot, "one") == catalogue.held(Failure.CREDENTIALS, "en")
        lanes = bot.assistant.conversation.lanes
        await until(lambda: bool(lanes.held))
        for _ in range(3 if how != "refused" else 0):  # so that it is held for longer than a look takes
            await nanokimi_clock.advance(60)
        await nanokimi_clock.advance(4)
        bring_back(bank, "a")
        bank.purses["a"].states = None
        if how == "refused":
            bank.purses["a"].change("sk-canary-of-a2")
        await nanokimi_clock.advance(61 if how == "away" else 7)
        assert (await bot.answer()).text.endswith(": one")


async def test_an_account_that_came_back_while_a_turn_was_failing_does_not_leave_its_chat_held(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock) as bot:
        bank.refuses["a"] = refusal(Failure.QUOTA, retry_after=timedelta(hours=9))
        first_in = bot.assistant.store.first_in

        async def slowly(key: str, seconds: float) -> bool:
            bring_back(bank, "a")
            standings(bot).restored("a")
            return await first_in(key, seconds)

        bot.assistant.store.first_in = slowly  # type: ignore[method-assign]
        await bot.says("one")
        assert (await bot.answer()).text == catalogue.held(Failure.QUOTA, "en")
        assert (await bot.answer()).text == "a: one"


async def test_where_no_account_works_one_chat_tries_for_all_and_its_first_word_frees_them(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    bank.gates["one"] = anyio.Event()
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock, toml={"limits": {"turn_silence": "1h"}}) as bot:
        bring_down(bank, "a", "used up")
        chats = [f"c{number}" for number in range(6)]
        for chat in chats:
            await bot.says("one", chat)
        await until(lambda: len(bot.assistant.conversation.lanes.held) == 6)
        bank.asked.clear()
        await nanokimi_clock.advance(5 * MINUTE)
        assert 3 <= len(bank.asked) <= 12
        bring_back(bank, "a")
        bank.asked.clear()
        await nanokimi_clock.advance(6 * MINUTE)
        assert len(bank.asked) == 6
        bank.gates["one"].set()
        for chat in chats:
            await until(lambda chat=chat: "a: one" in bot.network.texts(chat))  # type: ignore[misc]


# --------------------------------------------------------------------- whom a login is offered for
async def test_only_a_chain_that_wants_credentials_asks_for_a_login(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    asked: list[tuple[str, ...]] = []
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        standings(bot).on_lost = lambda names: asked.append(tuple(names))
        lanes = bot.assistant.conversation.lanes
        for down in ({"a": "login"}, {"a": "away", "b": "away"}, {"a": "used up", "b": "used up"}):
            for name, how in down.items():
                bring_down(bank, name, how)
            await ask(bot, "one", f"of {down}")
            for name in down:
                bring_back(bank, name)
            await until(lambda: not lanes.running)
            await bot.assistant.conversation.settings_changed()
            await until(lambda: not (lanes.running or lanes.total))
        assert asked == []
        bring_down(bank, "a", "login")
        bring_down(bank, "b", "refused")
        assert await ask(bot, "one") == catalogue.held(Failure.CREDENTIALS, "en")
        assert set(asked) == {("a", "b")}  # each turn that finds none says so, the one that tries again too


async def test_an_account_that_is_away_holds_the_chat_for_as_long_as_it_says(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock) as bot:
        bank.purses["a"].trouble = AccountAway("busy", retry_after=timedelta(minutes=20))
        assert await ask(bot, "one") == catalogue.held(Failure.CREDENTIALS, "en")
        lanes = bot.assistant.conversation.lanes
        await until(lambda: bool(lanes.held))
        [hold] = lanes.held.values()
        assert 12 * MINUTE < hold.until - anyio.current_time() < 25 * MINUTE
        bank.purses["a"].trouble = None
        await nanokimi_clock.advance(25 * MINUTE)
        assert (await bot.answer()).text == "a: one"


# --------------------------------------------------------------------- refusals
async def test_a_refusal_is_told_with_the_newest_credentials_that_the_chat_got(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", clock=nanokimi_clock) as bot:
        bank.purses["a"].mark = "1"
        assert await ask(bot, "one") == "a: one"
        bank.purses["a"].mark = "2"
        assert await ask(bot, "two") == "a: two"
        bring_down(bank, "a", "refused")
        await ask(bot, "three")
        assert bank.brain.events.count("enter net:desk") == 2
        assert bank.purses["a"].refused == ["2", "2"]


async def test_a_late_refusal_goes_to_the_account_whose_grant_it_was_and_spares_the_one_that_serves_now(
    tmp_path: Path, nanokimi_clock: FakeClock, bank: Bank
) -> None:
    async with bank.bot(tmp_path, "a", "b", clock=nanokimi_clock) as bot:
        bank.purses["a"].mark, bank.purses["b"].mark = "of a", "of b"
        await ask(bot, "one")
        account = bank.brain.chats["net:desk"].auth
        old = await account.grant(NEED)
        bring_down(bank, "a", "login")
        assert await ask(bot, "two") == "b: two"
        await account.rejected(old, "401")
        assert (bank.purses["a"].refused, bank.purses["b"].refused) == (["of a"], [])
        bring_back(bank, "a")
        bank.purses["a"].change("sk-canary-of-a2")
        bank.purses["a"].mark = "new"
        await account.rejected(old, "401")
        assert bank.purses["a"].refused == ["of a", "of a"]
        assert await ask(bot, "three") == "a2: three"
