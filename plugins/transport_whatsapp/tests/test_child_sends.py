"""Sending by key: once, or counted."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from child_rig import ChildRig, Rigs, rigs
from scripted_engine import ME, SECONDS, Hang, event, text

from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.child.database import Database
from nanokimi_transport_whatsapp.child.ledger import Entry, Ledger
from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.child.memory import Memory
from nanokimi_transport_whatsapp.engine import EngineError, Read
from nanokimi_transport_whatsapp.values import (
    Answer,
    Brought,
    File,
    Link,
    MarkRead,
    Media,
    Members,
    Pair,
    Send,
    ShowTyping,
    Unlink,
    Who,
)

ANN, BOB = "1000000002@lid", "1000000003@lid"
ANN_PHONE = "15550002@s.whatsapp.net"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Rigs]:
    with rigs(tmp_path) as made:
        yield made


def opened(made: Rigs, **more: Any) -> ChildRig:
    before = len(made.network.called("open"))
    child = made.start(**more)
    made.network.wait_called("open", before + 1)
    return child


def send(child: ChildRig, key: str, words: str = "hi", **more: Any) -> Answer:
    request = child.request()
    values: dict[str, Any] = {"request": request, "key": key, "chat": ANN, "text": words}
    child.tell(Send(**(values | more)))
    return child.answer(request)


def sent_texts(made: Rigs) -> list[str]:
    return [call["text"] for call in made.network.called("send")]


def hang(_: dict[str, Any]) -> None:
    raise Hang


def failing(*errors: Exception) -> Any:
    """A script that raises these, one after the other, and then gives an id."""
    left = list(errors)

    def answer(_: dict[str, Any]) -> str:
        if left:
            raise left.pop(0)
        return "AFTER"

    return answer


def test_a_key_that_was_sent_is_answered_from_the_disk(made: Rigs) -> None:
    child = opened(made)
    first = send(child, "k")
    child.kill()
    child = opened(made)
    again = send(child, "k")
    assert (again.network_id, again.sender, again.error) == (first.network_id, ME.id, "")
    assert len(made.network.called("send")) == 1


def test_what_certainly_was_not_sent_is_sent_as_if_for_the_first_time(made: Rigs) -> None:
    errors = [
        EngineError("away", "websocket not connected"),
        EngineError("later", "slow down", code=429, seconds=7),
        EngineError("refused", "reach-out time-lock", code=463),
        EngineError("failed", "no LID found"),
    ]
    made.network.scripts["send"] = failing(*errors)
    child = opened(made, resend="hold")
    answers = [send(child, "k") for _ in errors]
    assert [(one.error, one.said, one.code, one.seconds) for one in answers] == [
        ("away", "websocket not connected", 0, 0),
        ("later", "slow down", 429, 7),
        ("refused", "reach-out time-lock", 463, 0),
        ("failed", "no LID found", 0, 0),
    ]
    last = send(child, "k")
    assert (last.network_id, last.again) == ("AFTER", False)
    child.figures(held=0, resent=0)


@pytest.mark.parametrize("fault", [EngineError("unknown", "timed out"), RuntimeError("broken pipe")])
def test_what_may_have_been_sent_is_held_or_sent_again_and_counted(made: Rigs, fault: Exception) -> None:
    made.network.scripts["send"] = failing(fault)
    child = opened(made, resend="hold")
    assert send(child, "k").error == "unknown"
    assert [send(child, "k").error for _ in range(2)] == ["held", "held"]
    child.figures(held=1, resent=0)
    child.stop()
    assert len(sent_texts(made)) == 1

    child = opened(made, resend="resend")
    answer = send(child, "k")
    assert (answer.network_id, answer.again) == ("AFTER", True)
    child.figures(held=0, resent=1)
    assert send(child, "k").network_id == "AFTER"
    assert len(sent_texts(made)) == 2


def test_a_send_in_which_the_child_dies_is_of_unknown_outcome(made: Rigs) -> None:
    made.network.scripts["send"] = hang
    child = opened(made)
    child.tell(Send(request=1, key="k", chat=ANN, text="hi"))
    made.network.wait_called("send")
    made.network.do("abort")
    assert child.ended() < 0
    made.network.scripts["send"] = failing(EngineError("away", "not connected"))
    child = opened(made)
    assert send(child, "k").error == "away"
    assert send(child, "k").again  # the first attempt's outcome is as unknown as before
    child.figures(resent=2)


def test_a_send_that_hangs_is_answered_and_holds_no_other_up_and_its_late_end_counts(made: Rigs) -> None:
    made.network.scripts["send"] = lambda call: hang(call) if call["text"] == "slow" else "QUICK"
    child = opened(made, limits={"send_seconds": 0.3})
    child.tell(Send(request=1001, key="slow", chat=ANN, text="slow"))
    made.network.wait_called("send")
    assert send(child, "other", chat=BOB).network_id == "QUICK"
    assert child.answer(1001).error == "unknown"
    assert send(child, "next").network_id == "QUICK"
    assert send(child, "slow", "slow").said == "an earlier attempt is still under way"
    made.network.release()
    until_sent(child, "slow")
    late = send(child, "slow", "slow")
    assert (late.error, late.network_id) == ("", "ID1")
    assert sent_texts(made).count("slow") == 1


def until_sent(child: ChildRig, key: str) -> None:
    until = time.monotonic() + SECONDS
    while send(child, key, "slow").error:
        assert time.monotonic() < until, f"{key} was never noted as sent"


def test_when_too_many_calls_hang_the_child_ends(made: Rigs) -> None:
    made.network.scripts["send"] = hang
    child = opened(made, limits={"send_seconds": 0.1, "hung": 3, "stop_seconds": 0.5})
    for number in range(3):
        assert child.process.poll() is None
        child.tell(Send(request=number, key=f"k{number}", chat=f"{number}@lid", text="hi"))
    assert child.ended() == exits.STUCK


def test_sends_to_one_chat_stay_in_order(made: Rigs) -> None:
    child = opened(made)
    for number in range(30):
        child.tell(Send(request=number, key=f"k{number}", chat=ANN if number % 2 else BOB, text=str(number)))
    child.expect(Answer, 30)
    texts = [int(words) for words in sent_texts(made)]
    assert [number for number in texts if number % 2] == list(range(1, 30, 2))
    assert [number for number in texts if not number % 2] == list(range(0, 30, 2))


def test_a_file_is_sent_as_bytes_and_only_a_regular_one_of_bounded_size(made: Rigs, tmp_path: Path) -> None:
    child = opened(made, limits={"send_bytes": 10})
    good, large, link, pipe = (tmp_path / name for name in ("good", "large", "link", "pipe"))
    good.write_bytes(b"0123456789")
    large.write_bytes(b"0123456789a")
    link.symlink_to(good)
    os.mkfifo(pipe)

    def answer(path: Path) -> Answer:
        return send(child, f"k{path.name}", file=File(path=str(path), name="x.pdf", media_type="application/pdf"))

    assert answer(good).network_id == "ID1"
    assert made.network.called("send")[0]["file"] == {"name": "x.pdf", "size": 10}
    refused = [answer(path) for path in (large, link, pipe, tmp_path, tmp_path / "missing")]
    assert [one.error for one in refused] == ["refused"] * 5
    assert [one.said.removeprefix("the file x.pdf can't be sent: ") for one in refused] == [
        "it is larger than 10 bytes",
        "Too many levels of symbolic links",
        "it is no regular file",
        "it is no regular file",
        "No such file or directory",
    ]
    assert len(sent_texts(made)) == 1


def test_an_answer_quotes_what_was_heard_and_keeps_the_chats_timer_by_either_name(made: Rigs) -> None:
    child = opened(made)
    who = Who(id=ANN, alias=ANN_PHONE)
    heard = text(ANN, "A1", "x" * 2000, who=who, sender=who, expires=86_400)
    made.network.bring(event(heard, quotable="the whole message", secret="s3cret"))
    edit = text(ANN, "A2", "", who=who, event="edit", target="A1")
    made.network.bring(event(edit, reveal=[ANN_PHONE, ANN_PHONE, "A1"]))
    child.expect(Brought, 2)
    assert child.texts()[1] == "s3cret"
    for chat in (ANN, ANN_PHONE):
        send(child, chat, chat=chat, reply_to="A1")
    send(child, "k3", chat=BOB, reply_to="A1", reply_sender=BOB)
    quote = {"id": "A1", "sender": ANN, "quotable": "the whole message", "text": "x" * 1024}
    unknown = {"id": "A1", "sender": BOB, "quotable": "", "text": ""}
    assert [call["quote"] for call in made.network.called("send")] == [quote, quote, unknown]
    assert [call["expires"] for call in made.network.called("send")] == [86_400, 86_400, 0]
    made.network.bring(event(text(ANN, "A3", "no timer any more", who=who)))
    child.expect(Brought, 3)
    send(child, "k4")
    assert made.network.called("send")[-1]["expires"] == 0


def test_other_requests_are_answered_and_signs_are_given(made: Rigs) -> None:
    child = opened(made)
    made.network.scripts["unlink"] = failing(EngineError("away", "not connected"), RuntimeError("nil"))
    child.tell(
        ShowTyping(chat=ANN, on=True),
        MarkRead(chat=ANN, sender=BOB, id="A1"),
        Members(request=1, chat="1@g.us"),
        Pair(request=2, phone="15550001"),
        Unlink(request=3),
    )
    assert child.answer(1).names == (ME.id, "1000000002@lid")
    assert child.answer(2).names == ("ABCD-EFGH",)
    assert child.answer(3).error == "away"
    child.tell(Unlink(request=4))
    assert child.answer(4).error == "unknown"
    assert made.network.wait_called("show_typing")[0]["on"] is True
    assert made.network.wait_called("mark_read")[0]["sender"] == BOB
    made.network.scripts.update(dict.fromkeys(("members", "mark_read", "show_typing"), failing(RuntimeError("nil"))))
    child.tell(ShowTyping(chat=ANN, on=False), MarkRead(chat=ANN, sender=BOB, id="A2"), Members(request=5, chat="g"))
    child.expect(Answer, request=5)
    assert child.stop() == exits.STOPPED


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    limits = Limits(heard=60, heard_bytes=100_000, chats=3, sends=3)
    database = Database(tmp_path / "spool.db", limits, trouble=print, damaged=print)
    memory, ledger = Memory(database, limits), Ledger(database, limits)
    for number in range(200):
        chat = f"{number}@lid"
        memory.hear(Read(text(chat, f"A{number}", "words", expires=60), quotable=b"q" * 4000))
        ledger.begin(chat, again=False)
        ledger.sent(chat, "ID", ME.id)
    ledger.mark("199@lid", "unknown")  # too late: it is known that it has gone out
    assert ledger.find("199@lid") == Entry("sent", "ID", ME.id)
    with closing(sqlite3.connect(tmp_path / "spool.db")) as connection:
        rows, size = connection.execute("SELECT count(*), sum(length(quotable)) FROM heard").fetchone()
        sends = connection.execute("SELECT key FROM sends").fetchall()
        chats = connection.execute("SELECT chat FROM chats").fetchall()
    assert 0 < rows <= 60
    assert size <= 100_000
    assert memory.heard("199@lid", "A199") is not None
    assert memory.heard("0@lid", "A0") is None
    database.close()
    assert sorted(sends) == sorted(chats) == [("197@lid",), ("198@lid",), ("199@lid",)]


def test_a_repeated_message_keeps_its_secret_and_a_huge_quotable_is_not_kept(tmp_path: Path) -> None:
    limits = Limits()
    database = Database(tmp_path / "spool.db", limits, trouble=print, damaged=print)
    memory = Memory(database, limits)
    photo = Media(what="image", media_type="image/png", caption="a caption")
    memory.hear(Read(text(ANN, "A1", "", content=photo), quotable=b"q" * 20_000, secret=b"secret"))
    memory.hear(Read(text(ANN, "A1", "", content=photo)))
    assert memory.secret_of(ANN, ANN, "A1") == b"secret"
    assert memory.secret_of(ANN, BOB, "A1") is None
    heard = memory.heard(ANN, "A1")
    database.close()
    assert heard is not None
    assert (heard.quotable, heard.text) == (None, "a caption")


def test_too_many_messages_at_once_are_put_off(made: Rigs) -> None:
    made.network.scripts["send"] = hang
    child = opened(made, limits={"requests": 2})
    made.network.link(Link(state="connected"))
    for number in range(3):
        child.tell(Send(request=number, key=f"k{number}", chat=ANN, text="hi"))
    answer = child.answer(2)
    assert (answer.error, answer.seconds) == ("later", 10)
