"""``kill -9`` in the middle of a login in chat."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from faults.peer import Peer, messages
from faults.rig import Rig
from kit.auths_server import ClubServer

CODE = re.compile(r"^([0-9a-f]{8})$", re.MULTILINE)
CHATS = ("a", "b", "c")


@pytest.fixture
def club(rig: Rig) -> Iterator[ClubServer]:
    server = ClubServer()
    rig.site.install("club", "kit.auths_club")
    with start_blocking_portal() as portal:
        serving, _ = portal.start_task(server.serve)
        yield server
        serving.cancel()


def codes(peer: Peer) -> list[str]:
    return [code for copy in peer.told() if copy.chat == "boss" for code in CODE.findall(copy.text)]


def test_a_login_in_chat_that_is_killed_gives_one_fresh_code_and_all_that_piled_up_is_answered_once_in_order(
    rig: Rig, club: ClubServer
) -> None:
    peer = rig.wire()
    rig.configure(owner="wire:boss", account=("club", {"port": club.port, "word": "a word"}), paid=True)
    for chat in CHATS:
        peer.offer(messages(chat, 1, 2))
    rig.service.start()
    peer.until("the code is there", lambda: len(codes(peer)) == 1)
    rig.service.kill()
    peer.quiet()
    for chat in CHATS:
        peer.offer(messages(chat, 3, 2))
    rig.service.start()
    peer.until("a fresh code is there", lambda: len(codes(peer)) == 2)
    club.decide(codes(peer)[0], "confirmed")  # of the process that is gone: nobody hears of it
    assert not peer.answered
    club.decide(codes(peer)[1], "confirmed")
    until_handed_out(club)
    rig.service.kill()  # the tokens are on disk, or on their way to it
    peer.quiet()
    rig.service.start()
    peer.until("it goes on", lambda: bool(peer.answered) or len(codes(peer)) == 3)
    if not peer.answered:
        club.decide(codes(peer)[2], "confirmed")
    counters = rig.finish()
    older = [
        copy.text.startswith("An older code doesn't count any more.") for copy in peer.told() if "/login" in copy.text
    ]
    assert older == [False, *(True for _ in codes(peer)[1:])]
    assert set(peer.times_answered().values()) == {1}
    assert {chat: ids for chat, ids in peer.order().items() if ids} == {
        chat: [f"{chat}.{number}" for number in range(1, 5)] for chat in CHATS
    }
    assert all(sum(copy.chat == chat for copy in peer.told()) <= 2 for chat in CHATS)
    assert counters["answered"] == 4 * len(CHATS)


def until_handed_out(club: ClubServer) -> None:
    deadline = time.monotonic() + 30
    while not club.handed_out:
        assert time.monotonic() < deadline, "nobody has fetched the tokens"
        time.sleep(0.001)
