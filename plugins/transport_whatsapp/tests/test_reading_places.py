"""Where something happened and who did it, read from the library's events."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from events import (
    ALICE,
    ALICE_PHONE,
    AT,
    BOB,
    E2E,
    GROUP,
    ID,
    ME,
    OWN,
    OWN_PHONE,
    event,
    in_group,
    message_of,
    no_secret,
    reading,
    record,
    record_of_call,
    record_undecryptable,
    source,
)

from nanokimi_transport_whatsapp.neonize_engine.reading import read
from nanokimi_transport_whatsapp.neonize_engine.records import MESSAGE, pack
from nanokimi_transport_whatsapp.values import Unsupported, Who

HELLO = E2E.Message(conversation="hello")


def test_a_direct_chat_is_named_without_device_and_with_both_names_of_the_person() -> None:
    found = message_of(HELLO)
    alice = Who(id=ALICE, alias=ALICE_PHONE, name="Alice")
    assert (found.chat, found.chat_kind, found.sender, found.from_me) == (alice, "direct", alice, False)
    assert (found.id, found.at, found.event, found.offline) == (ID, float(AT), "message", False)


def test_the_names_of_a_direct_chat_may_come_the_other_way_round() -> None:
    found = message_of(HELLO, where=source(ALICE_PHONE, ALICE_PHONE, ALICE))
    assert (found.chat.id, found.chat.alias) == (ALICE_PHONE, ALICE)


def test_a_group_is_named_and_so_is_who_wrote_in_it() -> None:
    found = message_of(HELLO, where=in_group())
    assert (found.chat, found.chat_kind) == (Who(id=GROUP), "group")
    assert found.sender == Who(id=ALICE, alias=ALICE_PHONE, name="Alice")


@pytest.mark.parametrize("me", [ME, None])
@pytest.mark.parametrize("chat", [OWN, OWN_PHONE])
def test_the_chat_of_the_account_with_itself_is_told_by_either_name(chat: str, me: Who | None) -> None:
    other = OWN_PHONE if chat == OWN else OWN
    found = read(record(HELLO, where=source(chat, OWN, "", other, mine=True)), no_secret, me).message
    assert found is not None
    assert (found.chat_kind, found.from_me, found.chat.alias) == ("self", True, other)
    assert found.sender.alias == ("" if me is None else OWN_PHONE)


def test_the_account_s_other_name_is_added_where_an_event_lacks_it() -> None:
    found = message_of(HELLO, where=source(OWN, OWN, "", "", mine=True))
    assert (found.chat.alias, found.sender.alias) == (OWN_PHONE, OWN_PHONE)


@pytest.mark.parametrize("other", ["", GROUP, ALICE, "x y@lid"])
def test_what_is_no_other_name_of_a_person_is_none(other: str) -> None:
    assert message_of(HELLO, where=source(ALICE, ALICE, other)).sender.alias == ""


def test_a_message_of_the_account_to_somebody_is_in_that_person_s_chat() -> None:
    found = message_of(HELLO, where=source(ALICE, OWN, "", ALICE_PHONE, mine=True), push="Owner")
    assert (found.chat, found.chat_kind, found.from_me) == (Who(id=ALICE, alias=ALICE_PHONE), "direct", True)
    assert found.sender == Who(id=OWN, alias=OWN_PHONE, name="Owner")


def test_nobody_else_can_write_in_the_chat_of_the_account_with_itself() -> None:
    assert message_of(HELLO, where=source(OWN, BOB, "")).chat_kind == "direct"


def test_devices_that_whatsapp_hosts_are_the_same_person() -> None:
    found = message_of(HELLO, where=source(GROUP, "100000000000001@hosted.lid", "15550000001@hosted"))
    assert (found.sender.id, found.sender.alias) == (ALICE, ALICE_PHONE)


@pytest.mark.parametrize("chat", ["status@broadcast", "1234@broadcast", "120363@newsletter"])
def test_statuses_broadcasts_and_channels_come_to_nothing(chat: str) -> None:
    assert reading(HELLO, where=source(chat, ALICE)).message is None
    assert reading(E2E.Message(protocolMessage={"type": 0, "key": {"ID": "X"}}), where=source(chat)).message is None
    assert read(record_undecryptable(unavailable=True, where=source(chat)), no_secret, ME).message is None


def test_what_the_own_phone_says_to_its_devices_comes_to_nothing() -> None:
    assert reading(HELLO, where=source(OWN, OWN, mine=True), category="peer").message is None


@pytest.mark.parametrize(("push", "name"), [("-", ""), ("A\u202elice\n\x07 B", "Alice B"), ("x" * 999, "x" * 200)])
def test_what_a_person_calls_themselves_is_one_short_harmless_line(push: str, name: str) -> None:
    assert message_of(HELLO, push=push).sender.name == name


def test_a_family_of_signs_stays_one_sign_in_a_name() -> None:
    assert message_of(HELLO, push="👨‍👩‍👧").sender.name == "👨‍👩‍👧"


@pytest.mark.parametrize(
    ("milliseconds", "at"), [(AT * 1000 + 250, AT + 0.25), (-5, 0.0), (2**63 - 1, 253_402_214_400.0)]
)
def test_the_time_is_in_seconds_and_always_one_that_a_calendar_has(milliseconds: int, at: float) -> None:
    happening = event(HELLO)
    happening.Info.Timestamp = milliseconds
    found = read(pack(MESSAGE, happening.SerializeToString()), no_secret, ME).message
    assert found is not None
    assert found.at == at


@pytest.mark.parametrize("kept", [False, True])
def test_a_message_says_whether_the_server_had_kept_it(kept: bool) -> None:
    found = read(pack(MESSAGE, event(HELLO).SerializeToString(), kept=kept), no_secret, ME).message
    assert found is not None
    assert found.offline == kept
    assert read(pack(MESSAGE, event(E2E.Message()).SerializeToString(), kept=kept), no_secret, ME).message is None


@pytest.mark.parametrize(
    "where", [source("@lid"), source(ALICE, ""), source("a b@lid"), source("../x@g.us", ALICE), source("x@g us", ALICE)]
)
def test_an_event_without_a_chat_or_a_sender_is_refused(where: Any) -> None:
    with pytest.raises(ValueError, match="names no chat"):
        reading(HELLO, where=where)


@pytest.mark.parametrize("network_id", ["", "a b", "x" * 129, "a\nb"])
def test_an_event_without_a_usable_id_is_refused(network_id: str) -> None:
    with pytest.raises(ValueError, match="no id"):
        reading(HELLO, network_id=network_id)


def test_a_message_that_the_phone_alone_can_show_is_named_under_an_id_of_its_own() -> None:
    found = read(record_undecryptable(unavailable=True, where=in_group()), no_secret, ME)
    assert found.message is not None
    assert (found.message.id, found.message.chat.id) == (f"{ID}-unreadable", GROUP)
    assert isinstance(found.message.content, Unsupported)
    assert "seen once" in found.message.content.what
    assert (found.media, found.quotable, found.secret) == (None, None, None)


def test_what_could_not_be_decrypted_comes_to_nothing_since_it_is_asked_for_again() -> None:
    assert read(record_undecryptable(unavailable=False), no_secret, ME).message is None


def test_a_call_is_named_in_the_caller_s_chat() -> None:
    found = read(record_of_call(), no_secret, ME).message
    assert found is not None
    alice = Who(id=ALICE, alias=ALICE_PHONE)
    assert (found.id, found.chat, found.sender, found.chat_kind) == ("call-CALL1", alice, alice, "direct")
    assert (found.at, found.content) == (float(AT), Unsupported(what="a call"))


def test_a_call_of_a_group_is_in_the_group() -> None:
    found = read(record_of_call(GROUP), no_secret, ME).message
    assert found is not None
    assert (found.chat, found.chat_kind, found.sender.id) == (Who(id=GROUP), "group", ALICE)


def test_a_call_from_no_chat_comes_to_nothing() -> None:
    assert read(record_of_call("status@broadcast"), no_secret, ME).message is None


def test_reading_needs_neither_the_shared_library_nor_libmagic_and_says_nothing() -> None:
    script = (
        "import sys, logging\n"
        "sys.modules['magic'] = sys.modules['ctypes.util'] = None\n"
        "from nanokimi_transport_whatsapp.neonize_engine.reading import read\n"
        "found = read(bytes.fromhex(sys.argv[1]), lambda *names: None)\n"
        "assert not logging.getLogger().handlers\n"
        "assert 'neonize' not in sys.modules\n"
        "print(found.message.content.text)"
    )
    ran = subprocess.run(  # our own interpreter
        [sys.executable, "-W", "error", "-c", script, record(HELLO).hex()], capture_output=True, text=True, timeout=30
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("hello\n", "", 0)
