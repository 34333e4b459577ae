"""The engine at the edge to the library, with a scripted library in its place: one process for all tests."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_process import EngineProcess, packed
from scripted_library import device

from nanokimi_transport_whatsapp.engine import EngineError
from nanokimi_transport_whatsapp.neonize_engine import links
from nanokimi_transport_whatsapp.neonize_engine.protos import contents, happenings
from nanokimi_transport_whatsapp.neonize_engine.records import CALL_OFFER, MESSAGE, UNDECRYPTABLE, unpack, was_kept

pytestmark = pytest.mark.whatsapp

N = happenings()
ALICE, ALICE_PHONE, GROUP = "100000000000001@lid", "15550000001@s.whatsapp.net", "120363000000000001@g.us"
DEVICE = device()
OWN, OWN_PHONE = "200000000000002@lid", "15550000002@s.whatsapp.net"

CALLS: dict[str, dict[str, Any]] = {
    "send": {"chat": ALICE, "text": "x"},
    "fetch": {"media": ""},
    "show_typing": {"chat": ALICE, "on": True},
    "mark_read": {"chat": ALICE, "sender": ALICE, "network_id": "3EB0"},
    "members": {"chat": GROUP},
    "other_name": {"who": ALICE},
    "pair": {"phone": "15550000002"},
    "unlink": {},
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("engine"), {"NEONIZE_BOT_TAG": "off"}, scripted=True) as process:
        yield process


@pytest.fixture
def closed(process: EngineProcess) -> EngineProcess:
    """The engine; what the tests before have left is taken away."""
    process.do("anew")
    process.forget()
    return process


@pytest.fixture
def engine(closed: EngineProcess) -> Iterator[EngineProcess]:
    """The engine, opened: its library connects."""
    closed.do("open")
    yield closed
    closed.do("full", on=False)
    closed.do("close")


def event(engine: EngineProcess, number: int, data: Any = b"") -> None:
    serialized = data if isinstance(data, bytes) else data.SerializeToString()
    engine.library("act", "event", str(number), packed(serialized))


def connect(engine: EngineProcess, *, backlog: bool = False) -> None:
    engine.library("link_account")
    event(engine, links.ME, DEVICE)
    event(engine, links.CONNECTED, N.Connected(status=True))
    engine.link("connected")
    if not backlog:
        event(engine, links.OFFLINE_DONE)
        engine.link("offline_done")


def test_nothing_is_sent_while_the_messages_come_that_the_server_had_kept(engine: EngineProcess) -> None:
    connect(engine, backlog=True)
    sending = engine.begin("send", chat=ALICE, text="x")
    assert engine.do("other_name", who=ALICE) is not None
    assert not engine.library("asked", "SendMessage")
    event(engine, links.OFFLINE_DONE)
    engine.answer(sending)
    assert engine.library("asked", "SendMessage")


def test_a_send_that_waits_for_kept_messages_ends_with_the_connection(engine: EngineProcess) -> None:
    connect(engine, backlog=True)
    sending = engine.begin("send", chat=ALICE, text="x")
    event(engine, links.DISCONNECTED)
    with pytest.raises(EngineError) as error:
        engine.answer(sending)
    assert error.value.kind == "away"


def stopped(engine: EngineProcess) -> bool:
    """Whether the library was told to stop the session that it was told to begin last."""
    begun = engine.library("asked", "Neonize")
    return bool(begun) and [begun[-1][1]] in engine.library("asked", "Stop")


def refused(engine: EngineProcess, call: str) -> str:
    with pytest.raises(EngineError) as error:
        engine.do(call, **CALLS[call])
    return str(error.value.kind)


# ------------------------------------------------------------------ the link
def test_codes_are_told_with_how_long_they_count(engine: EngineProcess) -> None:
    for code in ("one", "two", "three"):
        engine.library("act", "code", code)
    shown = [engine.link("code") for _ in range(3)]
    assert [(link["said"], link["seconds"]) for link in shown] == [("one", 60), ("two", 20), ("three", 20)]


def test_the_end_of_the_codes_and_a_passkey_are_told(engine: EngineProcess) -> None:
    engine.library("act", "code", "one")
    engine.library("act", "status", "passkey-request")
    engine.link("passkey")
    engine.library("act", "status", "timeout")
    engine.link("codes_over")


def test_a_connection_tells_the_account(engine: EngineProcess) -> None:
    engine.library("link_account")
    event(engine, links.CONNECTED, N.Connected(status=True))
    assert engine.link("connected")["me"] == {"id": OWN, "alias": OWN_PHONE, "name": "Kai"}


@pytest.mark.parametrize("presence", ["unavailable", "available"])
def test_presence_is_shown_once_the_account_has_a_name(closed: EngineProcess, presence: str) -> None:
    closed.do("anew", presence=presence)
    closed.library("answer", "SendPresence", *["can't send presence without PushName set"] * 2)
    closed.do("open")
    connect(closed)
    closed.until(lambda: closed.library("asked", "SendPresence") == [[presence]] * 3)
    closed.do("close")


def test_a_session_that_cannot_be_kept_is_told(closed: EngineProcess) -> None:
    closed.do("anew", session=str(closed.session.parent / "nowhere" / "session.db"))
    closed.do("open")
    assert "session" in closed.link("ended")["said"]
    assert not closed.library("asked", "Neonize")


def test_what_the_library_returns_with_is_told(engine: EngineProcess) -> None:
    engine.library("act", "return", "failed to dial whatsapp web websocket: no such host")
    assert engine.link("ended")["said"] == "failed to dial whatsapp web websocket: no such host"


def test_the_library_is_asked_for_the_events_that_somebody_reads_and_for_no_history(engine: EngineProcess) -> None:
    engine.until(lambda: engine.library("asked", "Neonize"))
    database, _, codes, device = engine.library("asked", "Neonize")[0]
    history, receipts = 13, 18
    assert {MESSAGE, CALL_OFFER, UNDECRYPTABLE, links.CONNECTED, links.LOGGED_OUT, links.TYPING} <= set(codes)
    assert not {history, receipts} & set(codes)
    assert (Path(database), "NanoKimi" in device) == (engine.session, True)


# ------------------------------------------------------------------ events
def test_an_event_is_on_disk_before_the_library_goes_on(engine: EngineProcess) -> None:
    engine.do("full", on=True)
    event(engine, MESSAGE, b"first")
    event(engine, MESSAGE, b"second")
    engine.told("arriving")
    assert engine.library("waiting") >= 1
    assert not engine.so_far("raw")
    assert not engine.so_far("arriving")
    engine.do("full", on=False)
    arrived = [unpack(base64.b64decode(engine.told("raw"))) for _ in range(2)]
    assert arrived == [(MESSAGE, b"first"), (MESSAGE, b"second")]


def test_what_the_library_has_acknowledged_still_comes_after_the_close(engine: EngineProcess) -> None:
    connect(engine)
    engine.do("full", on=True)
    for number in range(3):
        event(engine, MESSAGE, b"%d" % number)
    event(engine, links.DISCONNECTED, N.Disconnected(status=True))
    engine.told("arriving")
    engine.do("close")
    assert not stopped(engine)
    engine.do("full", on=False)
    raw = [unpack(base64.b64decode(engine.told("raw")))[1] for _ in range(3)]
    assert raw == [b"0", b"1", b"2"]
    engine.until(lambda: stopped(engine))
    assert not engine.so_far("link")


def test_what_comes_before_the_server_has_given_all_is_marked_as_kept(engine: EngineProcess) -> None:
    def came_as_kept() -> bool:
        event(engine, MESSAGE, b"data")
        return was_kept(base64.b64decode(engine.told("raw")))

    assert came_as_kept()
    connect(engine, backlog=True)
    assert came_as_kept()
    event(engine, links.OFFLINE_DONE)
    engine.link("offline_done")
    assert not came_as_kept()
    event(engine, links.DISCONNECTED)
    engine.link("disconnected")
    assert came_as_kept()
    event(engine, links.OFFLINE_DONE)  # "connected" is told from another of the library's threads, maybe later
    connect(engine)
    assert not came_as_kept()
    engine.do("close")
    engine.do("open")
    assert came_as_kept()


def test_typing_is_a_hint_that_is_not_kept(engine: EngineProcess) -> None:
    alice = N.JID(User="100000000000001", Server="lid", RawAgent=0, Device=2, Integrator=0)
    others = dict.fromkeys(("SenderAlt", "RecipientAlt", "BroadcastListOwner"), alice)
    source = N.MessageSource(Chat=alice, Sender=alice, IsFromMe=False, IsGroup=False, **others)
    typing = N.ChatPresence(MessageSource=source, State=N.ChatPresence.COMPOSING, Media=N.ChatPresence.TEXT)
    event(engine, links.TYPING, typing)
    assert engine.told("typing") == {"kind": "typing", "chat": ALICE, "sender": ALICE, "on": True}
    assert not engine.so_far("raw")


# ------------------------------------------------------------------ guards
def test_no_call_reaches_the_library_before_an_account_is_connected(engine: EngineProcess) -> None:
    engine.library("act", "code", "one")
    engine.link("code")
    assert {refused(engine, call) for call in CALLS if call != "pair"} == {"away"}


def test_a_code_for_a_phone_is_given_only_while_codes_are_shown(engine: EngineProcess) -> None:
    assert refused(engine, "pair") == "away"
    engine.library("act", "code", "one")
    engine.link("code")
    assert engine.do("pair", phone="15550000002") == "ABCD-EFGH"
    assert engine.library("asked", "PairPhone") == [["15550000002", "Chrome (Linux)"]]
    engine.library("act", "status", "timeout")
    engine.link("codes_over")
    assert refused(engine, "pair") == "away"


@pytest.mark.parametrize(
    ("number", "data", "state"),
    [
        (links.DISCONNECTED, N.Disconnected(status=True), "disconnected"),
        (
            links.LOGGED_OUT,
            N.LoggedOut(OnConnect=False, Reason=N.ConnectFailureReason.Value("LOGGED_OUT")),
            "logged_out",
        ),
        (links.REPLACED, N.StreamReplaced(), "replaced"),
    ],
)
def test_no_call_reaches_the_library_after_the_connection_is_gone(
    engine: EngineProcess, number: int, data: Any, state: str
) -> None:
    connect(engine)
    event(engine, number, data)
    engine.link(state)
    assert {refused(engine, call) for call in CALLS} == {"away"}


def test_no_call_reaches_the_library_after_it_was_unlinked_or_closed(engine: EngineProcess) -> None:
    connect(engine)
    engine.do("unlink")
    assert {refused(engine, call) for call in CALLS} == {"away"}
    engine.do("close")
    assert {refused(engine, call) for call in CALLS} == {"away"}


def test_calls_still_come_through_while_the_connection_is_only_weak(engine: EngineProcess) -> None:
    connect(engine)
    event(engine, links.WEAK, N.KeepAliveTimeout(ErrorCount=1, LastSuccess=0))
    engine.link("weak")
    assert engine.do("send", **CALLS["send"])["network_id"] == "3EB0AA"


# ------------------------------------------------------------------ ending
def test_a_send_that_hangs_holds_up_no_other_call_and_no_close(engine: EngineProcess) -> None:
    connect(engine)
    engine.library("hang", "SendMessage")
    hanging = engine.begin("send", **CALLS["send"])
    engine.until(lambda: engine.library("asked", "SendMessage"))
    engine.do("show_typing", **CALLS["show_typing"])
    engine.do("close")
    assert refused(engine, "send") == "away"
    engine.until(lambda: stopped(engine))
    engine.library("let_go", "SendMessage")
    assert engine.answer(hanging)["network_id"] == "3EB0AA"


def test_a_close_while_codes_are_shown_comes_back_though_the_library_does_not(engine: EngineProcess) -> None:
    engine.library("act", "code", "one")
    engine.link("code")
    engine.do("close")
    assert stopped(engine)


def test_a_close_behind_a_dial_comes_back_and_the_library_is_stopped_after_the_dial(closed: EngineProcess) -> None:
    closed.library("hang", "Neonize")
    closed.do("open")
    closed.until(lambda: closed.library("asked", "Neonize"))
    closed.do("close")
    assert not stopped(closed)
    closed.library("act", "return", "failed to dial")
    closed.library("let_go", "Neonize")
    closed.until(lambda: stopped(closed))
    assert not closed.so_far("link")


def test_a_new_connection_waits_until_the_one_before_is_closed_and_has_a_name_of_its_own(engine: EngineProcess) -> None:
    connect(engine)
    engine.library("hang", "Stop")
    engine.do("open")
    engine.until(lambda: stopped(engine))
    assert len(engine.library("asked", "Neonize")) == 1
    engine.library("let_go", "Stop")
    engine.until(lambda: len(engine.library("asked", "Neonize")) == 2)
    first, second = (asked[1] for asked in engine.library("asked", "Neonize"))
    assert first != second


def test_nothing_is_told_of_the_link_after_a_close(engine: EngineProcess) -> None:
    connect(engine)
    engine.do("close")
    engine.until(lambda: stopped(engine))
    assert not engine.so_far("link")


# ------------------------------------------------------------------ sending
def test_a_message_goes_to_the_chat_and_is_answered_with_the_accounts_name_there(engine: EngineProcess) -> None:
    connect(engine)
    for chat, name in ((f"{ALICE.split('@')[0]}:3@lid", OWN), (GROUP, OWN), (ALICE_PHONE, OWN_PHONE)):
        assert engine.do("send", chat=chat, text="hi") == {"network_id": "3EB0AA", "sender": name}
    asked = engine.library("asked", "SendMessage")
    assert [chat for chat, _ in asked] == [ALICE, GROUP, ALICE_PHONE]
    message = contents().Message.FromString(base64.b64decode(asked[0][1]))
    assert message.extendedTextMessage.text == "hi"


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        ("server returned error 463", "refused", 463),
        ("server returned error 479", "refused", 479),
        ("server returned error 429", "later", 429),
        ("timed out waiting for message send response", "unknown", 0),
    ],
)
def test_the_servers_error_is_raised_with_its_number(engine: EngineProcess, said: str, kind: str, code: int) -> None:
    connect(engine)
    engine.library("answer", "SendMessage", said)
    with pytest.raises(EngineError) as error:
        engine.do("send", **CALLS["send"])
    assert (error.value.kind, error.value.code) == (kind, code)
    assert engine.do("send", **CALLS["send"])["network_id"] == "3EB0AA"


def test_a_file_that_the_media_server_refuses_is_never_of_unknown_outcome(engine: EngineProcess) -> None:
    connect(engine)
    engine.library("answer", "Upload", "failed to execute request: timed out")
    file = {"data": packed(b"abc"), "name": "a.txt", "media_type": "text/plain"}
    with pytest.raises(EngineError) as error:
        engine.do("send", chat=ALICE, file=file)
    assert error.value.kind == "later"
    assert not engine.library("asked", "SendMessage")
    engine.do("send", chat=ALICE, file=file)
    assert engine.library("asked", "Upload")[-1] == [3, 3]


# ------------------------------------------------------------------ its log
def test_the_librarys_lines_are_logged_but_never_a_code_with_which_one_could_link(engine: EngineProcess) -> None:
    engine.until(lambda: engine.library("level") == "WARN")
    engine.library("act", "log", "", packed(b"no protobuf"))
    for words in ("Emitting QR code https://wa.me/secret", "something broke"):
        entry = N.LogEntry(Name="Client/Socket", Level="WARN", Message=words)
        engine.library("act", "log", "", packed(entry.SerializeToString()))
    told = engine.told("log")
    assert told == ["whatsmeow.Client.Socket", "WARNING", "something broke"]
    assert not engine.so_far("log")


def test_a_line_of_the_log_that_quotes_what_is_no_text_ends_nothing(engine: EngineProcess) -> None:
    engine.until(lambda: engine.library("level") == "WARN")
    entry = N.LogEntry(Name="Client", Level="WARN", Message="too small: ??").SerializeToString()
    engine.library("act", "log", "", packed(entry.replace(b"??", b"\xff\xfe")))
    assert engine.told("log") == ["whatsmeow.Client", "WARNING", "too small: \ufffd\ufffd"]
