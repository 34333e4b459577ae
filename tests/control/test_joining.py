"""A terminal that joins the running process as its console."""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from control.hands import Process, process
from nanokimi_core import CommandError, Inbox, NotSent, Outbound
from nanokimi_core.builtin.console import Console, ConsoleConfig, written
from nanokimi_core.control.client import _AROUND, Joined, connect, join
from nanokimi_core.control.wire import LONGEST_REQUEST
from nanokimi_core.errors import NotAccepted

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass
class Screen:
    """A console without a terminal: says what a test gives it, and keeps what it is to show."""

    lines: tuple[str, ...] = ()
    stays: bool = False

    def __post_init__(self) -> None:
        self.shown: list[str] = []
        self.drafts: list[str] = []
        self.errors: list[str] = []
        self.left = anyio.Event()

    async def run(self, inbox: Inbox) -> None:
        for number, text in enumerate(self.lines):
            try:
                await inbox.deliver(written(text, f"id{number}"))
            except CommandError as error:
                self.errors.append(str(error))
        if self.stays:
            await self.left.wait()

    async def send(self, outbound: Outbound) -> None:
        self.shown.append(outbound.text)

    async def draft(self, outbound: Outbound) -> None:
        self.drafts.append(outbound.text)


def answer(text: str, key: str = "k1", reply_to: str | None = None) -> Outbound:
    return Outbound(key, "local", text, reply_to=reply_to)


@asynccontextmanager
async def joined(given: Process, screen: Screen, fresh: bool = False) -> AsyncIterator[list[Joined]]:
    """Join, and give how it ended once it has."""
    ended: list[Joined] = []

    async def live() -> None:
        wire = await connect(given.path)
        try:
            ended.append(await join(wire, lambda name: screen, fresh=fresh))
        finally:
            await wire.aclose()

    before = given.readies
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(live)
        while given.readies == before:
            await anyio.sleep(0.001)
        yield ended
        screen.left.set()


async def test_lines_go_in_and_answers_come_out_until_the_terminal_leaves(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        screen = Screen(("hello", "again"), stays=True)
        async with joined(given, screen) as ended:
            said = await given.until_said(2)
            assert [(line.text, line.id, line.chat) for line in said] == [
                ("hello", "id0", "local"),
                ("again", "id1", "local"),
            ]
            await given.console.send(answer("good day"))
            assert screen.shown == ["good day"]
        assert ended == [Joined(left=True)]


async def test_an_answer_is_not_sent_while_no_terminal_has_joined_and_goes_to_the_next_one(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        with pytest.raises(NotSent):
            await given.console.send(answer("early"))
        screen = Screen(stays=True)
        async with joined(given, screen):
            assert given.readies == 1
            await given.console.send(answer("early"))
        assert screen.shown == ["early"]
        while given.console._terminal is not None:
            await anyio.sleep(0.001)
        with pytest.raises(NotSent):
            await given.console.send(answer("late"))


async def test_an_answer_that_a_terminal_left_before_showing_is_not_taken_as_sent(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        wire = await connect(given.path)
        await wire.send({"call": "join"})
        assert await wire.receive() == {"answer": {"assistant": "Kai"}}
        failed: list[Exception] = []

        async def send() -> None:
            try:
                await given.console.send(answer("lost"))
            except ConnectionError as error:
                failed.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            assert (await wire.receive())["send"]["text"] == "lost"
            await wire.aclose()
        assert isinstance(failed[0], ConnectionError)


async def test_a_second_terminal_is_refused_with_a_sentence_and_the_first_goes_on(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        screen = Screen(stays=True)
        async with joined(given, screen):
            wire = await connect(given.path)
            with pytest.raises(CommandError, match="another terminal has joined"):
                await join(wire, lambda name: Screen(), fresh=True)
            await wire.aclose()
            await given.console.send(answer("still here"))
        assert screen.shown == ["still here"]
        assert given.fresh == [False]


async def test_a_terminal_can_join_again_after_one_has_left(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        for fresh in (False, True):
            async with joined(given, Screen(stays=True), fresh=fresh):
                pass
            while given.console._reserved:
                await anyio.sleep(0.001)
        assert given.fresh == [False, True]
        assert given.readies == 2


async def test_drafts_are_shown_before_the_answer_and_never_hold_anything_up(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        screen = Screen(stays=True)
        async with joined(given, screen):
            text = ""
            for number in range(1000):
                text += f"{number} "
                await given.console.draft(answer(text))
            await given.console.send(answer("all of it"))
            await given.console.draft(answer("next", key="k2"))
            while "next" not in screen.drafts:
                await anyio.sleep(0.001)
        assert screen.shown == ["all of it"]
        assert len(screen.drafts) < 100


async def test_the_terminal_learns_how_many_turns_have_failed_since_it_joined(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        given.failed = 5
        screen = Screen(stays=True)
        async with joined(given, screen) as ended:
            given.failed += 2
            await given.console.send(answer("sorry"))
        assert ended == [Joined(left=True, failed=2)]


async def test_a_line_that_cannot_be_kept_is_said_and_the_chat_goes_on(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        given.refusal = NotAccepted("the disk is full", remedy="free some space")
        screen = Screen(("hello",), stays=True)
        async with joined(given, screen):
            while not screen.errors:
                await anyio.sleep(0.001)
            given.refusal = None
            await given.console.send(answer("there is room again"))
        assert screen.errors == ["the disk is full; free some space"]
        assert screen.shown == ["there is room again"]


async def test_a_line_that_is_too_long_is_refused_here_and_the_longest_arrives(tmp_path: Path) -> None:
    longest = LONGEST_REQUEST - _AROUND - 2
    async with process(tmp_path) as given:
        screen = Screen(("x" * (longest + 1), "y" * longest), stays=True)
        async with joined(given, screen):
            (line,) = await given.until_said(1)
            assert line.text == "y" * longest
        assert "longer than a running process takes" in screen.errors[0]


async def test_the_end_of_the_process_ends_the_chat(tmp_path: Path) -> None:
    screen = Screen(stays=True)
    ended: list[Joined] = []
    async with anyio.create_task_group() as tasks, process(tmp_path) as given:
        wire = await connect(given.path)

        async def live() -> None:
            ended.append(await join(wire, lambda name: screen, fresh=False))
            await wire.aclose()

        tasks.start_soon(live)
        while not given.readies:
            await anyio.sleep(0.001)
    assert ended == [Joined(left=False)]


async def test_the_longest_text_of_the_console_fits_into_a_line(tmp_path: Path) -> None:
    text = "🎈" * Console.traits.max_text
    async with process(tmp_path) as given:
        screen = Screen(stays=True)
        async with joined(given, screen):
            await given.console.send(answer(text))
        assert screen.shown == [text]


async def test_a_terminal_that_sends_garbage_is_told_and_let_go(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        wire = await connect(given.path)
        await wire.send({"call": "join"})
        await wire.receive()
        await wire.send({"sing": 1})
        assert "can't be understood" in (await wire.receive())["error"]["message"]
        await wire.aclose()
        async with joined(given, Screen(stays=True)):
            pass


async def test_one_shot_prints_the_answer_to_its_own_line_only_and_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    async with process(tmp_path) as given:
        wire = await connect(given.path)
        ended: list[Joined] = []

        async def live() -> None:
            make = ConsoleConfig(once="hello")
            ended.append(await join(wire, lambda name: Console(make, name), fresh=True))
            await wire.aclose()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live)
            (line,) = await given.until_said(1)
            await given.console.draft(answer("old dr", key="k0", reply_to="before"))
            await given.console.send(answer("old answer", key="k0", reply_to="before"))
            assert not ended
            await given.console.draft(answer("good ", reply_to=line.id))
            await given.console.send(answer("good day", reply_to=line.id))
        assert ended == [Joined(left=True)]
        assert given.fresh == [True]
    shown = capsys.readouterr()
    assert shown.out == "good day\n"
    assert shown.err == "Kai, to something earlier: old answer\n"


async def test_a_late_draft_takes_no_answers_place(tmp_path: Path) -> None:
    async with process(tmp_path) as given:
        wire = await connect(given.path)
        await wire.send({"call": "join"})
        await wire.receive()
        while not given.readies:
            await anyio.sleep(0.001)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(given.console.send, answer("x" * 1_000_000, key="k0"))  # nobody reads, so others wait
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(given.console.send, answer("all of it"))
            await anyio.wait_all_tasks_blocked()
            await given.console.draft(answer("all"))
            for key in ("k0", "k1"):
                assert (await wire.receive())["send"]["key"] == key
                await wire.send({"shown": key})
        await wire.aclose()
