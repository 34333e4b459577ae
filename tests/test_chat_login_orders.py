"""``/login`` in the owner's chat: which account logs in, what is said where none can, and what plugins do wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import AuthStatus, CommandError, LoginNeeded, Quota, ShowCode, signing_in
from nanokimi_core.conversation.catalogue import login_code, phrase
from nanokimi_core.formatting import Markup, parts
from nanokimi_core.testing import Bot, FakeClock
from testbed.fakes import ScriptedAuth, bench, until
from testbed.logins import BOSS, Member, bot_of, clubs, code, codes, told

MINUTE = 60
anyio_test = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest, nanokimi_clock: FakeClock) -> tuple[str, dict[str, Any]]:
    return nanokimi_clock.backend(request.param)


def bot_of_two(folder: Path, clock: FakeClock, **members: Any) -> Bot:
    """A bot whose chats are paid by ``work``, but for ``home``, which is paid by the account that is called so."""
    plugins = {name: {"use": "club"} for name in members}
    chats: dict[str, Any] = {"net:*": {}, "net:home": {"auth": "home"}}
    return bot_of(folder, clubs(members), clock=clock, auth=["work"], plugins=plugins, chats=chats)


async def ordered(bot: Bot, text: str, words: str = "") -> str:
    """Let the owner order something, and give the message with these words that comes then; a code may come first."""
    before = len(bot.network.texts(BOSS))
    await bot.says(text, BOSS)
    await until(lambda: any(words in told for told in bot.network.texts(BOSS)[before:]))
    return next(told for told in bot.network.texts(BOSS)[before:] if words in told)


# --------------------------------------------------------------------- by order
@anyio_test
async def test_a_login_can_be_asked_for_when_nothing_is_lost_and_its_code_is_given_again_while_it_counts(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member()
    old = club.key
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await ordered(bot, "/login", "purse lets me in; a new login takes the place of the old one")
        shown = await code(bot)
        await nanokimi_clock.advance(5 * MINUTE)
        for order in ("/login", "/login purse"):
            await ordered(bot, order, f"\n\n{shown}\n\n")
        assert club.begun == 1
        await ordered(bot, "/status", "waits for its code to be entered, until")
        assert (await bot.status()).accounts[0].login_until
        await bot.says("meanwhile", "desk")
        await told(bot, "meanwhile", chat="desk")
        bot.assistant.conversation.standings.restored("purse")  # it works, and a new login is wanted all the same
        await nanokimi_clock.settle()
        assert club.ended == 0
        club.confirm(shown)
        assert "waited" not in await told(bot, "I'm logged in to purse")
        assert not (await bot.status()).accounts[0].login_until
    assert club.key != old


@anyio_test
async def test_what_has_waited_is_spoken_of_where_the_account_was_lost_while_its_code_waited(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member()
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await bot.says("/login", BOSS)
        shown = await code(bot)
        club.lose()
        await bot.says("meanwhile", "desk")
        await told(bot, "my account doesn't let me in", chat="desk")
        club.confirm(shown)
        assert "What has waited for that is answered now." in await told(bot, "I'm logged in to purse")


@anyio_test
async def test_where_another_account_takes_over_the_owner_reads_how_to_log_in_to_the_lost_one_from_the_chat(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    members: dict[str, Any] = {"work": Member(key=None), "keyed": Keyed(), "home": Member()}
    members["keyed"].purse.key = None
    plugins = {name: {"use": "club"} for name in members}
    bot = bot_of(tmp_path, clubs(members), clock=nanokimi_clock, auth=list(members), plugins=plugins)
    async with bot:
        await bot.says("one")
        lost = await told(bot, "My account work can't be used, so home pays until it can")
        other = await told(bot, "My account keyed can't be used, so home pays until it can")
        await told(bot, "one", chat="desk")
    assert lost.endswith("\nTo log me in to it by a code that comes here: /login work")
    assert "/login" not in other


@anyio_test
async def test_a_code_that_was_asked_for_and_runs_out_is_told_and_the_old_login_stays(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Member()
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await ordered(bot, "/login")
        first = await code(bot)
        await nanokimi_clock.advance(11 * MINUTE)
        await told(bot, phrase("en", "owner_login_expired", name="purse"))
        await ordered(bot, "/login", "purse lets me in")
        assert await code(bot, 2) != first
        await bot.says("meanwhile")
        await told(bot, "meanwhile", chat="desk")


@anyio_test
async def test_only_the_owner_can_ask_for_a_login(tmp_path: Path, nanokimi_clock: FakeClock) -> None:
    club = Member()
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        for chat, kind in (("desk", "direct"), (BOSS, "group")):
            await bot.says("/login", chat, kind=kind, mentions_me=True)
            await bot.settled()
    assert club.begun == 0
    assert codes(bot) == []


@anyio_test
async def test_of_two_accounts_the_one_that_is_named_logs_in_and_else_the_one_that_needs_it(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    work, home = Member(), Member(key=None)
    async with bot_of_two(tmp_path, nanokimi_clock, work=work, home=home) as bot:
        await bot.says("one", "home")
        first = await code(bot)
        assert "/login home" in bot.network.texts(BOSS)[0]
        await bot.says("fine", "desk")
        await told(bot, "fine", chat="desk")
        await ordered(bot, "/login", first)
        await ordered(bot, "/login work", "work lets me in")
        second = await code(bot, 3)
        work.confirm(second)
        await told(bot, "I'm logged in to work")
        home.decline(first)
        await told(bot, "There is no new login for home")
        await ordered(bot, "/login", "a code for home")
        home.confirm(await code(bot, 4))
        await told(bot, "one", chat="home")
    assert (work.begun, home.begun) == (1, 2)


@anyio_test
async def test_an_account_that_does_not_log_in_by_a_code_names_the_command_and_asks_for_no_secret(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    async with bot_of(tmp_path, Keyed(), clock=nanokimi_clock) as bot:
        said = await ordered(bot, "/login")
        assert said.splitlines() == [
            "purse doesn't log in by a code.",
            "Store its key in a terminal on my machine, never in a chat: nanokimi auth set-key --plugin purse",
        ]
        unknown = 'That didn\'t work: there is no account "work"; there are: purse'
        assert await ordered(bot, "/login work") == unknown


@anyio_test
async def test_an_account_that_cannot_say_how_it_stands_can_be_logged_in_to(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    club = Mute()
    async with bot_of(tmp_path, club, clock=nanokimi_clock) as bot:
        await ordered(bot, "/login", "I'm asking for a code for purse")
        club.decline(await code(bot))
        await told(bot, "There is no new login for purse")


class Mute(Member):
    """An account that can't say how it stands."""

    async def status(self) -> AuthStatus:
        raise LookupError("no mirror")


@anyio_test
async def test_a_code_that_nobody_could_be_shown_is_not_asked_for(tmp_path: Path, nanokimi_clock: FakeClock) -> None:
    club = Member()
    async with bot_of(tmp_path, club, clock=nanokimi_clock, owner=None) as bot:
        with pytest.raises(CommandError, match="no owner's chat to send a code to; run: nanokimi auth login"):
            await bot.assistant.operations.log_in()
        await bot.reload({"auth": []})
        with pytest.raises(CommandError, match="the toml names no account"):
            await bot.assistant.operations.log_in(chat="net:screen")
    with pytest.raises(CommandError, match="nothing runs that could show a code"):
        await bench(tmp_path / "stopped").assistant.operations.log_in()
    assert club.begun == 0


class Keyed:
    """An account that takes a key, and doesn't log in by a code."""

    def __init__(self) -> None:
        self.purse = ScriptedAuth()
        self.grant, self.rejected = self.purse.grant, self.purse.rejected
        self.status, self.set_key = self.purse.status, self.purse.set_key


@anyio_test
async def test_the_console_is_shown_a_code_that_it_has_asked_for(tmp_path: Path, nanokimi_clock: FakeClock) -> None:
    club = Member()
    async with bot_of(tmp_path, club, clock=nanokimi_clock, owner=None) as bot:
        asked = await bot.assistant.operations.log_in(chat="net:screen")
        assert (asked.name, asked.state, asked.usable) == ("purse", "begun", True)
        shown = await code(bot, chat="screen")
        again = await bot.assistant.operations.log_in("purse", "net:sofa")
        assert again.code is not None
        assert again.code.code == shown
        club.confirm(shown)
        for chat in ("screen", "sofa"):
            await told(bot, "I'm logged in to purse", chat=chat)


# --------------------------------------------------------------------- what plugins do wrong
@dataclass
class Faulty(ScriptedAuth):
    """An account whose login is at fault in some way."""

    how: str = ""

    async def login(self) -> AsyncIterator[Any]:
        if self.how == "hangs":
            await anyio.sleep_forever()
        if self.how == "raises":
            raise LookupError("no club")
        if self.how == "exits":
            raise SystemExit(3)
        if self.how == "gives up":
            raise LoginNeeded("the club is closed")
        if self.how == "gives nonsense":
            yield "AB-12"
        soon = datetime.now(UTC) + timedelta(minutes=5)
        if self.how == "goes on":
            yield ShowCode("http://127.0.0.1/login", "0123abcd", soon)
            await anyio.sleep_forever()
        if self.how == "shows another":
            yield ShowCode("http://127.0.0.1/login", "0123abcd", soon)
            yield ShowCode("http://127.0.0.1/login", "ffffffff", soon)


FAULTS = {
    "hangs": 'There is no new login for home: plugin "club" (dist-club 1.0) failed to log in: it showed no code',
    "raises": 'There is no new login for home: plugin "club" (dist-club 1.0) failed to log in: LookupError: no club',
    "exits": 'There is no new login for home: plugin "club" (dist-club 1.0) failed to log in: SystemExit: 3',
    "gives up": "There is no new login for home: the club is closed. To try again: /login home",
    "gives nonsense": "failed to log in: its login gave str, where a ShowCode or an AuthStatus belongs",
    "ends": "failed to log in: its login ended without an AuthStatus",
    "goes on": "The code for home has run out. For a new one: /login home",
    "shows another": "The code for home has run out. For a new one: /login home",
}


@anyio_test
@pytest.mark.parametrize("how", FAULTS)
async def test_a_login_that_goes_wrong_is_one_sentence_for_the_owner_and_harms_nobody_else(
    tmp_path: Path, nanokimi_clock: FakeClock, how: str
) -> None:
    async with bot_of_two(tmp_path, nanokimi_clock, work=Member(), home=(home := Faulty(key=None, how=how))) as bot:
        await bot.says("one", "home")
        await until(lambda: bool(bot.network.texts("home")))
        await nanokimi_clock.advance(5 * MINUTE + signing_in.SAYING_SO + 1)
        said = [text for text in bot.network.texts(BOSS) if "0123abcd" not in text]
        assert len(said) == 1
        assert FAULTS[how] in said[0]
        assert "\n" not in said[0]
        assert ".py" not in said[0]
        assert "ffffffff" not in "".join(bot.network.texts(BOSS))
        await bot.says("fine", "desk")
        await told(bot, "fine", chat="desk")
        home.change()
        await nanokimi_clock.advance(MINUTE)
        await told(bot, "one", chat="home")


# --------------------------------------------------------------------- how it stands
class Figured(ScriptedAuth):
    """An account that knows what it has left."""

    async def status(self) -> AuthStatus:
        reset = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
        return AuthStatus("ok", quotas=(Quota("Weekly limit", 0.79), Quota("5h limit", 0.8, "20 %", reset)))


@anyio_test
async def test_the_status_says_what_an_account_has_left_whether_it_serves_and_how_many_chats(
    tmp_path: Path, nanokimi_clock: FakeClock
) -> None:
    async with bot_of_two(tmp_path, nanokimi_clock, work=Figured(), home=Member(key=None)) as bot:
        for chat in ("desk", "hall", "home"):
            await bot.says(f"from {chat}", chat)
        await told(bot, "from hall", chat="hall")
        await told(bot, "from desk", chat="desk")
        await code(bot)
        work, home = (await bot.status()).accounts
        said = await ordered(bot, "/status")
    assert [(quota.name, quota.low) for quota in work.quotas] == [("Weekly limit", False), ("5h limit", True)]
    assert work.quotas[1].resets_at == "2026-11-22T09:00+00:00"
    assert (work.serves, work.chats, work.down, work.login_until) == (True, 2, "", "")
    assert (home.serves, home.chats) == (False, 0)
    assert home.down.startswith("credentials: ")
    assert home.login_until
    assert "\nWARNING, nearly used up: account work, 5h limit: 80 % used, whole again at " in said
    assert "\naccount work is the one in use; chats: 2" in said


# --------------------------------------------------------------------- how a code looks
MARKUPS: tuple[Markup, ...] = ("plain", "markdown", "whatsapp")


@pytest.mark.parametrize("markup", MARKUPS)
@pytest.mark.parametrize("shown", ["WDJB-MJHT", "a_b_c_d", "12-34-56", "ABCD EFGH", "x.y-z_9"])
@pytest.mark.parametrize("limit", [400, 4000])
def test_page_and_code_stand_whole_and_alone_on_their_lines_in_every_markup(
    markup: Markup, shown: str, limit: int
) -> None:
    page = f"https://auth.example/device_authorization?user_code={shown.replace(' ', '%20')}&from=_me_&x=~y~"
    told = ShowCode("https://auth.example/device", shown, datetime.now(UTC) + timedelta(minutes=10), page)
    said = login_code("my_own_account", told, "en", lost=True, older=True)
    for given in ("markdown", markup):  # the core sends its own words as they stand; a network's own road does no harm
        lines = "\n".join(parts(said, markup=given, limit=limit)).splitlines()
        assert page in lines
        assert shown in lines
    one_line = parts(said, markup=markup, limit=limit, lines="one")
    assert page in one_line
    assert shown in one_line
