"""A login whose disk is full, or becomes read-only, under a running assistant: loud, still serving, and mended."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import write_private
from testbed.cloud import Cloud, Refuse
from testbed.login_road import BOSS, Road

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

REST = 200
"""Seconds that the token lives yet: it is due, and serves."""


class Disk:
    """A small disk of its own; where none can be mounted, a folder that nobody can write into stands for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        self.mounted = os.geteuid() == 0 and self._mount("-t", "tmpfs", "-o", "size=256k,mode=700", "none")
        if os.geteuid() == 0 and not self.mounted:
            pytest.skip("nothing can be mounted here, and root writes into any folder")

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> None:
        if not self.mounted:
            return self.folder.chmod(0o500)
        with (self.folder / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def empty(self) -> None:
        if not self.mounted:
            return self.folder.chmod(0o700)
        (self.folder / "ballast").unlink()

    def freeze(self) -> None:
        if not self.mounted:
            return self.folder.chmod(0o500)
        assert self._mount("-o", "remount,ro")

    def thaw(self) -> None:
        if not self.mounted:
            return self.folder.chmod(0o700)
        assert self._mount("-o", "remount,rw")

    def _mount(self, *how: str) -> bool:
        return subprocess.run(["mount", *how, str(self.folder)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.close()


@pytest.fixture
def road(tmp_path: Path, cloud: Cloud, kimi_image: str, engine: Any, disk: Disk) -> Iterator[Road]:
    site = tmp_path / "site"
    site.mkdir()
    made = Road(site, cloud, kimi_image, tables={"path": str(disk.folder)})
    try:
        cloud.oauth.always(Refuse(503, "server_error"))  # until the disk is as it is to be
        write_private(disk.folder / "kimi-code.json", json.dumps(due(cloud)).encode())
        made.service.start()
        made.says("ann")
        made.until_answered()
        yield made
    finally:
        made.clean(engine)


def due(cloud: Cloud) -> dict[str, Any]:
    return cloud.new_login() | {"expires_at": int(time.time()) + REST}


def test_nothing_is_spent_the_owner_hears_of_it_the_old_token_serves_and_a_disk_with_room_is_used_again(
    road: Road, disk: Disk
) -> None:
    cloud, told = road.cloud, 0
    for spoil, mend in ((disk.fill, disk.empty), (disk.freeze, disk.thaw)):
        refreshes = cloud.refreshes
        spoil()
        cloud.oauth.always(None)
        said = road.until_told(str(disk.folder), after=told)
        assert "couldn't be written" in said, said
        road.says("ann")
        road.until_answered()
        assert (cloud.refreshes, cloud.oauth.reuses) == (refreshes, 0)
        mend()
        cloud.wait_until(lambda n=refreshes: cloud.refreshes == n + 1, "it is refreshed", 90)  # type: ignore[misc]
        road.until_told("is refreshed again", after=told)
        road.says("ann")
        road.until_answered()
        told = len(road.told(BOSS))
        cloud.oauth.always(Refuse(503, "server_error"))
        write_private(disk.folder / "kimi-code.json", json.dumps(due(cloud)).encode())
