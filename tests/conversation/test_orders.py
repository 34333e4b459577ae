"""What the owner orders in chat, and what is said to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nanokimi_core import CommandError, Inbound, ShowCode
from nanokimi_core.config import Settings
from nanokimi_core.conversation.catalogue import LANGUAGES, Phrase
from nanokimi_core.conversation.grants import Grants
from nanokimi_core.conversation.orders import Orders
from nanokimi_core.conversation.report import report
from nanokimi_core.status import AccountStatus, HeldLane, InstanceStatus, LoginAsked, QuotaStatus, Status
from nanokimi_core.store import Arrival, ChatRecord, Claim, DeadLetter, Role
from nanokimi_core.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Hands:
    """The owner's hands on a real store and real grants, without an assistant around them."""

    def __init__(self, store: SqliteStore) -> None:
        self.store, self.grants = store, Grants(store)
        self.settings = Settings.model_validate({"chats": {"net:known": {}}})
        self.asked: list[tuple[str | None, str]] = []
        self.login = LoginAsked("purse", "begun")

    async def status(self) -> Status:
        return Status(running=True, assistant="Kai", version="1.2.3", counters=await self.store.counters())

    async def reload(self) -> Sequence[str]:
        raise CommandError("nothing to read")

    async def log_in(self, name: str | None = None, chat: str = "") -> LoginAsked:
        self.asked.append((name, chat))
        return self.login

    async def chats(self) -> Sequence[ChatRecord]:
        return await self.store.chats()

    async def find(self, chat: str) -> ChatRecord | None:
        return await self.store.chat(int(chat) if chat.isdecimal() else chat)

    async def grant(self, chat: ChatRecord, granted: bool) -> bool:
        if self.settings.rules((chat.id,)).known:
            return False
        await self.grants.set(chat.id, granted)
        return True

    async def forget(self, chat: ChatRecord) -> int:
        if chat.id == "net:busy":
            raise CommandError("the agent of net:busy is away", remedy="start Docker")
        return await self.store.forget(chat.id)

    async def dead(self, *, limit: int = 100, chat: str | None = None) -> Sequence[DeadLetter]:
        return await self.store.dead(limit=limit, chat=chat)

    async def dead_letter(self, letter: str) -> DeadLetter | None:
        return await self.store.dead_letter(letter)

    async def revive(self, letter: str) -> DeadLetter | None:
        return await self.store.revive(letter)

    async def drop(self, letter: str) -> DeadLetter | None:
        return await self.store.drop(letter)

    async def bury(self, text: str, cause: str, *, number: str = "1", chat: str = "known") -> str:
        """Give a message up; gives its id as a dead letter."""
        message = Inbound(number, chat, "ana", text, at=datetime.now(UTC))
        _, work, _ = await self.store.accept(
            Arrival("net", message, Role.TURN), Claim("net", chat, f"t{number}", 1, 0, "2026-11-21")
        )
        assert work is not None
        await self.store.bury(work, cause)
        return f"m{work.rows[0].number}"


@asynccontextmanager
async def ordering(folder: Path) -> AsyncIterator[tuple[Hands, Orders]]:
    async with SqliteStore(folder / "store.db") as store:
        hands = Hands(store)
        yield hands, Orders(hands)


async def told(orders: Orders, text: str) -> str:
    said = await orders.carry_out(text, "en")
    assert isinstance(said, Phrase)
    return said


@pytest.mark.parametrize("name", ["1", "#1", "net:fam"])
async def test_a_chat_is_let_in_and_shut_out_by_its_number_or_its_id(tmp_path: Path, name: str) -> None:
    async with ordering(tmp_path) as (hands, orders):
        await hands.store.see("net:fam", "Family", "group", ["Ana"])
        assert await told(orders, f"/allow {name}") == 'Chat 1, "Family", is let in.'
        assert hands.grants.of(["net:fam"]) is True
        assert await told(orders, f"  /DENY {name} ") == 'Chat 1, "Family", is shut out.'
        assert hands.grants.of(["net:fam"]) is False


@pytest.mark.parametrize("word", ["/allow", "/deny"])
async def test_where_the_toml_decides_the_owner_hears_that(tmp_path: Path, word: str) -> None:
    async with ordering(tmp_path) as (hands, orders):
        await hands.store.see("net:known", "", "direct", [])
        assert 'chat 1, "net:known", in, and it decides' in await told(orders, f"{word} 1")
        assert hands.grants.of(["net:known"]) is None


@pytest.mark.parametrize("order", ["/allow 7", "/deny 7", "/forget 7", "/allow net:x", "/forget 1000000000000000000"])
async def test_a_chat_that_nobody_knows_is_named_in_the_answer(tmp_path: Path, order: str) -> None:
    async with ordering(tmp_path) as (_, orders):
        assert await told(orders, order) == f'I know no chat "{order.split()[1]}"; /chats lists them.'


@pytest.mark.parametrize(
    ("order", "how"),
    [
        ("/allow", "/allow 3"),
        ("/allow 1 2", "/allow 3"),
        ("/deny", "/deny 3"),
        ("/forget", "/forget 3"),
        ("/forget 1 now", "/forget 3"),
        ("/dead m3", "/dead retry m3"),
        ("/dead retry", "/dead retry m3"),
        ("/dead retry m1 m2", "/dead retry m3"),
        ("/chats all", "/chats"),
        ("/status now", "/status"),
        ("/help me", "/help"),
        ("/login work now", "/login work"),
    ],
)
async def test_an_order_that_is_written_wrongly_is_answered_with_how_to_write_it(
    tmp_path: Path, order: str, how: str
) -> None:
    async with ordering(tmp_path) as (hands, orders):
        await hands.store.see("net:a", "A", "direct", [])
        said = await told(orders, order)
        assert said.startswith("Write it like this: ")
        assert how in said
        assert await hands.store.grants() == {}


@pytest.mark.parametrize("text", ["", "hello", "/new", "/stop", "/allowed 3", "allow 3", "please /allow 3", "/owner x"])
async def test_what_is_no_order_is_left_alone(tmp_path: Path, text: str) -> None:
    async with ordering(tmp_path) as (_, orders):
        assert await orders.carry_out(text, "en") is None


async def test_a_chat_is_erased_by_order(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (hands, orders):
        await hands.store.see("net:known", "Desk", "direct", ["Ana"])
        await hands.bury("hello", "boom")
        assert await told(orders, "/forget 1") == 'Chat 1, "Desk", is erased; messages: 1.'
        assert await hands.dead() == []


async def test_an_order_that_cannot_be_carried_out_is_answered_with_the_cause_and_the_remedy(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (hands, orders):
        await hands.store.see("net:busy", "Busy", "direct", [])
        assert await told(orders, "/forget 1") == "That didn't work: the agent of net:busy is away; start Docker"


async def test_the_chats_are_listed_with_their_numbers_and_who_is_let_in(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (hands, orders):
        assert await told(orders, "/chats") == "I know no chats yet."
        for chat, name in (("net:a", "Ann"), ("net:b", ""), ("net:c", "Cleo")):
            await hands.store.see(chat, name, "group" if chat == "net:c" else "direct", [])
        await told(orders, "/allow 1")
        await told(orders, "/deny 2")
        head, *lines = (await told(orders, "/chats")).splitlines()
        assert head == "Chats that I know: 3"
        assert sorted(lines) == [
            '1: "Ann" (a direct chat, net:a), let in; waiting: 0',
            '2: "net:b" (a direct chat, net:b), shut out; waiting: 0',
            '3: "Cleo" (a group, net:c), as nanokimi.toml says; waiting: 0',
        ]


async def test_a_long_list_of_chats_is_cut_with_a_count_of_the_rest(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (hands, orders):
        for number in range(33):
            await hands.store.see(f"net:{number}", "x" * 500, "group", [])
        lines = (await told(orders, "/chats")).splitlines()
        assert len(lines) == 32
        assert lines[-1] == "… and 3 more"
        assert all(len(line) < 300 for line in lines)


async def test_dead_letters_are_listed_tried_again_and_dropped(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (hands, orders):
        assert await told(orders, "/dead") == "I have given up nothing."
        letter = await hands.bury('Tell me "all"\nof it', "the agent crashed")
        head, line = (await told(orders, "/dead")).splitlines()
        assert head.startswith("Given up: 1 ")
        assert line == f"{letter} in net:known: \"Tell me 'all' of it\": the agent crashed; tries: 1"
        assert await told(orders, f"/dead retry {letter.upper()}") == f"{letter} is tried again."
        assert await hands.dead() == []
        gone = await hands.bury("more", "boom", number="2", chat="other")
        assert await told(orders, f"/dead drop {gone}") == f"{gone} is ended for good."
        assert await told(orders, "/dead") == "I have given up nothing."


@pytest.mark.parametrize("order", ["/dead retry m9", "/dead drop m9", "/dead retry 9", "/dead drop x"])
async def test_a_dead_letter_that_is_not_there_is_named_in_the_answer(tmp_path: Path, order: str) -> None:
    async with ordering(tmp_path) as (_, orders):
        assert f'nothing with the id "{order.split()[-1]}"' in await told(orders, order)


async def test_many_dead_letters_are_cut_with_a_count_of_the_rest(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (hands, orders):
        for number in range(12):
            await hands.bury("x" * 5000, "y" * 5000, number=str(number))
        lines = (await told(orders, "/dead")).splitlines()
        assert len(lines) == 12
        assert lines[-1] == "… and 2 more"
        assert all(len(line) < 800 for line in lines)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_help_names_every_order_in_every_language(tmp_path: Path, language: str) -> None:
    async with ordering(tmp_path) as (_, orders):
        said = await orders.carry_out("/help", "es" if language == "es" else "en")
        assert said is not None
        for word in ("help", "new", "stop", "status", "allow", "deny", "chats", "dead", "forget", "login"):
            assert f"\n/{word}" in said


CODE = ShowCode("https://club.example/enter", "WDJB-MJHT", datetime(2026, 11, 21, 12, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (LoginAsked("work", "begun"), "I'm asking for a code for work; it comes here in a moment."),
        (LoginAsked("work", "begun", usable=True), "work lets me in; a new login takes the place of the old one."),
        (LoginAsked("work", "waiting", CODE), "\n\nWDJB-MJHT\n\n"),
        (LoginAsked("work", "elsewhere", takes_key=True), "nanokimi auth set-key --plugin work"),
        (LoginAsked("work", "elsewhere", imports_login=True), "nanokimi auth import FILE --plugin work"),
        (LoginAsked("work", "elsewhere"), "work doesn't log in by a code."),
    ],
)
async def test_a_login_is_begun_given_again_or_sent_to_the_terminal(
    tmp_path: Path, asked: LoginAsked, said: str
) -> None:
    async with ordering(tmp_path) as (hands, orders):
        hands.login = asked
        assert said in str(await orders.carry_out("/login work", "en", "net:me"))
        assert await orders.carry_out("/LOGIN", "es", "net:me")
        assert hands.asked == [("work", "net:me"), (None, "net:me")]


async def test_status_says_what_was_given_up_and_what_runs(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (hands, orders):
        await hands.bury("hello", "boom")
        said = await told(orders, "/status")
        assert said.startswith("Kai, NanoKimi 1.2.3.")
        assert "given up: 1." in said


def test_a_report_shows_what_accounts_have_left_the_low_ones_first_with_a_warning_in_words() -> None:
    reset = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    when = f"{reset.astimezone():%Y-%m-%d %H:%M %Z}"
    quotas = (
        QuotaStatus("Weekly limit", 0.41, "59 %"),
        QuotaStatus("5h limit", 0.8, "20 %", reset.isoformat(), low=True),
        QuotaStatus("Balance", None, "12.30 CNY"),
        QuotaStatus("Nothing known"),
    )
    accounts = (
        AccountStatus("purse", "ok", quotas=quotas, serves=True, chats=3),
        AccountStatus("spare", "login_needed", chats=1, login_until=reset.isoformat()),
        AccountStatus("never", "ok"),
    )
    status = Status(running=True, assistant="Kai", version="1", accounts=accounts)
    assert report(status, "en").splitlines()[4:] == [
        f"WARNING, nearly used up: account purse, 5h limit: 80 % used, whole again at {when}",
        "account purse, Weekly limit: 41 % used",
        "account purse, Balance: 12.30 CNY left",
        "account purse is the one in use; chats: 3",
        f"account spare waits for its code to be entered, until {when}",
        "account spare; chats: 1",
    ]
    assert f"ATENCIÓN, casi agotado: cuenta purse, 5h limit: 80 % gastado; entero otra vez el {when}" in (
        report(status, "es").splitlines()
    )


def test_a_report_shows_states_errors_remedies_and_problems_in_bounded_lists() -> None:
    status = Status(
        running=True,
        assistant="Kai",
        version="1",
        instances=(
            InstanceStatus("net", "transport", "waiting", 0.0, last_error="the line\nis cut"),
            InstanceStatus("phone", "transport", "running", 0.0, said="waits to be linked"),
            InstanceStatus("brain", "backend", "running", 0.0),
            InstanceStatus("odd", "backend", "levitating", 0.0),
        ),
        accounts=(AccountStatus("purse", "rejected", remedy="set a new key"), AccountStatus("spare", "ok")),
        held=tuple(HeldLane(f"net:{number}", "no login", 90.0) for number in range(14)),
        problems=("a list is away",),
    )
    lines = report(status, "en").splitlines()
    assert lines[1:7] == [
        "net (transport): waiting to be started again; last error: the line is cut",
        "phone (transport): running; waits to be linked",
        "brain (backend): running",
        "odd (backend): levitating",
        "account purse: was rejected; set a new key",
        "account spare: fine",
    ]
    assert lines[7] == "net:0 waits until this has passed: no login; next try in 90 seconds"
    assert lines[-2:] == ["… and 4 more", "to mend: a list is away"]
    assert "cuenta purse: ha sido rechazada; set a new key" in report(status, "es").splitlines()
