"""A login, its keeper and the login server, for tests of the keeper."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from nanokimi_auth_oauth_file.disk.login import Login
from nanokimi_auth_oauth_file.keeping.keeper import Keeper
from nanokimi_auth_oauth_file.keeping.timing import Clock
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import private_folder
from testbed.cloud import Cloud
from testbed.context import PluginContext

SECONDS = 60
LOOK = 0.01


@dataclass
class Times:
    """How far the clocks are from the real ones, in seconds, and how often the wall's was looked at."""

    wall: float = 0.0
    steady: float = 0.0
    asked: int = 0

    def go(self, seconds: float) -> None:
        """Let so much time pass, on both."""
        self.wall += seconds
        self.steady += seconds

    @property
    def clock(self) -> Clock:
        return Clock(self._now, lambda: anyio.current_time() + self.steady)

    def _now(self) -> float:
        self.asked += 1
        return time.time() + self.wall


class Kept:
    """An instance's folder with a login in it.

    Attributes:
        seen: The logins that the keepers told of, in order.
        times: The keepers' clocks.
    """

    def __init__(self, folder: Path, cloud: Cloud, **table: Any) -> None:
        self.cloud = cloud
        self.context = PluginContext(private_folder(folder), "oauth_file")
        self.times = Times()
        self.seen: list[Login] = []
        servers = {"oauth_host": cloud.oauth_host, "base_url": cloud.base_url_coding}
        self.settings = Settings.model_validate(servers | table)

    @property
    def folder(self) -> Path:
        return self.context.folder

    @property
    def credentials(self) -> Path:
        return Path(self.settings.path or self.folder / "credentials")

    @property
    def file(self) -> Path:
        return self.credentials / "kimi-code.json"

    def keeper(self, **options: Any) -> Keeper:
        """Make a keeper, as a process of its own would have one."""
        made: dict[str, Any] = {"clock": self.times.clock, "look": LOOK, "changed": self._changed}
        return Keeper(self.context, self.settings, **(made | options))

    def log_in(self, expires_in: int = 900, **more: Any) -> dict[str, Any]:
        """Put a new login there, as the owner would who brings one."""
        return self.put(self.cloud.new_login(expires_in) | more)

    def put(self, login: dict[str, Any]) -> dict[str, Any]:
        private_folder(self.credentials)
        aside = self.file.with_name("brought")
        aside.write_text(json.dumps(login))
        aside.chmod(0o600)
        aside.replace(self.file)
        return login

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text())
        return found

    @property
    def spendable(self) -> bool:
        """Whether the refresh token on disk is good."""
        return self.cloud.oauth.can_refresh(self.read()["refresh_token"])

    @asynccontextmanager
    async def running(self, keeper: Keeper) -> AsyncIterator[Keeper]:
        """Let a keeper run."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            yield keeper
            tasks.cancel_scope.cancel()

    async def _changed(self, login: Login) -> None:
        self.seen.append(login)


async def until(reached: Any, what: str = "") -> None:
    """Wait until something holds."""
    with anyio.move_on_after(SECONDS) as patience:
        while not reached():
            await anyio.sleep(0.005)
    assert not patience.cancelled_caught, f"not within {SECONDS} s: {what or reached}"


def text(token: Any) -> str:
    """Give a secret's value."""
    value: str = token.get_secret_value()
    return value
