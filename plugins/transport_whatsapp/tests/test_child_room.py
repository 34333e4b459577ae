"""The child leaves the connection while the disk has room for what it still has to write, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from child_rig import ChildRig, Rigs, rigs
from scripted_engine import event, text

from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.child.limits import MB, Limits
from nanokimi_transport_whatsapp.child.room import Room, free_bytes
from nanokimi_transport_whatsapp.engine import EngineError
from nanokimi_transport_whatsapp.values import Brought, Link, Send

ANN = "1000000002@lid"


class Disk:
    """A disk whose free space is what the test says."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "free"
        self.limits = {"free": str(self._file), "room_look": 0.02}

    def has(self, free: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(str(free))
        new.replace(self._file)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Rigs]:
    with rigs(tmp_path) as made:
        yield made


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    disk = Disk(tmp_path)
    disk.has(500 * MB)
    return disk


def connected(made: Rigs, disk: Disk, opened: int) -> ChildRig:
    child = made.start(limits=disk.limits)
    made.network.wait_called("open", opened)
    made.network.link(Link(state="connected"))
    child.expect(Link, state="connected")
    return child


def away(_: dict[str, Any]) -> None:
    raise EngineError("away", "not connected")


def test_a_disk_that_fills_up_closes_the_connection_while_there_is_room_and_a_new_child_comes_back(
    made: Rigs, disk: Disk
) -> None:
    child = connected(made, disk, 1)
    made.network.bring(event(text(ANN, "A1", "one")))
    brought = child.expect(Brought)
    disk.has(31 * MB)
    (said,) = child.expect(Link, state="disk")
    assert (
        said.said
        == f"only 31 MB are free on the disk of {made.folder}: WhatsApp keeps what comes until there are 48 MB"
    )
    made.network.wait_called("close")
    made.network.scripts["send"] = away
    child.tell(Send(request=1, key="k", chat=ANN, text="not now"))
    assert child.answer(1).error == "away"
    disk.has(47 * MB)
    made.network.bring(event(text(ANN, "A2", "acknowledged before the end")))
    made.network.link(Link(state="disconnected"))
    brought = child.expect(Brought, 2)
    child.done(*brought)
    child.figures(spooled=0)
    assert child.process.poll() is None
    assert child.all(Link)[-1] == said
    disk.has(48 * MB)
    assert child.ended() == exits.ROOM
    connected(made, disk, 2)


def test_without_room_at_the_start_nothing_is_opened_until_there_is_but_what_is_spooled_is_brought(
    made: Rigs, disk: Disk
) -> None:
    child = connected(made, disk, 1)
    made.network.bring(event(text(ANN, "A1", "one")))
    child.expect(Brought)
    child.kill()
    disk.has(40 * MB)
    child = made.start(limits=disk.limits)
    child.expect(Link, state="disk")
    child.done(*child.expect(Brought))
    child.figures(spooled=0)
    assert len(made.network.called("open")) == 1
    disk.has(48 * MB)
    made.network.wait_called("open", 2)
    assert [link.state for link in child.all(Link)] == ["disk", "disconnected"]
    made.network.link(Link(state="connected"))
    child.expect(Link, state="connected")


def test_the_true_disk_is_asked(made: Rigs) -> None:
    child = made.start(limits={"room_to_open": 2**60, "room_look": 0.02})
    assert "MB are free on the disk of" in child.expect(Link, state="disk")[0].said
    assert child.stop() == exits.STOPPED
    assert made.network.called("open") == []
    free = free_bytes(made.folder)
    assert free is not None
    assert 0 < free < 2**60
    assert free_bytes(made.folder / "missing") is None


def test_the_fullest_of_the_disks_counts_and_one_that_tells_nothing_does_not() -> None:
    left: dict[Path, int | None] = {Path("/a"): 500 * MB, Path("/b"): 10 * MB}
    room = Room((Path("/a"), Path("/b")), Limits(), lambda folder: left[folder])
    assert room.lacking().startswith("only 10 MB are free on the disk of /b:")
    left[Path("/b")] = 48 * MB
    assert room.lacking() == ""
    left[Path("/b")] = 32 * MB
    assert room.lacking() == ""
    left[Path("/b")] = 32 * MB - 1
    assert room.lacking()
    left[Path("/b")] = 48 * MB - 1
    assert room.lacking()
    left |= {Path("/a"): None, Path("/b"): None}
    assert room.lacking() == ""
