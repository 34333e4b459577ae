"""The engine with the real library, against the stand-in server: linked, spoken to, and in trouble."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine_process import EngineProcess, packed
from PIL import Image
from test_engine_outgoing import opus
from whatsapp_testbed import Friend, Group, User, WhatsAppServer

from nanokimi_transport_whatsapp.engine import EngineError

pytestmark = pytest.mark.whatsapp

SEVEN_DAYS = 604800


@dataclass(frozen=True)
class World:
    """WhatsApp, with Alice's client and an engine that is linked to the owner's account."""

    server: WhatsAppServer
    owner: User
    alice: User
    group: Group
    friend: Friend
    engine: EngineProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WhatsAppServer]:
    with WhatsAppServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def world(server: WhatsAppServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    owner = server.user("15550000002", "200000000000002", "Owner")
    alice = server.user("15550000001", "100000000000001", "Alice")
    group = server.group("120363000000000001", "Club", [alice, owner])
    folder = tmp_path_factory.mktemp("world")
    process = EngineProcess(folder / "engine", server.environment())  # starts while the friend does
    with process as engine, Friend(server, alice, folder / "alice") as friend:
        engine.do("open")
        owner.scan(engine.link("code")["said"])
        me = engine.link("paired")["me"]
        for known in (me, engine.link("connected")["me"]):
            assert (known["id"], known["alias"]) == (owner.chat, owner.phone_chat)
        engine.link("offline_done")
        yield World(server, owner, alice, group, friend, engine)


# ------------------------------------------------------------------ speaking
def test_a_text_comes_in_and_its_answer_quotes_it_on_the_other_phone(world: World) -> None:
    asked = world.friend.send_text(world.owner.chat, "hello?", expiration=SEVEN_DAYS)
    read = world.engine.message()
    message = read["message"]
    assert (message["id"], message["content"]["text"]) == (asked, "hello?")
    quote = {"id": asked, "sender": message["sender"]["id"], "quotable": read["quotable"]}
    words = "hi @12345678, see bob@1234567.com"
    sent = world.engine.do("send", chat=message["chat"]["id"], text=words, quote=quote, expires=message["expires"])
    assert sent["sender"] == world.owner.chat
    got = world.friend.wait_for(lambda event: event.quoted_id == asked)
    assert (got.id, got.text, got.mentions) == (sent["network_id"], words, ())
    assert (got.quoted_text, got.quoted_sender, got.expiration) == ("hello?", world.alice.chat, SEVEN_DAYS)


def test_a_groups_message_is_answered_in_the_group(world: World) -> None:
    asked = world.friend.send_text(world.group.chat, "all here?")
    message = world.engine.message()["message"]
    assert (message["id"], message["chat"]["id"], message["chat_kind"]) == (asked, world.group.chat, "group")
    quote = {"id": asked, "sender": message["sender"]["id"], "text": "all here?"}
    world.engine.do("send", chat=world.group.chat, text="yes", quote=quote)
    got = world.friend.wait_for_text("yes")
    assert (got.chat, got.sender, got.quoted_id) == (world.group.chat, world.owner.chat, asked)


def test_pictures_and_voice_notes_arrive_whole_in_both_directions(world: World) -> None:
    picture, voice = io.BytesIO(), opus(3)
    Image.new("RGB", (300, 200), "teal").save(picture, "PNG")
    image = {"data": packed(picture.getvalue()), "name": "a.png", "media_type": "image/png"}
    world.engine.do("send", chat=world.alice.chat, text="look", file=image)
    got = world.friend.wait_for(lambda event: event.kind == "image")
    assert (got.text, got.mime, got.data) == ("look", "image/png", picture.getvalue())
    note = {"data": packed(voice), "name": "a.ogg", "media_type": "audio/ogg"}
    world.engine.do("send", chat=world.alice.chat, file=note)
    got = world.friend.wait_for(lambda event: event.kind == "voice")
    assert (got.mime, got.data, got.message["audioMessage"]["seconds"]) == ("audio/ogg; codecs=opus", voice, 3)
    world.friend.send_image(world.owner.chat, picture.getvalue(), "and you?", mime="image/png")
    read = world.engine.message()
    assert read["message"]["content"]["caption"] == "and you?"
    assert base64.b64decode(world.engine.do("fetch", media=read["media"])) == picture.getvalue()


def test_a_file_that_the_server_has_no_more_is_refused_for_good(world: World) -> None:
    world.friend.send_document(world.owner.chat, b"some words", "words.txt")
    media = world.engine.message()["media"]
    world.server.media.refuse_downloads = 404
    try:
        with pytest.raises(EngineError) as error:
            world.engine.do("fetch", media=media)
    finally:
        world.server.media.heal()
    assert (error.value.kind, error.value.code) == ("refused", 404)


def test_typing_and_the_blue_ticks_are_shown_to_the_other(world: World) -> None:
    asked = world.friend.send_text(world.group.chat, "are you there?")
    sender = world.engine.message()["message"]["sender"]["id"]
    world.engine.do("show_typing", chat=world.group.chat, on=True)
    assert world.friend.wait_for(lambda event: event.kind == "typing").text == "composing"
    world.engine.do("mark_read", chat=world.group.chat, sender=sender, network_id=asked)
    world.friend.wait_for(lambda event: event.kind == "receipt" and event.text == "read" and asked in event.targets)


def test_people_are_named_and_known_by_both_of_their_names(world: World) -> None:
    assert world.engine.do("members", chat=world.group.chat) == ["Alice (+15550000001)"]
    assert world.engine.do("other_name", who=world.alice.chat) == world.alice.phone_chat
    assert world.engine.do("other_name", who=f"{world.alice.number}:7@s.whatsapp.net") == world.alice.chat
    assert world.engine.do("other_name", who="999@lid") == ""


def test_a_direct_message_is_labelled_as_a_machines_unless_that_is_switched_off(world: World, tmp_path: Path) -> None:
    world.engine.do("send", chat=world.alice.chat, text="labelled")
    world.friend.wait_for_text("labelled")
    assert "<bot biz_bot" in [one for one in world.server.stanzas(world.owner.number) if "<message" in one][-1]
    environment = world.server.environment() | {"NEONIZE_BOT_TAG": "off"}
    other = world.server.user("15550000003", "300000000000003", "Other")
    with EngineProcess(tmp_path, environment) as unlabelled:
        unlabelled.do("open")
        unlabelled.link("code")
        code = unlabelled.do("pair", phone=other.number)
        other.type_code(code)
        assert unlabelled.link("connected")["me"]["id"] == other.chat
        unlabelled.do("send", chat=world.alice.chat, text="plain")
        world.friend.wait_for_text("plain")
        assert "<bot" not in [one for one in world.server.stanzas(other.number) if "<message" in one][-1]
        unlabelled.do("unlink")
        assert not other.devices()
        with pytest.raises(EngineError, match="isn't connected"):
            unlabelled.do("other_name", who=world.alice.chat)
        assert unlabelled.finish() == 0


@pytest.mark.parametrize(("code", "kind"), [(463, "refused"), (429, "later")])
def test_a_message_that_the_server_refuses_is_not_sent(world: World, code: int, kind: str) -> None:
    world.server.trouble.refuse_next(world.owner, code)
    with pytest.raises(EngineError) as error:
        world.engine.do("send", chat=world.alice.chat, text="refused")
    assert (error.value.kind, error.value.code) == (kind, code)


def test_the_sessions_file_is_for_its_owner_only(world: World) -> None:
    assert world.engine.session.stat().st_mode & 0o777 == 0o600


# ------------------------------------------------------------------ trouble
def test_a_connection_that_is_cut_comes_back_by_itself(world: World) -> None:
    world.server.trouble.cut(world.owner)
    world.engine.link("disconnected")
    world.engine.link("connected")
    world.engine.do("send", chat=world.alice.chat, text="back again")
    world.friend.wait_for_text("back again")


def test_a_send_without_a_connection_certainly_was_not_done(world: World) -> None:
    world.server.trouble.down()
    try:
        world.engine.link("disconnected")
        with pytest.raises(EngineError) as error:
            world.engine.do("send", chat=world.alice.chat, text="nobody hears this")
        assert error.value.kind == "away"
    finally:
        world.server.trouble.up()
    reopen(world.engine)


def reopen(engine: EngineProcess) -> None:
    """Close and open: the waits of the library begin anew."""
    engine.do("close")
    engine.forget()
    engine.do("open")
    engine.link("connected")


@pytest.mark.parametrize(
    ("reason", "more", "state", "code", "seconds"),
    [
        (402, {"code": 104, "expire": 3600}, "banned", 104, 3600),
        (402, {"code": 199, "expire": 3600}, "banned", 402, 0),
        (405, {}, "outdated", 0, 0),
        (400, {}, "refused", 400, 0),
        (418, {}, "refused", 0, 0),
    ],
)
def test_a_login_that_is_refused_is_told_with_the_reason(
    world: World, reason: int, more: dict[str, int], state: str, code: int, seconds: float
) -> None:
    world.server.trouble.reject_login(reason, **more)
    try:
        world.engine.do("close")
        world.engine.forget()
        world.engine.do("open")
        link = world.engine.link(state)
        assert (link["code"], link["seconds"]) == (code, seconds)
    finally:
        world.server.trouble.accept_login()
    reopen(world.engine)


def test_another_program_with_the_same_session_is_told(world: World) -> None:
    for _ in range(10):  # the library misses a last word now and then, where the connection ends right after it
        world.server.trouble.stream_error(world.owner, conflict="replaced")
        link = world.engine.told("link", lambda link: link["state"] in ("replaced", "connected"))
        if link["state"] == "replaced":
            break
    assert link["state"] == "replaced"
    reopen(world.engine)


def test_a_dial_that_fails_is_told_with_its_reason(tmp_path: Path) -> None:
    with EngineProcess(tmp_path, {"HTTPS_PROXY": "http://127.0.0.1:9"}) as engine:
        engine.do("open")
        assert "failed to dial" in engine.link("ended")["said"]
        assert engine.finish() == 0


def test_codes_can_be_shown_again_and_a_close_then_or_behind_a_black_hole_comes_back(
    server: WhatsAppServer, tmp_path: Path
) -> None:
    with EngineProcess(tmp_path / "a ?#% path", server.environment()) as engine:
        engine.do("open")
        first = engine.link("code")["said"]
        server.trouble.cut_all()
        engine.link("codes_over")
        engine.do("open")
        assert engine.link("code")["said"] != first
        engine.do("close")
        server.trouble.silent()
        try:
            engine.do("open")
            engine.do("close")
            assert engine.finish() == 0
        finally:
            server.trouble.up()
        assert {file.name for file in engine.session.parent.iterdir()} == {"errors.log", "session.db"}


def test_an_account_that_is_unlinked_on_the_phone_is_told(world: World) -> None:
    world.owner.unlink()
    assert world.engine.link("logged_out")["code"] == 401
    with pytest.raises(EngineError) as error:
        world.engine.do("other_name", who=world.alice.chat)
    assert error.value.kind == "away"
    world.engine.do("close")
    world.engine.do("open")
    world.engine.link("code")
