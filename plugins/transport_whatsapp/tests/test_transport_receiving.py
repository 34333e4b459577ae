"""What the child brings is delivered in order and acknowledged afterwards, whatever happens in between."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from transport_driver import ANA, BO, GROUP, ME, driven, message, until

from nanokimi_core import NotAccepted
from nanokimi_transport_whatsapp.standing import read_standing, remove_note
from nanokimi_transport_whatsapp.values import Done, Figures, MarkRead, Media, Text, Typing, Unsupported, Who

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_message_is_acknowledged_only_when_it_was_delivered_and_holds_up_only_its_chat(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await driver.child()
        driver.held.add(ANA.id)
        await child.bring(message("held"), message("free", sender=BO))
        await until(lambda: child.done() == [2], "the other chat's message was acknowledged")
        assert driver.texts == ["free"]
        driver.held.clear()
        await until(lambda: child.done() == [2, 1], "it was acknowledged")
        assert driver.texts == ["free", "held"]


async def test_a_chat_is_in_order_whichever_of_its_names_an_event_tells(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await driver.child()
        driver.held.add(ANA.id)
        named = [ANA, Who(id=ANA.alias), Who(id=ANA.id), Who(id=ANA.alias, alias=ANA.id)]
        await child.bring(*(message(f"{number}", sender=named[number % 4]) for number in range(40)))
        await child.bring(message("last", sender=BO))
        await until(lambda: driver.texts == ["last"], "they have all come")
        driver.held.clear()
        await until(lambda: len(child.done()) == 41, "all were acknowledged")
        assert driver.texts == ["last", *(f"{number}" for number in range(40))]
        assert child.done() == [41, *range(1, 41)]
        assert {each.chat for each in driver.kept} == {ANA.id, BO.id}
        assert len(child.told(Done)) <= 41


async def test_a_message_that_can_not_be_kept_ends_the_run_and_is_brought_again(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await driver.child()
        driver.refusing.add("second")
        await child.bring(message("first"), message("second"), message("third"))
        await until(lambda: driver.errors, "the run has ended")
        assert [type(error) for error in driver.errors] == [NotAccepted]
        await until(lambda: child.over, "the child has ended")
        assert child.done() == [1]
        driver.refusing.clear()
        again = await driver.child(1)
        await again.bring(message("second"), message("third"))
        await until(lambda: again.done() == [1, 2], "both were kept")
        assert driver.texts == ["first", "second", "third"]


async def test_a_child_that_dies_in_traffic_brings_the_rest_again_and_is_told_nothing_of_it_before(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path) as driver:
        numbers: list[int] = []
        for life in range(5):
            child = await driver.child(life)
            assert not child.done()
            driver.held.add(ANA.id)
            await child.bring(message(f"ana {life}"), message(f"bo {life}", sender=BO))
            await until(lambda: f"bo {life}" in driver.texts, "one was kept")  # noqa: B023
            child.kill()
            await until(lambda: child.over and driver.link[-1] == "away", "it is dead")  # noqa: B023
            numbers += child.done()
            driver.held.clear()
        assert set(numbers) <= {2}
        child = await driver.child(5)
        await child.bring(*(message(f"ana {life}") for life in range(5)))
        await until(lambda: child.done() == [1, 2, 3, 4, 5], "all were kept")
        assert [text for text in dict.fromkeys(driver.texts) if text[:3] == "ana"] == [f"ana {n}" for n in range(5)]


async def test_a_child_that_says_nonsense_or_ends_is_begun_anew_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    orders = [b"say nonsense", b'say {"kind": "answer"}', b"say \xff\xfe", b"exit 3"]
    async with driven(tmp_path) as driver:
        for number, order in enumerate(orders):
            child = await driver.child(number)
            await child.order(order)
            await until(lambda: child.over and driver.link[-1] == "away", f"it has ended after {order!r}")  # noqa: B023
        again = await driver.child(len(orders))
        await again.bring(message("hello"))
        await until(lambda: driver.texts == ["hello"], "it works again")
        assert driver.link == ["away", *["ready", "away"] * len(orders), "ready"]
    warned = "\n".join(each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert warned.count("it says what nobody understands") == 3
    assert "has ended (3)" in warned


async def test_what_is_not_for_the_core_is_acknowledged_all_the_same(tmp_path: Path) -> None:
    own: dict[str, Any] = {"sender": ME, "from_me": True}
    async with driven(tmp_path) as driver:
        child = await driver.child()
        await child.bring(
            message("to ana", chat=ANA, **own),
            message("in the group", chat=GROUP, **own),
            message("to myself", chat=ME, chat_kind="self", **own),
            message(content=None),
            message(content=Text(text="")),
            message("hello"),
        )
        await until(lambda: sorted(child.done()) == [1, 2, 3, 4, 5, 6], "all were acknowledged")
        assert driver.texts == ["hello"]


@pytest.mark.parametrize(
    ("number", "table", "marked"),
    [
        ("bot", {}, ["IDhello"]),
        ("own", {}, []),
        ("bot", {"read_receipts": False}, []),
        ("own", {"read_receipts": True}, ["IDhello"]),
    ],
)
async def test_senders_see_that_a_message_was_read_where_the_setting_or_the_number_says_so(
    tmp_path: Path, number: Literal["own", "bot"], table: dict[str, Any], marked: Sequence[str]
) -> None:
    async with driven(tmp_path, table, number=number) as driver:
        child = await driver.child()
        reaction = message(id="R", event="reaction", content=Text(text="👍"), target="X", target_sender=ANA.id)
        nothing = Unsupported(what="a call")
        call, sealed = message(id="call-1", content=nothing), message(id="ID-unreadable", content=nothing)
        await child.bring(message("hello", chat=GROUP), reaction, call, sealed)
        await until(lambda: sorted(child.done()) == [1, 2, 3, 4], "they were delivered")
        await child.bring(message("last", sender=BO))
        await until(lambda: 5 in child.done(), "the last was, too")
        read = [mark for mark in child.told(MarkRead) if mark.id != "IDlast"]
        assert [mark.id for mark in read] == marked
        assert all((mark.chat, mark.sender) == (GROUP.id, ANA.id) for mark in read)


@pytest.mark.parametrize("presence", ["available", "unavailable"])
async def test_typing_is_passed_on_where_the_account_shows_as_online(tmp_path: Path, presence: str) -> None:
    async with driven(tmp_path, {"presence": presence}) as driver:
        child = await driver.child()
        await child.bring(message("hello"))
        await child.say(
            Typing(chat=ANA.alias, sender=ANA.id, on=True), Typing(chat=BO.id, sender=BO.id, on=False), Figures()
        )
        await child.bring(message("again"))
        await until(lambda: len(driver.kept) == 2, "what came after it was kept")
        assert driver.typing_in == ([ANA.id] if presence == "available" else [])


async def test_a_voice_note_that_takes_long_to_write_down_holds_up_only_its_chat(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    program = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\nprint('words')"
    async with driven(tmp_path, {"transcribe": [sys.executable, "-S", "-c", program, "{file}"]}) as driver:
        child = await driver.child()
        driver.places.media.mkdir()
        voice = driver.places.media / "v"
        voice.touch()
        media = Media(what="voice", media_type="audio/ogg", path=str(voice))
        await child.bring(message(content=media, id="V"), message("after it"), message("elsewhere", sender=BO))
        await until(lambda: child.done() == [3], "the other chat goes on")
        gate.touch()
        await until(lambda: child.done() == [3, 1, 2], "this one does, too")
        assert driver.texts == ["elsewhere", "[voice note] words", "after it"]


async def test_what_is_kept_while_the_child_has_to_end_is_still_acknowledged(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await driver.child()
        driver.finishing = True
        driver.held.add(ANA.id)
        await child.bring(message("hello"))
        await child.bring(message("later", sender=BO))
        await until(lambda: child.done() == [2], "the first is being kept")
        remove_note(driver.places)
        await until(lambda: driver.transport.state() != "", "the child has to end")
        driver.held.clear()
        await until(lambda: child.over, "it has ended")
        assert child.done() == [2, 1]


async def test_the_end_of_the_transport_ends_its_child_and_acknowledges_what_was_delivered(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await driver.child()
        await child.bring(message("hello"))
        await until(lambda: driver.texts, "it was kept")
    assert child.done() == [1]
    assert child.over
    standing = read_standing(driver.places)
    assert standing is not None
    assert (standing.state, standing.child, standing.is_running) == ("waiting", 0, False)
