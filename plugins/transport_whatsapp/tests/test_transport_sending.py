"""What is owed goes out once, part by part, and what came of it is said in the core's words."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from transport_driver import ANA, BO, GROUP, ME, Child, Driver, driven, message, until

from nanokimi_core import Attachment, NotSent, Outbound, Receipt, Undeliverable
from nanokimi_transport_whatsapp import Settings
from nanokimi_transport_whatsapp.outgoing import OutcomeUnknown, Pace, parts, traits_of
from nanokimi_transport_whatsapp.values import Answer, Members, Send, ShowTyping

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def file(name: str, media_type: str = "image/png") -> Attachment:
    return Attachment(name, media_type, Path("/files") / name, 3)


async def acquainted(driver: Driver, *more: Any) -> Child:
    """Have a connected child, and a chat that has written."""
    child = await driver.child()
    await child.bring(message("hello"), *more)
    await until(lambda: len(driver.kept) == 1 + len(more), "they have written")
    return child


async def test_a_text_goes_out_under_its_key_and_its_receipt_is_the_id_that_answers_name(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await acquainted(driver)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child.answer, 0)
            receipt = await driver.say("*hi*", key="k1", reply_to="A/B/100@lid")
        (send,) = child.told(Send)
        assert (send.key, send.chat, send.text) == ("k1", ANA.id, "*hi*")
        assert (send.reply_to, send.reply_sender) == ("A/B", ANA.id)
        assert receipt == Receipt(f"NET-k1/{ME.id}")
        # and what answers it is known as an answer to us, whichever of our names it is quoted under
        await child.bring(message("thanks", chat=GROUP, quoted={"id": "NET-k1", "sender": ME.alias}))
        await until(lambda: len(driver.kept) == 2, "the answer came")
        assert (driver.kept[1].reply_to, driver.kept[1].mentions_me) == (receipt.network_id, True)


async def test_a_chat_is_written_to_by_its_one_name_whichever_the_owner_has_written_down(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await acquainted(driver)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child.answer, 0)
            await driver.say("hi", ANA.alias)
        assert child.told(Send)[0].chat == ANA.id


async def test_each_part_has_a_key_of_its_own_and_the_first_gives_the_receipt(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await acquainted(driver)
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(child.answer, number)
            receipt = await driver.say("two files", reply_to="A1/100@lid", attachments=(file("a"), file("b")))
        sends = child.told(Send)
        assert [send.key for send in sends] == ["key", "key#1", "key#2"]
        assert [(send.text, send.file.name if send.file else "") for send in sends] == [
            ("two files", ""), ("", "a"), ("", "b")
        ]  # fmt: skip
        assert [send.reply_to for send in sends] == ["A1", "", ""]
        assert receipt.network_id == f"NET-key/{ME.id}"


@pytest.mark.parametrize(
    ("text", "files", "expected"),
    [
        ("look", [file("a")], [("look", "a")]),
        ("x" * 1001, [file("a")], [("x" * 1001, ""), ("", "a")]),
        ("listen", [file("a", "audio/ogg")], [("listen", ""), ("", "a")]),
        ("", [file("a", "audio/ogg")], [("", "a")]),
        ("read", [file("a", "application/pdf")], [("read", "a")]),
        ("", [file("a"), file("b")], [("", "a"), ("", "b")]),
        ("text", [], [("text", "")]),
    ],
    ids=["caption", "long", "voice", "voice alone", "document", "several", "text"],
)
def test_a_file_takes_a_short_text_along(text: str, files: list[Attachment], expected: list[tuple[str, str]]) -> None:
    made = parts(Outbound("k", "c", text, attachments=tuple(files)))
    assert [(said, each.name if each else "") for said, each in made] == expected


ANSWERS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"error": "away", "said": "no line"}, NotSent),
    ({"error": "later", "said": "slow down", "seconds": 7}, NotSent),
    ({"error": "failed", "said": "oops"}, NotSent),
    ({"error": "refused", "said": "blocked", "code": 479}, Undeliverable),
    ({"error": "held", "said": "perhaps sent"}, Undeliverable),
    ({"error": "unknown", "said": "no answer"}, OutcomeUnknown),
]


async def test_what_is_answered_is_said_in_the_cores_words(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await acquainted(driver)
        for number, (answer, error) in enumerate(ANSWERS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(child.answer, number, **answer))
                with pytest.raises(error, match=answer["said"]) as raised:
                    await driver.say("hi")
            assert type(raised.value) is error
            if isinstance(raised.value, NotSent):
                seconds = answer.get("seconds")
                assert raised.value.retry_after == (timedelta(seconds=seconds) if seconds else None)
        assert not driver.context.told


async def test_a_part_that_fails_stops_those_after_it_and_another_attempt_has_the_same_keys(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await acquainted(driver)
        files = (file("a"), file("b"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child.answer, 0)
            tasks.start_soon(lambda: child.answer(1, error="later", said="wait"))
            with pytest.raises(NotSent):
                await driver.say("text", attachments=files)
        async with anyio.create_task_group() as tasks:
            for number in (2, 3, 4):
                tasks.start_soon(child.answer, number)
            await driver.say("text", attachments=files)
        assert [send.key for send in child.told(Send)] == ["key", "key#1", "key", "key#1", "key#2"]


async def test_a_child_that_dies_inside_a_send_leaves_its_end_unknown(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await acquainted(driver)

        async def die() -> None:
            await until(lambda: child.told(Send), "it was told to send")
            child.kill()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(die)
            with pytest.raises(OutcomeUnknown):
                await driver.say("hi", key="k1")
        again = await driver.child(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(again.answer, 0)
            await driver.say("hi", key="k1")
        assert [send.key for send in again.told(Send)] == ["k1"]


async def test_without_a_connection_nothing_is_sent(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        with pytest.raises(NotSent, match="not connected"):
            await driver.say("hi")
        child = await driver.child(connected=False)
        with pytest.raises(NotSent, match="is connecting"):
            await driver.say("hi")
        await driver.transport.typing(ANA.id, True)
        with pytest.raises(NotSent):
            await driver.transport.members(GROUP.id)
        assert len(child.heard) <= 2  # Start, and perhaps Ask


async def test_only_chats_that_have_written_are_written_to_also_after_a_restart(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        await acquainted(driver, message("hi", chat=GROUP, sender=BO))
        for stranger in (BO.id, "500@lid", "12036-9@g.us"):
            with pytest.raises(Undeliverable, match=r"nobody has written.*reply_only = false.*whatsapp"):
                await driver.say("hi", stranger)
    async with driven(tmp_path) as driver:
        child = await driver.child()
        async with anyio.create_task_group() as tasks:
            for number, chat in enumerate((ANA.id, ANA.alias, GROUP.id)):
                tasks.start_soon(child.answer, number)
                await driver.say("hi", chat)


async def test_the_owners_chat_with_themselves_needs_no_first_word(tmp_path: Path) -> None:
    async with driven(tmp_path, number="own") as driver:
        child = await driver.child()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child.answer, 0)
            await driver.say("hi", driver.transport.owner_chat() or "")
        await child.bring(message("echo", id="NET-key", sender=ME, chat=ME, chat_kind="self", from_me=True))
        await until(lambda: child.done() == [1], "the echo was acknowledged")
        assert not driver.kept


async def test_the_setting_lets_strangers_be_written_to(tmp_path: Path) -> None:
    async with driven(tmp_path, {"reply_only": False}) as driver:
        child = await driver.child()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child.answer, 0)
            await driver.say("hi", "500@lid")


async def test_what_is_no_chat_is_refused(tmp_path: Path) -> None:
    async with driven(tmp_path, {"reply_only": False}) as driver:
        await driver.child()
        for chat in ("", "lobby", "a b@lid", "@lid", "1@lid\n", "../1@lid", "1@lid/2"):
            with pytest.raises(Undeliverable, match="no chat"):
                await driver.say("hi", chat)


async def test_a_time_lock_is_refused_for_good_and_told_to_the_owner(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await acquainted(driver)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: child.answer(0, error="refused", said="not now", code=463))
            with pytest.raises(Undeliverable, match="463"):
                await driver.say("hi")
        assert "463" in driver.context.told["reach-out"]


async def test_typing_and_members_are_asked_of_the_child(tmp_path: Path) -> None:
    async with driven(tmp_path) as driver:
        child = await acquainted(driver)
        await driver.transport.typing(ANA.alias, True)
        await driver.transport.typing(ANA.id, False)
        await until(lambda: len(child.told(ShowTyping)) == 2, "typing is shown")
        assert [(each.chat, each.on) for each in child.told(ShowTyping)] == [(ANA.id, True), (ANA.id, False)]

        async def answer(number: int, **said: Any) -> None:
            await until(lambda: len(child.told(Members)) > number, "members are asked for")
            await child.say(Answer(request=child.told(Members)[number].request, **said))

        assert await driver.transport.members(ANA.id) == ()  # a direct chat; nobody is asked
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: answer(0, names=("Ana", "Bo")))
            assert await driver.transport.members(GROUP.id) == ("Ana", "Bo")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: answer(1, error="failed", said="no"))
            with pytest.raises(NotSent, match="no"):
                await driver.transport.members(GROUP.id)


@pytest.mark.parametrize(("per_minute", "burst"), [(20, 3), (1, 3), (2, 1), (5, 20), (600, 1)])
def test_no_minute_has_more_messages_than_the_setting(per_minute: int, burst: int) -> None:
    traits = traits_of(Settings(per_minute=per_minute, burst=burst))
    assert traits.per_minute is not None
    between = 60 / traits.per_minute
    starts = [max(number - (traits.burst - 1), 0) * between for number in range(3 * per_minute + 50)]
    for start in starts:
        assert sum(start <= each < start + 60 - 1e-6 for each in starts) <= per_minute
    assert (traits.burst_chat, traits.per_minute_chat) == (burst, 60)
    assert (traits.markup, traits.max_text, traits.quotes, traits.concurrent_sends) == ("whatsapp", 4000, "group", True)


async def test_parts_beyond_the_pace_wait_for_the_next_minute() -> None:
    pace = Pace(3)
    for _ in range(3):
        await pace.wait()
    with pytest.raises(NotSent) as waits:
        await pace.wait()
    assert waits.value.retry_after is not None
    assert 50 < waits.value.retry_after.total_seconds() <= 60
    assert re.search("WhatsApp bears", str(waits.value))
