"""What the child says of the link while its disk takes nothing."""

from __future__ import annotations

from nanokimi_transport_whatsapp.child.link import Standing
from nanokimi_transport_whatsapp.child.speaker import Speaker
from nanokimi_transport_whatsapp.values import Link


class Wire(Speaker):
    """A standing, and what the transport hears of it."""

    def __init__(self) -> None:
        super().__init__(-1, lambda: None)
        self.heard: list[str] = []
        self.links: list[Link] = []
        self.connected: list[bool] = []
        self.standing = Standing(self, self.connected.append)

    def tell(self, link: Link) -> None:
        self.heard.append(link.state)
        self.links.append(link)

    def happens(self, *states: str) -> None:
        for state in states:
            self.standing.tell(Link.model_validate({"state": state}))


def test_while_the_disk_takes_nothing_no_other_state_hides_it_and_then_the_last_one_is_said() -> None:
    wire = Wire()
    wire.happens("connected")
    wire.standing.disk("the disk is full")
    wire.happens("weak", "disconnected", "connected", "disconnected")
    assert wire.heard == ["connected", "disk"]
    assert wire.connected == [True, False, True, False]
    wire.standing.disk("")
    wire.happens("connected", "weak")
    assert wire.heard == ["connected", "disk", "disconnected", "connected", "weak"]


def test_the_end_of_the_link_is_said_also_while_the_disk_takes_nothing() -> None:
    wire = Wire()
    wire.standing.disk("the disk is full")
    wire.happens("logged_out", "ended", "full")
    assert wire.heard == ["disk", "logged_out", "ended", "full"]


def test_while_the_disk_has_no_room_nobody_is_connected_and_only_an_end_for_good_is_said() -> None:
    wire = Wire()
    wire.happens("connected")
    wire.standing.room("only 3 MB are free")
    wire.standing.disk("the disk is full")
    wire.happens("disconnected", "ended", "connected", "paired")
    wire.standing.disk("")
    assert wire.heard == ["connected", "disk"]
    assert wire.connected == [True, False, False, False, False]
    wire.happens("full", "logged_out")
    assert wire.heard == ["connected", "disk", "full", "logged_out"]


def test_room_on_a_disk_that_still_takes_nothing_says_what_is_wrong_now() -> None:
    wire = Wire()
    wire.standing.room("only 3 MB are free")
    wire.standing.disk("the disk is read-only")
    wire.standing.room("")
    wire.standing.disk("")
    assert [(link.state, link.said) for link in wire.links] == [
        ("disk", "only 3 MB are free"), ("disk", "the disk is read-only"), ("disconnected", "not connected yet")
    ]  # fmt: skip


def test_a_final_state_is_said_once() -> None:
    wire = Wire()
    wire.standing.disk("the disk is full")
    wire.happens("banned")
    wire.standing.disk("")
    assert wire.heard == ["disk", "banned"]


def test_a_disk_that_takes_things_again_before_there_was_a_link_is_said_too() -> None:
    wire = Wire()
    wire.standing.disk("the disk is full")
    wire.standing.disk("")
    assert wire.heard == ["disk", "disconnected"]
    assert wire.connected == []
