"""What the library tells of its link, read from its own protobufs."""

from __future__ import annotations

from typing import Any

import pytest

from nanokimi_transport_whatsapp.neonize_engine import links, records
from nanokimi_transport_whatsapp.neonize_engine.protos import happenings
from nanokimi_transport_whatsapp.values import FINAL, Who

N = happenings()
NOBODY = N.JID(User="", Server="", RawAgent=0, Device=0, Integrator=0, IsEmpty=True)
PHONE = N.JID(User="1555", Server="s.whatsapp.net", RawAgent=0, Device=7, Integrator=0)
HIDDEN = N.JID(User="2000", Server="lid", RawAgent=0, Device=7, Integrator=0)
NODE = N.Node(Tag="failure")
ME = Who(id="2000@lid", alias="1555@s.whatsapp.net", name="Kai")


def read(code: int, event: Any, me: Who | None = None) -> tuple[str, int, float]:
    link = links.of_event(code, event.SerializeToString(), me)
    return link.state, link.code, link.seconds


@pytest.mark.parametrize(("reason", "code"), [("LOGGED_OUT", 401), ("MAIN_DEVICE_GONE", 403), ("UNKNOWN_LOGOUT", 406)])
def test_a_logout_is_told_with_the_servers_number(reason: str, code: int) -> None:
    event = N.LoggedOut(OnConnect=True, Reason=N.ConnectFailureReason.Value(reason))
    assert read(links.LOGGED_OUT, event) == ("logged_out", code, 0)


def test_a_logout_on_the_phone_while_connected_is_one() -> None:
    event = N.LoggedOut(OnConnect=False, Reason=N.ConnectFailureReason.Value("LOGGED_OUT"))
    assert (
        links.of_event(links.LOGGED_OUT, event.SerializeToString(), ME).said == "the account was unlinked on the phone"
    )


@pytest.mark.parametrize(("reason", "code"), [("GENERIC", 400), ("BAD_USER_AGENT", 409), ("EXPERIMENTAL", 501)])
def test_another_refusal_is_told_with_the_servers_number_and_words(reason: str, code: int) -> None:
    event = N.ConnectFailure(Reason=N.ConnectFailureReason.Value(reason), Message="go away", Raw=NODE)
    link = links.of_event(links.REFUSED, event.SerializeToString(), None)
    assert (link.state, link.code, link.said) == ("refused", code, "go away")


def test_a_ban_tells_its_kind_and_how_long_it_lasts() -> None:
    event = N.TemporaryBan(Code=N.TemporaryBan.BROADCAST_LIST, Expire=3600)
    assert read(links.BANNED, event) == ("banned", 106, 3600)


@pytest.mark.parametrize(
    ("code", "event", "state"),
    [
        (links.REPLACED, N.StreamReplaced(), "replaced"),
        (links.OUTDATED, N.ClientOutdated(), "outdated"),
        (links.DISCONNECTED, N.Disconnected(status=True), "disconnected"),
        (links.WEAK, N.KeepAliveTimeout(ErrorCount=2, LastSuccess=0), "weak"),
        (links.OFFLINE_DONE, N.OfflineSyncCompleted(Count=3), "offline_done"),
    ],
)
def test_each_change_has_its_state(code: int, event: Any, state: str) -> None:
    assert read(code, event)[0] == state


def test_an_unknown_stream_error_is_a_disconnection_that_names_it() -> None:
    link = links.of_event(links.STREAM_ERROR, N.StreamError(Code="516", Raw=NODE).SerializeToString(), None)
    assert (link.state, link.code) == ("disconnected", 516)
    assert "516" in link.said
    odd = links.of_event(links.STREAM_ERROR, N.StreamError(Code="", Raw=NODE).SerializeToString(), None)
    assert (odd.state, odd.code) == ("disconnected", 0)


@pytest.mark.parametrize("code", [links.CONNECTED, links.RESTORED])
def test_a_connection_and_keep_alives_that_are_answered_again_are_connected(code: int) -> None:
    link = links.of_event(code, b"", ME)
    assert (link.state, link.me) == ("connected", ME)


def test_the_account_is_named_by_its_hidden_id_without_the_device() -> None:
    device = N.Device(JID=PHONE, LID=HIDDEN, PushName="Kai", Platform="", BussinessName="", Initialized=True)
    assert links.account(device.SerializeToString()) == ME


def test_an_account_without_a_hidden_id_is_named_by_its_phone_number() -> None:
    device = N.Device(JID=PHONE, LID=NOBODY, PushName="", Platform="", BussinessName="Shop", Initialized=True)
    assert links.account(device.SerializeToString()) == Who(id="1555@s.whatsapp.net", name="Shop")


def test_a_device_without_an_account_names_nobody() -> None:
    device = N.Device(JID=NOBODY, LID=NOBODY, PushName="", Platform="", BussinessName="", Initialized=False)
    assert links.account(device.SerializeToString()) is None


def test_pairing_tells_the_account_with_both_names_where_they_are_known() -> None:
    event = N.PairStatus(ID=PHONE, BusinessName="", Platform="android", Status=N.PairStatus.SUCCESS)
    known = links.of_event(links.PAIRED, event.SerializeToString(), ME)
    assert (known.state, known.me) == ("paired", ME)
    alone = links.of_event(links.PAIRED, event.SerializeToString(), None)
    assert alone.me == Who(id="1555@s.whatsapp.net")


@pytest.mark.parametrize(("error", "state"), [("invalid device signature", "ended"), ("Passkey required", "passkey")])
def test_a_pairing_that_failed_is_told_with_its_reason(error: str, state: str) -> None:
    event = N.PairStatus(ID=PHONE, BusinessName="", Platform="", Status=N.PairStatus.ERROR, Error=error)
    link = links.of_event(links.PAIRED, event.SerializeToString(), None)
    assert link.state == state
    assert error in link.said


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("timeout", "codes_over"),
        ("passkey-request", "passkey"),
        ("passkey-confirmation", "passkey"),
        ("error", "ended"),
        ("err-client-outdated", "outdated"),
        ("err-unexpected-state", "refused"),
    ],
)
def test_what_the_showing_of_codes_comes_to_is_told(word: str, state: str) -> None:
    link = links.of_login_status(word)
    assert link is not None
    assert link.state == state


@pytest.mark.parametrize("word", ["success", "err-scanned-without-multidevice", "something-new"])
def test_words_from_which_nothing_follows_tell_nothing(word: str) -> None:
    assert links.of_login_status(word) is None


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("failed to dial whatsapp web websocket: no such host", "ended"),
        ("", "ended"),
        ("proto: required field neonize.TemporaryBan.Code not set", "banned"),
        ("proto: required field neonize.ConnectFailure.Reason not set", "refused"),
    ],
)
def test_the_librarys_return_is_final_where_it_hides_an_event_that_is(said: str, state: str) -> None:
    link = links.of_return(said)
    assert link.state == state
    assert (link.state in FINAL) == (state != "ended")
    assert link.said


def test_typing_names_the_chat_and_who_writes() -> None:
    source = N.MessageSource(
        Chat=HIDDEN,
        Sender=HIDDEN,
        IsFromMe=False,
        IsGroup=False,
        SenderAlt=NOBODY,
        RecipientAlt=NOBODY,
        BroadcastListOwner=NOBODY,
    )
    shown = [(N.ChatPresence.COMPOSING, True), (N.ChatPresence.PAUSED, False)]
    for state, on in shown:
        event = N.ChatPresence(MessageSource=source, State=state, Media=N.ChatPresence.TEXT)
        typing = links.typing(event.SerializeToString())
        assert (typing.chat, typing.sender, typing.on) == ("2000@lid", "2000@lid", on)


def test_a_record_gives_back_the_event_and_takes_nothing_else() -> None:
    assert records.unpack(records.pack(records.MESSAGE, b"\x00x")) == (records.MESSAGE, b"\x00x")
    assert records.unpack(records.pack(records.MESSAGE, b"x", kept=True)) == (records.MESSAGE, b"x")
    for other in (b"", b"\x01", b"\x03\x11data", b"\x01\x0cdata", b"\x02\x0cdata"):
        with pytest.raises(ValueError, match="no record"):
            records.unpack(other)
