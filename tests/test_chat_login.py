"""Logging in from the chat: from a lost login to the answered backlog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import AccountAway
from nanokimi_core.conversation import answering
from nanokimi_core.conversation.catalogue import LANGUAGES, phrase
from nanokimi_core.testing import FakeClock
from testbed.fakes import until
from testbed.logins import BOSS, PAGE, Member, bot_of, clubs, code, codes, told

pytestmark = pytest.mark.anyio

MINUTE = 60
AWAY = phrase("en", "held_credentials")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest, nanokimi_clock: FakeClock) -> tuple[str, dict[str, Any]]:
    return nanokimi_clock.backend(request.param)


# --------------------------------------------------------------------- a login is lost
async def test_the_owner_gets_one_code_and_when_it_is_entered_all_that_has_piled_up_is_answered_in_order(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None, details={"models": "kimi-for-coding"}, remedy="choose another model")
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        for chat in ("desk", "hall", BOSS):
            await bot.says(f"one in {chat}", chat)
        shown = await code(bot)
        for chat in ("desk", "hall", BOSS):
            await bot.says(f"two in {chat}", chat)
        await nanokimi_clock.advance(5 * MINUTE)
        for chat in ("desk", "hall"):
            assert bot.network.texts(chat) == [AWAY]
        club.confirm(shown)
        await nanokimi_clock.settle()  # at once: no time needs to pass
        for chat in ("desk", "hall"):
            assert bot.network.texts(chat) == [AWAY, f"one in {chat}+two in {chat}"]
        asked, done, answer = (text for text in bot.network.texts(BOSS) if text != AWAY)
    assert f"\n\n{PAGE}\n\n" in asked
    assert f"\n\n{shown}\n\n" in asked
    assert "/login purse" in asked
    assert done.startswith(f"I'm logged in to purse as …{(club.key or '')[-4:]}.")
    assert done.splitlines()[1:] == ["Its models: kimi-for-coding", "to mend: choose another model"]
    assert answer == f"one in {BOSS}+two in {BOSS}"
    assert (club.begun, club.ended) == (1, 1)


async def test_a_chat_is_told_once_that_the_assistant_is_away_and_neither_why_nor_how_to_log_in(
    tmp_path: Path, nanokimi_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_HOUR", 0.0)  # as if an hour had passed before each try
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await bot.says("one")
        await code(bot)
        await nanokimi_clock.advance(4 * MINUTE)
        assert bot.network.texts() == [AWAY]
        await bot.says("two")
        await nanokimi_clock.advance(10 * MINUTE)
        assert bot.network.texts() == [AWAY, AWAY]  # an hour later, for what was written since
        await bot.says("/status")
        await until(lambda: len(bot.network.texts()) == 3)
    for secret in (PAGE, "purse", "login", *codes(bot)):
        assert all(secret not in text for text in bot.network.texts())


@pytest.mark.parametrize("ending", ["runs out", "is declined"])
async def test_a_code_that_comes_to_nothing_is_told_once_and_another_one_comes_only_on_request(
    tmp_path: Path, nanokimi_clock: FakeClock, ending: str
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await bot.says("one")
        first = await code(bot)
        if ending == "is declined":
            club.decline(first)
            assert "the code was not confirmed" in await told(bot, "There is no new login for purse")
        await nanokimi_clock.advance(11 * MINUTE)
        await bot.says("two", "hall")
        await nanokimi_clock.advance(4 * MINUTE)
        assert len(bot.network.texts(BOSS)) == 2
        assert bot.network.texts(BOSS)[1].endswith("/login purse")
        assert club.begun == 1
        await bot.says("/login", BOSS)
        second = await code(bot, 2)
        assert second != first
        club.confirm(second)
        await told(bot, "one", chat="desk")
        await told(bot, "two", chat="hall")
    assert bot.network.texts() == [AWAY, "one"]


async def test_when_a_login_is_lost_again_the_owner_gets_a_code_again(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        for count in (1, 2, 3):
            club.lose()
            await bot.says(f"question {count}")
            club.confirm(await code(bot, count))
            await told(bot, f"question {count}", chat="desk")


async def test_an_account_that_is_only_away_needs_no_code(tmp_path: Path, nanokimi_clock: FakeClock) -> None:
    club = Member(trouble=AccountAway("the login server is busy"))
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await bot.says("one")
        await told(bot, "the login server is busy")
        await nanokimi_clock.advance(3 * MINUTE)
        club.trouble = None
        await nanokimi_clock.advance(3 * MINUTE)
        assert bot.network.texts() == [AWAY, "one"]
    assert club.begun == 0


async def test_an_account_that_works_again_by_other_means_ends_the_login_and_says_so(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await bot.says("one")
        await code(bot)
        club.change()  # nanokimi auth login, in a terminal
        await nanokimi_clock.advance(MINUTE)
        await told(bot, "one", chat="desk")
        assert "a code that I have sent for it doesn't count any more" in await told(bot, "lets me in again")
        await nanokimi_clock.advance(11 * MINUTE)
        assert len(bot.network.texts(BOSS)) == 2
    assert (club.begun, club.ended) == (1, 1)


async def test_an_account_that_works_before_its_login_is_quite_over_is_not_told_of_twice(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None, welcome=8.0)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await bot.says("one")
        club.confirm(await code(bot))
        await nanokimi_clock.advance(MINUTE)
        assert bot.network.texts() == [AWAY, "one"]
        assert len(bot.network.texts(BOSS)) == 2
        assert bot.network.texts(BOSS)[1].startswith("I'm logged in to purse")


async def test_a_code_that_runs_out_after_somebody_has_logged_in_elsewhere_is_no_bad_news(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        bot.assistant.conversation.logins.is_lost(["purse"])  # no turn has met it, so nobody looks at the account
        await code(bot)
        club.change()
        await nanokimi_clock.advance(11 * MINUTE)
        assert bot.network.texts(BOSS)[1:] == [phrase("en", "owner_login_done", name="purse")]


async def test_without_an_owners_chat_the_log_names_the_command_once(tmp_path: Path, nanokimi_clock: FakeClock) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock, owner=None) as bot:
        await bot.says("one")
        await bot.says("two", "hall")
        await nanokimi_clock.advance(3 * MINUTE)
        assert sum("in a terminal: nanokimi auth login purse" in line for line in bot.log) == 1
    assert club.begun == 0


async def test_a_loss_that_lasts_is_logged_as_a_warning_once_and_again_when_it_has_come_back(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    def warnings(words: str) -> int:
        return sum(line.startswith("WARNING ") and words in line for line in bot.log)

    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock, owner=None) as bot:
        for count in (1, 2):
            await bot.says(f"one {count}")
            await nanokimi_clock.advance(5 * MINUTE)
            assert warnings("net:desk: attempt 1 failed: ") == count
            assert warnings("In net:desk messages are kept unanswered") == count
            club.change()
            await told(bot, f"one {count}", chat="desk")
            club.lose()


# --------------------------------------------------------------------- the owner's network
async def test_while_the_owner_cannot_be_reached_no_code_is_asked_for(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        bot.network.refuse()
        await until(lambda: not bot.assistant.conversation.delivery.route("net").connected)  # type: ignore[union-attr]
        bot.assistant.conversation.logins.is_lost(["purse"])
        await nanokimi_clock.advance(3 * MINUTE)
        assert club.begun == 0
        bot.network.accept_again()
        await nanokimi_clock.advance(2 * MINUTE)
        assert len(codes(bot)) == club.begun == 1


async def test_a_code_that_has_run_out_before_it_could_be_sent_is_never_sent(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None, lasting=True)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        bot.transport.busy.add(BOSS)
        await bot.says("one")
        await nanokimi_clock.advance(10 * MINUTE + 1)
        assert (club.begun, club.ended) == (1, 0)
        bot.transport.busy.clear()
        bot.transport.inbox.ready()  # what waits to be tried again is tried now
        await nanokimi_clock.advance(MINUTE)
        [text] = bot.network.texts(BOSS)
    assert text == phrase("en", "owner_login_expired", name="purse")


async def test_a_code_that_was_not_sent_before_the_process_ended_is_never_sent(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        bot.transport.busy.add(BOSS)
        await bot.says("one")
        await until(lambda: any(message.chat == BOSS for message in bot.network.attempts))
        club.change()
        await bot.crash()
        bot.transport.busy.clear()
        await told(bot, "one", chat="desk")
        await told(bot, "lets me in again")
        await nanokimi_clock.advance(5 * MINUTE)
        assert codes(bot) == []


# --------------------------------------------------------------------- restarts
async def test_after_a_crash_one_fresh_code_comes_which_says_that_the_older_one_is_void(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await bot.says("one")
        await bot.says("two", "hall")
        first = await code(bot)
        await told(bot, AWAY, chat="hall")
        await bot.crash()
        second = await code(bot, 2)
        await nanokimi_clock.advance(5 * MINUTE)
        assert codes(bot) == [first, second]
        assert bot.network.texts(BOSS)[1].startswith(phrase("en", "owner_login_older"))
        with pytest.raises(ValueError, match="no login shows"):
            club.confirm(first)
        club.confirm(second)
        await told(bot, "one", chat="desk")
        await told(bot, "two", chat="hall")
        assert bot.network.texts() == [AWAY, "one"]
        assert bot.network.texts("hall") == [AWAY, "two"]


async def test_a_process_that_dies_again_and_again_sends_five_codes_and_then_says_how_to_get_one(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await bot.says("one")
        for count in range(1, 6):
            await code(bot, count)
            await bot.crash()
        await told(bot, "has run out")
        await bot.restart()
        await nanokimi_clock.advance(3 * MINUTE)
        assert len(codes(bot)) == 5
        assert len(bot.network.texts(BOSS)) == 6


async def test_a_code_that_came_to_nothing_before_a_restart_is_not_followed_by_another_one(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await bot.says("one")
        club.decline(await code(bot))
        await told(bot, "There is no new login")
        await bot.restart()
        await bot.says("two", "hall")
        await nanokimi_clock.advance(3 * MINUTE)
        assert len(codes(bot)) == 1
        club.change()
        await nanokimi_clock.advance(3 * MINUTE)
        await told(bot, "lets me in again")
        club.lose()
        await bot.says("three")
        await code(bot, 2)


async def test_a_reload_that_takes_the_account_away_ends_its_login_and_says_so(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    members = {"work": Member(key=None), "home": Member()}
    plugins = {name: {"use": "club"} for name in members}
    async with bot_of(tmp_path, clubs(members), clock=nanokimi_clock, auth=["work"], plugins=plugins) as bot:
        await bot.says("one")
        await code(bot)
        await bot.reload({"auth": ["home"]})
        await told(bot, "one", chat="desk")
        await told(bot, phrase("en", "owner_login_void", name="work"))
        assert members["work"].ended == 1
        await nanokimi_clock.advance(3 * MINUTE)
        assert len(bot.network.texts(BOSS)) == 2


async def test_a_reload_that_leaves_the_account_as_it_is_leaves_its_code(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await bot.says("one")
        shown = await code(bot)
        await bot.reload({"language": "es"})
        await nanokimi_clock.advance(MINUTE)
        assert (len(bot.network.texts(BOSS)), club.ended) == (1, 0)
        club.confirm(shown)
        await told(bot, "one", chat="desk")


# --------------------------------------------------------------------- words
@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_owner_reads_all_of_it_in_their_language(
    tmp_path: Path, nanokimi_clock: FakeClock, language: str
) -> None:
    club = Member(key=None)
    async with bot_of(tmp_path, club, clock=nanokimi_clock, language=language) as bot:
        await bot.says("one")
        shown = await code(bot)
        club.confirm(shown)
        await until(lambda: len(bot.network.texts(BOSS)) == 2)
        lost, done = bot.network.texts(BOSS)
    assert lost.startswith(phrase("es" if language == "es" else "en", "owner_login_lost", name="purse"))
    assert done.startswith({"en": "I'm logged in", "es": "He iniciado sesión"}[language])
