"""What people write and get: the whole transport with the real library against the stand-in server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from network_driver import Running, in_memory, until
from test_engine_outgoing import opus, picture
from whatsapp_testbed import Friend, Group, User, WhatsAppServer
from whatsapp_testbed.linked import Login, led
from whatsapp_testbed.stanzas import Node

from nanokimi_core import Inbound, NotSent, Receipt, Undeliverable
from nanokimi_transport_whatsapp.outgoing import OutcomeUnknown

pytestmark = pytest.mark.whatsapp

SEVEN_DAYS = 604800
MB = 2**20


@dataclass(frozen=True)
class World:
    """WhatsApp with Ana's client, and Kai: the assistant's account, with the transport and a tablet as its devices."""

    server: WhatsAppServer
    ana: User
    kai: User
    club: Group
    friend: Friend
    tablet: Friend
    running: Running
    folder: Path

    def id_of(self, network_id: str, author: User) -> str:
        """How the transport names a message."""
        return f"{network_id}/{author.chat}"

    def heard(self, network_id: str) -> Inbound:
        """Wait for what Ana has sent under this id."""
        return self.running.message(lambda message: message.id == self.id_of(network_id, self.ana))

    def group_questions(self) -> int:
        """How often Kai's devices have asked the server for a group."""
        return sum("w:g2" in one for one in self.server.stanzas(self.kai.number))

    def came_before(self, text: str) -> list[Inbound]:
        """Let Ana write to Kai, wait for it, and give what came since this was asked last."""
        self.friend.send_text(self.kai.chat, text)
        self.running.text(text)
        came, self.running.kept[:] = list(self.running.kept), []
        return [message for message in came if message.text != text]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("network")
    with ExitStack() as stack:
        server = stack.enter_context(WhatsAppServer(folder / "server"))
        stack.enter_context(led(server))
        ana = server.user("15550000001", "100000000000001", "Ana")
        kai = server.user("15551000001", "200000000000001", "Kai")
        club = server.group("120363000000000001", "Club", [ana, kai])
        logins = Path(stack.enter_context(in_memory()))
        friend = stack.enter_context(Friend(server, ana, logins / "ana"))
        tablet = stack.enter_context(Friend(server, kai, logins / "tablet"))
        Login(server, kai, folder / "kai")
        tablet.share_name()
        running = Running(folder / "kai", presence="available", self_chat=True, max_media=1)
        stack.enter_context(running)
        running.wait_until_connected()
        friend.send_text(kai.chat, "hello")
        running.text("hello")
        yield World(server, ana, kai, club, friend, tablet, running, folder)
        assert server.strangers() == []


@pytest.fixture(autouse=True)
def healed(world: World) -> Iterator[None]:
    """End all trouble after each test."""
    yield
    world.server.trouble.let_go()
    world.server.media.heal()
    world.running.wait_until_connected()


def written_by_clients(server: WhatsAppServer) -> bytes:
    """All bytes that the server has got in stanzas."""

    def inside(node: Node) -> bytes:
        return node.octets + b"\n".join(map(inside, node.children))

    return server.call(lambda: b"\n".join(inside(seen.node) for seen in server.hub.seen.stanzas))


def network_id(receipt: Receipt) -> str:
    return (receipt.network_id or "").partition("/")[0]


# ------------------------------------------------------------------ texts
def test_a_direct_talk_goes_both_ways_and_the_server_can_read_none_of_it(world: World) -> None:
    asked = world.friend.send_text(world.kai.chat, "is the garden gate locked?")
    message = world.heard(asked)
    assert (message.text, message.chat) == ("is the garden gate locked?", world.ana.chat)
    assert message.sender == world.ana.chat
    assert (message.kind, message.sender_name, message.event) == ("direct", "Ana", "message")
    assert (message.from_me, message.backlog, message.mentions_me, message.shared_account) == (False,) * 4
    receipt = world.running.send(message.chat, "the gate is locked since noon")
    got = world.friend.wait_for_text("the gate is locked since noon")
    assert (got.sender, got.id, got.quoted_id) == (world.kai.chat, network_id(receipt), "")
    letters = written_by_clients(world.server)
    assert len(letters) > 1000
    assert b"garden" not in letters
    assert b"locked" not in letters


def test_the_first_message_of_a_device_in_a_group_comes_once_and_its_answer_quotes_it_there(world: World) -> None:
    asked = world.friend.send_text(world.club.chat, "who brings cake?")
    message = world.heard(asked)
    assert (message.text, message.chat, message.sender) == ("who brings cake?", world.club.chat, world.ana.chat)
    assert (message.kind, message.mentions_me) == ("group", False)
    world.running.send(message.chat, "Bo does", reply_to=message.id)
    got = world.friend.wait_for_text("Bo does")
    assert (got.chat, got.sender, got.quoted_id) == (world.club.chat, world.kai.chat, asked)
    assert (got.quoted_text, got.quoted_sender) == ("who brings cake?", world.ana.chat)
    world.heard(world.friend.send_text(world.club.chat, "good"))
    assert world.running.times()[world.club.chat, message.id] == 1


def test_a_mention_and_an_answer_to_the_assistant_call_it(world: World) -> None:
    asked = world.friend.send_text(world.club.chat, f"@{world.kai.lid} are you there?", mention=[world.kai.chat])
    message = world.heard(asked)
    assert (message.text, message.mentions_me) == ("@Kai are you there?", True)
    world.running.send(world.club.chat, "I am", reply_to=message.id)
    said = world.friend.wait_for_text("I am")
    answered = world.heard(world.friend.send_text(world.club.chat, "good to know", reply=said))
    assert (answered.mentions_me, answered.quoted) == (True, "I am")
    assert answered.reply_to == world.id_of(said.id, world.kai)


def test_a_person_is_known_by_the_number_too_and_can_be_written_to_by_it(world: World) -> None:
    message = world.heard(world.friend.send_text(world.kai.chat, "by my number"))
    assert message.sender_aliases == message.chat_aliases == {world.ana.phone_chat}
    world.running.send(world.ana.phone_chat, "to your number")
    assert world.friend.wait_for_text("to your number").chat == world.kai.chat


@pytest.mark.parametrize(
    "text",
    [
        "write to bob@1234567.com, or @12345678901",
        "https://example.org/picture.png",
        "/etc/passwd",
        "120363000000000001@g.us and @120363000000000001@g.us",
        "Zoë 👩‍🚀 " * 444 + "end!",
    ],
)
def test_an_answer_arrives_as_it_is_whatever_it_looks_like(world: World, text: str) -> None:
    asked, uploads = world.group_questions(), world.server.media.uploads
    assert len(text) <= world.running.transport.traits.max_text == 4000
    world.running.send(world.ana.chat, text)
    got = world.friend.wait_for(lambda event: event.text == text)
    assert (got.kind, got.mentions) == ("text", ())
    assert list(got.message["extendedTextMessage"]) == ["text"]
    assert (world.group_questions(), world.server.media.uploads) == (asked, uploads)


def test_a_direct_answer_is_labelled_as_a_machines(world: World) -> None:
    answer = world.running.send(world.ana.chat, "I am a machine")
    labels = {message.id: message.bot_tag for message in world.kai.messages()}
    assert labels[network_id(answer)]


def test_a_chat_with_a_timer_keeps_it(world: World) -> None:
    world.heard(world.friend.send_text(world.club.chat, "this goes soon", expiration=SEVEN_DAYS))
    world.running.send(world.club.chat, "this too")
    assert world.friend.wait_for_text("this too").expiration == SEVEN_DAYS
    world.heard(world.friend.send_text(world.club.chat, "this stays"))
    world.running.send(world.club.chat, "this as well")
    assert world.friend.wait_for_text("this as well").expiration == 0


# ------------------------------------------------------------------ what is about a message
@pytest.mark.parametrize(("encrypted", "wrapped"), [(False, False), (True, True), (True, False)])
def test_an_edit_tells_the_new_text_and_which_message_it_changes(world: World, encrypted: bool, wrapped: bool) -> None:
    first = world.friend.send_text(world.kai.chat, "at five", secret=encrypted)
    world.heard(first)
    world.friend.edit(world.kai.chat, first, "at six", encrypted=encrypted, wrapped=wrapped)
    target = world.id_of(first, world.ana)
    changed = world.running.message(lambda message: message.event == "edit" and message.target == target)
    assert (changed.text, changed.chat, changed.sender) == ("at six", world.ana.chat, world.ana.chat)


def test_a_revocation_and_a_reaction_tell_which_message_they_are_about(world: World) -> None:
    first = world.friend.send_text(world.club.chat, "a mistake")
    world.heard(first)
    world.running.send(world.club.chat, "noted")
    noted = world.friend.wait_for_text("noted")
    for sign in ("👍", ""):
        world.friend.react(world.club.chat, noted, sign)
        found = world.running.message(lambda message, sign=sign: message.event == "reaction" and message.text == sign)  # type: ignore[misc]
        assert (found.chat, found.target) == (world.club.chat, world.id_of(noted.id, world.kai))
    world.friend.revoke(world.club.chat, first)
    gone = world.running.message(lambda message: message.event == "revoke")
    assert (gone.chat, gone.target) == (world.club.chat, world.id_of(first, world.ana))


# ------------------------------------------------------------------ other content
def test_places_contacts_and_polls_come_as_words(world: World) -> None:
    place = world.heard(world.friend.send_location(world.kai.chat, 48.1372, 11.5756, "Marienplatz"))
    assert place.text == "[location: 48.1372, 11.5756, Marienplatz]"
    person = world.heard(world.friend.send_contact(world.kai.chat, "Bo", "15550000009"))
    assert person.text == "[contact: Bo, +15550000009]"
    poll = world.heard(world.friend.send_poll(world.kai.chat, "When?", ["today", "never"]))
    assert poll.text == "[poll: When?; options: today | never; one may be chosen]"


def test_pictures_voice_notes_and_documents_come_in_whole(world: World) -> None:
    image, voice, words = picture(30, 20), opus(3), b"some words"
    chat, any_type = world.kai.chat, "application/octet-stream"
    sent = [
        (world.friend.send_image(chat, image, "look", mime="image/png"), image, "look", "image/png"),
        (world.friend.send_voice(chat, voice, seconds=3), voice, "", "audio/ogg"),
        (world.friend.send_document(chat, words, "../a.txt", "read"), words, "read", any_type),
    ]
    for asked, data, text, kind in sent:
        message = world.heard(asked)
        (file,) = message.attachments
        assert (message.text, file.media_type, file.size) == (text, kind, len(data))
        assert file.path.parent == world.folder / "kai" / "media"
        assert file.path.with_name(f"kept-{file.path.name}").read_bytes() == data


def test_pictures_voice_notes_and_documents_go_out_whole(world: World, tmp_path: Path) -> None:
    files = [
        ("image", "p.png", "image/png", picture(300, 200)),
        ("voice", "v.ogg", "audio/ogg", opus(2)),
        ("document", "d.pdf", "application/pdf", b"%PDF words"),
    ]
    for kind, name, media_type, data in files:
        (tmp_path / name).write_bytes(data)
        caption = "" if kind == "voice" else f"see {name}"
        world.running.send(world.ana.chat, caption, files=[(tmp_path / name, media_type)])
        got = world.friend.wait_for(lambda event, kind=kind: event.kind == kind)  # type: ignore[misc]
        assert (got.text, got.data, got.mime.partition(";")[0]) == (caption, data, media_type)
    assert b"%PDF" not in b"".join(world.server.media.files.values())


def test_a_file_that_is_too_large_is_named_and_not_fetched(world: World) -> None:
    before = world.server.media.downloads
    large = world.friend.send_document(world.kai.chat, bytes(MB + 1), "large.bin", "see")
    message = world.heard(large)
    assert (message.text, message.attachments) == ("see\n[document: larger than 1 MB]", ())
    world.tablet.wait_for(lambda event: event.name == "large.bin")
    assert world.server.media.downloads == before + 1, "only the tablet has fetched it"


def test_a_file_that_says_it_is_small_is_not_taken_when_it_is_large(world: World) -> None:
    liar = world.friend.send_document(world.kai.chat, bytes(MB + 1), "liar.bin", "see", length=10)
    message = world.heard(liar)
    assert message.text.startswith("see\n[document: ")
    assert message.attachments == ()


def test_a_message_comes_with_its_file_when_the_media_host_is_back_and_without_when_it_has_none(world: World) -> None:
    world.server.media.refuse_downloads = 503
    asked = world.friend.send_image(world.kai.chat, picture(3, 3), "soon", mime="image/png")
    until(lambda: world.server.media.refused, "the host was asked")
    world.server.media.heal()
    assert len(world.heard(asked).attachments) == 1
    world.server.media.refuse_downloads = 404
    lost = world.heard(world.friend.send_image(world.kai.chat, picture(3, 3), "gone", mime="image/png"))
    assert lost.text.startswith("gone\n[image: it could not be fetched: ")
    assert lost.attachments == ()


# ------------------------------------------------------------------ signs
def test_typing_is_shown_both_ways(world: World) -> None:
    until(lambda: "available" in world.kai.presence(), "the account shows as online")
    world.friend.typing(world.kai.chat)
    until(lambda: world.ana.chat in world.running.typing_in, "it is known that Ana writes")
    world.running.show_typing(world.ana.chat, True)
    assert world.friend.wait_for(lambda event: event.kind == "typing").text == "composing"
    world.running.show_typing(world.ana.chat, False)
    assert world.friend.wait_for(lambda event: event.kind == "typing").text == "paused"


def test_who_wrote_sees_that_it_was_read(world: World) -> None:
    for chat in (world.kai.chat, world.club.chat):
        asked = world.friend.send_text(chat, "have you seen it?")
        world.heard(asked)
        world.friend.wait_for(
            lambda event, asked=asked: (event.kind, event.text) == ("receipt", "read") and asked in event.targets  # type: ignore[misc]
        )


# ------------------------------------------------------------------ whose messages count
def test_what_the_network_brings_twice_is_delivered_once(world: World) -> None:
    world.server.trouble.deliver_twice(world.kai)
    twice = [world.friend.send_text(chat, "twice") for chat in (world.kai.chat, world.club.chat)]
    for asked in twice:
        world.heard(asked)
    world.server.trouble.let_go()
    again = world.friend.send_text(world.kai.chat, "again")
    world.heard(again)
    world.server.trouble.bring_again(world.kai)
    world.heard(world.friend.send_text(world.kai.chat, "after that"))
    world.heard(world.friend.send_text(world.club.chat, "and here"))
    assert set(world.running.times().values()) == {1}


def test_what_the_accounts_person_writes_on_another_device_counts_in_the_self_chat_alone(world: World) -> None:
    world.came_before("begin")
    world.tablet.send_text(world.ana.chat, "I am on my way")
    world.tablet.send_text(world.club.chat, "me too")
    world.tablet.send_text(world.kai.chat, "a note to myself")
    note = world.running.text("a note to myself")
    assert (note.kind, note.from_me, note.chat, note.sender) == ("self", True, world.kai.chat, world.kai.chat)
    world.running.send(note.chat, "noted, Kai")
    assert world.tablet.wait_for_text("noted, Kai").chat == world.kai.chat
    world.heard(world.friend.send_text(world.club.chat, "are you all there?"))
    others = [message.text for message in world.came_before("end")]
    assert others == ["a note to myself", "are you all there?"]


def test_what_the_assistant_sends_itself_never_comes_back(world: World) -> None:
    world.came_before("begin")
    for chat in (world.ana.chat, world.club.chat, world.kai.chat):
        world.running.send(chat, "said by the assistant")
    world.tablet.wait_for(lambda event: event.chat == world.kai.chat and event.text == "said by the assistant")
    assert world.came_before("end") == []


# ------------------------------------------------------------------ refusals
def test_who_can_not_be_written_to_first_is_not_written_to_again_and_the_owner_hears_of_it(world: World) -> None:
    world.running.told()
    before = len(world.kai.messages())
    world.server.trouble.refuse_next(world.kai, 463)
    with pytest.raises(Undeliverable, match="463"):
        world.running.send(world.ana.chat, "refused")
    ((key, words),) = world.running.told()
    assert (key, "463" in words) == ("reach-out", True)
    world.running.send(world.ana.chat, "others still go")
    assert len(world.kai.messages()) == before + 2


def test_one_message_too_many_is_sent_later_under_the_same_key(world: World) -> None:
    world.server.trouble.refuse_next(world.kai, 429)
    with pytest.raises(NotSent) as error:
        world.running.send(world.ana.chat, "one too many", key="throttled")
    assert error.value.retry_after == timedelta(minutes=1)
    first = world.running.send(world.ana.chat, "one too many", key="throttled")
    again = world.running.send(world.ana.chat, "one too many", key="throttled")
    assert network_id(again) == network_id(first) == world.friend.wait_for_text("one too many").id


def test_a_message_that_the_server_finds_wrong_is_given_up(world: World) -> None:
    world.server.trouble.refuse_next(world.kai, 479)
    with pytest.raises(Undeliverable, match="479"):
        world.running.send(world.ana.chat, "found wrong")


def test_nobody_who_has_not_written_is_written_to(world: World) -> None:
    before = len(world.kai.messages())
    with pytest.raises(Undeliverable, match="reply_only"):
        world.running.send("15550000099@s.whatsapp.net", "hello, stranger")
    assert len(world.kai.messages()) == before


def test_of_a_message_whose_child_dies_before_the_server_answers_the_outcome_is_unknown(world: World) -> None:
    world.server.trouble.hold_acks(world.kai)
    sending = world.running.sending(world.ana.chat, "was I heard?", key="unsure")
    world.friend.wait_for_text("was I heard?")
    assert not sending.done()
    child = world.running.child
    os.kill(child, signal.SIGKILL)
    with pytest.raises(OutcomeUnknown):
        sending.result(30)
    world.server.trouble.let_go()
    until(lambda: world.running.child not in (0, child), "another child is there")
    world.running.wait_until_connected()
    world.running.send(world.ana.chat, "was I heard?", key="unsure")
    world.friend.wait_for_text("was I heard?")
