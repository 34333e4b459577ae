"""A disk that is full for a while under a running process."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from faults.peer import messages
from faults.report import report
from faults.rig import Rig

CHATS = 5
QUIET = 2.0  # seconds in which nothing is acknowledged
SIZE = 16 << 20
LOOK = 0.01


class Quota:
    """No file of the process can be written: what it tries fails as beyond its file-size limit."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def fill(self) -> None:
        hard = resource.prlimit(self.rig.service.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.rig.service.process.pid, resource.RLIMIT_FSIZE, (1, hard))

    def free(self) -> None:
        if self.rig.service.running:
            hard = resource.prlimit(self.rig.service.process.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(self.rig.service.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


class SmallDisk:
    """The data folder is a small file system of its own, filled to its last byte."""

    def __init__(self, folder: Path) -> None:
        self.ballast = folder / "ballast"

    def fill(self) -> None:
        with self.ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def free(self) -> None:
        self.ballast.unlink()


Disk = Quota | SmallDisk


@pytest.fixture(params=["small disk", "quota"])
def disk(request: pytest.FixtureRequest, rig: Rig) -> Iterator[Disk]:
    """A disk that can be filled; where no file system can be mounted, the quota stands in for it."""
    rig.site.data.mkdir(mode=0o700)
    wants = request.param == "small disk"
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "none", str(rig.site.data)]
    if wants and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            yield SmallDisk(rig.site.data)
        finally:
            rig.close()
            subprocess.run(["umount", str(rig.site.data)], check=True)
        return
    if wants:
        report("full disk: nothing can be mounted here, so a limit on the size of files stood in for a small disk")
    yield Quota(rig)


def complaints(rig: Rig) -> list[str]:
    """Give what the log says about the disk, without the moments."""
    lines = [line.partition(" nanokimi") for line in rig.service.log.splitlines()]
    loud = [said for when, _, said in lines if when.endswith((" WARNING", " ERROR"))]
    return [said for said in loud if "disk" in said]


def assert_it_stays(rig: Rig, acknowledged: int) -> None:
    """Nothing more is taken, and the process stays up."""
    deadline = time.monotonic() + QUIET
    while time.monotonic() < deadline:
        assert rig.peers["wire"].acknowledged == acknowledged, rig
        assert rig.service.running, rig
        time.sleep(LOOK)


def assert_well_said(rig: Rig) -> None:
    """The log says once what is wrong and what to do; no plugin is blamed."""
    said = complaints(rig)
    assert len(set(said)) == len(said), said
    assert len(said) <= 4, said
    assert any("make room" in each or "is full" in each for each in said), said
    assert not [each for each in said if "plugin" in each], said
    assert "Traceback" not in rig.service.log, rig


def everybody_says(rig: Rig, number: int) -> None:
    rig.peers["wire"].offer(message for chat in range(CHATS) for message in messages(f"c{chat}", number, 1))


def assert_all_well(rig: Rig, per_chat: int) -> None:
    peer = rig.peers["wire"]
    counters = rig.finish(90)
    for chat in range(CHATS):
        assert peer.order()[f"c{chat}"] == [each.id for each in messages(f"c{chat}", 1, per_chat)]
    assert set(peer.times_answered().values()) == {1}
    assert {copy.chat for copy in peer.told()} <= {"boss"}
    assert counters["accepted"] == counters["answered"] == CHATS * per_chat


@pytest.mark.parametrize("crash", [False, True], ids=["", "and a crash"])
def test_a_full_disk_stops_intake_loudly_and_what_waited_goes_on_when_there_is_room(
    rig: Rig, disk: Disk, crash: bool
) -> None:
    peer = rig.wire()
    rig.configure(owner="wire:boss")
    everybody_says(rig, 1)
    process = rig.service.start()
    peer.until_answered()
    rig.until("nothing is owed", lambda: not rig.live_rows().keys("owed"))

    disk.fill()
    taken = peer.acknowledged
    for number in range(2, 40):
        everybody_says(rig, number)
    rig.until("it complains", lambda: bool(complaints(rig)))
    assert_it_stays(rig, peer.acknowledged)
    assert peer.acknowledged < taken + 38 * CHATS
    assert_well_said(rig)
    if crash:
        rig.service.kill()
        peer.quiet()
    disk.free()
    if crash:
        rig.service.start()
    assert crash or rig.service.process.pid == process
    assert_all_well(rig, 39)


def test_answers_that_a_full_disk_keeps_from_being_noted_are_given_when_there_is_room(rig: Rig, disk: Disk) -> None:
    rig.wire()
    hold = rig.site.folder / "hold"
    hold.touch()
    rig.configure(hold=str(hold))
    everybody_says(rig, 1)
    process = rig.service.start()
    rig.until("the turns run", lambda: len(rig.notes()) == CHATS)

    disk.fill()
    everybody_says(rig, 2)
    hold.unlink()
    rig.until("it complains", lambda: bool(complaints(rig)))
    assert_it_stays(rig, rig.peers["wire"].acknowledged)
    assert not rig.peers["wire"].received
    assert_well_said(rig)
    disk.free()
    assert rig.service.process.pid == process
    assert_all_well(rig, 2)
