"""The stand-in server carries what two stock clients say to each other, and keeps it for who is away."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from whatsapp_testbed import Friend, FriendError, WhatsAppServer

pytestmark = pytest.mark.whatsapp
CLUB = "120363000000000001"


class People:
    """Alice with a client; the owner, who has two."""

    def __init__(self, server: WhatsAppServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.alice = server.user("15550000001", "100000000000001", "Alice")
        self.owner = server.user("15550000002", "200000000000002", "Owner")
        self.friend = Friend(server, self.alice, folder / "alice")
        self.bot = Friend(server, self.owner, folder / "bot", by_code=True)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    folder = tmp_path_factory.mktemp("whatsapp")
    with WhatsAppServer(folder / "server") as server:
        people = People(server, folder)
        clients = (people.friend, people.bot)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Friend.start, clients))
        yield people
        for client in clients:
            client.close()
        assert server.strangers() == []


def _shows_online(client: Friend) -> bool:
    """Whether a client knows its account's name by now, which it must to be online."""
    try:
        client.show_online()
    except FriendError:
        return False
    return True


def test_clients_linked_by_qr_and_by_code_write_to_each_other(people: People) -> None:
    sent = people.friend.send_text(people.owner.chat, "hello")
    heard = people.bot.wait_for_text("hello")
    people.bot.send_text(heard.chat, "hi", reply=heard, mention=[people.alice.chat])
    answer = people.friend.wait_for_text("hi")

    assert (heard.id, heard.sender, heard.chat) == (sent, people.alice.chat, people.alice.chat)
    assert (heard.sender_phone, heard.from_me) == (people.alice.phone_chat, False)
    assert (answer.quoted_id, answer.quoted_text, answer.mentions) == (sent, "hello", (people.alice.chat,))


def test_receipts_and_typing_reach_the_other_side_and_the_server_has_seen_them(people: People) -> None:
    sent = people.friend.send_text(people.owner.chat, "read me")
    people.bot.read(people.bot.wait_for_text("read me"))
    people.bot.typing(people.alice.chat)

    people.friend.wait_for(lambda event: event.kind == "receipt" and event.text == "read" and sent in event.targets)
    people.friend.wait_for(lambda event: event.kind == "typing" and event.text == "composing")
    assert sent in people.owner.receipts("read")[-1].ids
    assert people.owner.typing()[-1].state == "composing"


def test_files_edits_reactions_and_deletions_arrive(people: People) -> None:
    friend, chat = people.friend, people.owner.chat
    target = friend.send_text(chat, "the original", secret=True)
    friend.send_image(chat, b"\xff\xd8 a picture", "look")
    friend.send_document(chat, b"%PDF-1.4", "a.pdf")
    friend.react(chat, target, "👍")
    friend.edit(chat, target, "changed")
    friend.edit(chat, target, "changed in secret", encrypted=True)
    friend.revoke(chat, target)

    image = people.bot.wait_for(lambda event: event.kind == "image")
    document = people.bot.wait_for(lambda event: event.kind == "document")
    assert (image.data, image.text) == (b"\xff\xd8 a picture", "look")
    assert (document.data, document.name) == (b"%PDF-1.4", "a.pdf")
    assert people.bot.wait_for(lambda event: event.kind == "reaction").text == "👍"
    assert people.bot.wait_for(lambda event: event.kind == "edit").text == "changed"
    assert people.bot.wait_for(lambda event: event.kind == "secret_edit").message["secretEncryptedMessage"]["encIV"]
    assert people.bot.wait_for(lambda event: event.kind == "revoke").target == target


def test_a_group_reaches_its_members_and_those_who_join_it(people: People) -> None:
    club = people.server.group(CLUB, "Club", [people.alice])
    club.add(people.owner)
    people.friend.send_text(club.chat, "welcome", mention=[people.owner.chat])
    welcome = people.bot.wait_for_text("welcome")
    people.bot.send_text(club.chat, "thanks")

    assert (welcome.chat, welcome.mentions) == (club.chat, (people.owner.chat,))
    assert people.friend.wait_for_text("thanks").chat == club.chat
    club.remove(people.owner)
    with pytest.raises(FriendError):
        people.bot.send_text(club.chat, "am I still there?")


def test_what_the_owner_writes_elsewhere_reaches_the_owners_other_device(people: People) -> None:
    with Friend(people.server, people.owner, people.folder / "tablet") as tablet:
        tablet.send_text(people.alice.chat, "from my tablet")
        tablet.send_text(people.owner.chat, "note to self")

        other, note = people.bot.wait_for_text("from my tablet"), people.bot.wait_for_text("note to self")
        assert (other.from_me, other.chat) == (True, people.alice.chat)
        assert (note.from_me, note.chat) == (True, people.owner.chat)
        assert people.friend.wait_for_text("from my tablet").sender == people.owner.chat
        tablet.share_name()
        people.server.wait_for(lambda: _shows_online(people.bot))
        assert people.server.wait_for(people.owner.presence) == ["available"]
        people.owner.unlink(tablet.device)
        tablet.wait_for(lambda event: event.kind == "logged_out")


def test_what_a_client_missed_is_delivered_in_order_when_it_is_back(people: People) -> None:
    texts = [f"while you were away {number}" for number in range(30)]
    people.bot.pause()
    people.friend.send_texts(people.owner.chat, texts[:10])
    people.bot.close()
    people.server.wait_for(lambda: not people.owner.connected())
    people.friend.send_texts(people.owner.chat, texts[10:])
    assert len(people.owner.waiting()) == len(texts)

    people.bot.start()

    people.bot.wait_for_text(texts[-1])
    assert [event.text for event in people.bot.events if event.text in texts] == texts
    people.server.wait_for(lambda: not people.owner.waiting())


def test_a_cut_connection_comes_back_and_nothing_is_lost(people: People) -> None:
    people.server.trouble.cut(people.owner)
    sent = [people.friend.send_text(people.owner.chat, f"through the cut {number}") for number in range(3)]

    people.bot.wait_for(lambda event: event.kind == "disconnected")
    people.bot.wait_for(lambda event: event.id == sent[-1])
    assert [event.id for event in people.bot.events if event.id in sent] == sent


def test_a_black_hole_says_nothing_until_it_ends(people: People) -> None:
    people.server.trouble.silent()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(people.friend.send_text, people.owner.chat, "into the silence")
        assert not wait([sending], timeout=0.2).done
        people.server.trouble.up()
        sending.result(20)

    assert people.bot.wait_for_text("into the silence")


def test_a_server_that_is_down_closes_each_connection_at_once(tmp_path: Path) -> None:
    with WhatsAppServer(tmp_path) as server:
        server.trouble.down()
        assert _answer(server) == b""
        server.trouble.up()
        assert _answer(server).startswith(b"HTTP/1.1 502")


def _answer(server: WhatsAppServer) -> bytes:
    """What the server says to somebody who asks for a host that isn't WhatsApp's."""
    host, _, port = server.proxy.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(b"CONNECT example.org:443 HTTP/1.1\r\n\r\n")
        try:
            return client.recv(100)
        except ConnectionResetError:
            return b""


def test_messages_are_refused_held_and_repeated_as_asked(people: People) -> None:
    trouble, friend, chat = people.server.trouble, people.friend, people.owner.chat
    trouble.refuse_next(people.alice, 463)
    with pytest.raises(FriendError, match="463"):
        friend.send_text(chat, "refused")
    trouble.deliver_twice(people.owner)
    trouble.hold_acks(people.alice)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(friend.send_text, chat, "not acknowledged")
        repeated = people.bot.wait_for_text("not acknowledged").id
        assert not sending.done()
        trouble.let_go()
        sending.result(20)
    friend.send_text(chat, "the next")

    assert people.bot.wait_for_text("the next")
    texts = [event.text for event in people.bot.events]
    assert texts.count("not acknowledged") == 1  # the client drops the repetition, which it has acknowledged too
    people.server.wait_for(lambda: [one.ids for one in people.owner.receipts("delivered")].count((repeated,)) == 2)
    assert "refused" not in texts


def test_a_media_host_that_fails_is_noticed(people: People) -> None:
    people.server.media.refuse_downloads = 404
    people.friend.send_image(people.owner.chat, b"\xff\xd8 gone")
    image = people.bot.wait_for(lambda event: event.kind == "image")
    people.server.media.heal()

    assert image.data == b""
    assert "404" in image.name


def test_a_replaced_client_stays_away_and_a_refused_one_hears_why(people: People) -> None:
    people.server.trouble.reject_login(402, code=104, expire=3600)
    people.server.trouble.cut(people.alice)
    people.server.trouble.stream_error(people.owner, conflict="replaced")

    people.bot.wait_for(lambda event: event.kind == "replaced")
    people.friend.wait_for(lambda event: event.kind == "banned")
    assert not people.owner.connected()
    people.server.trouble.accept_login()
    for client in (people.bot, people.friend):
        client.close()
        client.start()
