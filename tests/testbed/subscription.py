"""A Kimi subscription's login, for tests of the plugin that keeps it: files, grants, and an agent that logs in."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
import pytest

from nanokimi_auth_oauth_file import OAuthFile, Settings
from nanokimi_core import AgentError, Context, Failure, Grant, LoginNeeded, Mount, Need, ShowCode, write_private
from testbed.cloud import Cloud
from testbed.cloud_oauth import OAuth

USER = (os.geteuid() or 1000, os.getegid() or 1000)
CODE = Need("kimi-code", PurePosixPath("/home/node/.kimi-code"), USER)
CLI = Need("kimi-cli", PurePosixPath("/home/node/.kimi"), USER)
AI = "kimi-code-env-0e4f99c69cc27850"
"""kimi-code's name for the login of region ``ai``."""


def account(context: Context, cloud: Cloud | None = None, *, look: float = 5.0, **table: Any) -> OAuthFile:
    """Make an account, at the stand-in servers where they are given; ``look`` is its keeper's."""
    if cloud is not None:
        table = {"oauth_host": cloud.oauth_host, "base_url": cloud.base_url_coding, **table}
    return OAuthFile(Settings.model_validate(table), context, look=look)


def new_login(expires_in: int = 900, **changes: Any) -> dict[str, Any]:
    """Write what ``kimi login`` writes, from a stand-in login server that nobody reaches."""
    return OAuth().new_login(expires_in) | changes


def put(folder: Path, login: Any, name: str = "kimi-code") -> Path:
    """Put a login's file into a folder; content may be anything."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    write_private(file, login if isinstance(login, bytes) else json.dumps(login).encode())
    return file


async def refusal(auth: OAuthFile, need: Need = CODE) -> str:
    """Ask for a grant that there can't be, and give what is said."""
    with pytest.raises(LoginNeeded) as caught:
        await auth.grant(need)
    return str(caught.value)


def seen(grant: Grant) -> dict[str, Any]:
    """Read the login that a grant's containers see."""
    (credentials,) = (mount.source for mount in grant.mounts if mount.target.name == "credentials")
    found: dict[str, Any] = json.loads(
        (credentials / f"{str(grant.oauth_key).removeprefix('oauth/')}.json").read_bytes()
    )
    return found


def everything_seen(grant: Grant) -> bytes:
    """Give the content of every file that a grant's containers see."""
    files = (path for mount in grant.mounts for path in sorted(mount.source.rglob("*")) if path.is_file())
    return b"\n".join(path.read_bytes() for path in files)


@dataclass
class LoggingInAgent:
    """The agent's own commands: a login by the stand-in login server, which a test confirms.

    Attributes:
        writes: The content of the file that it leaves, and its name; nothing where it is ``None``.
        folders: Where it has logged in.
        environments: Of those logins.
        refreshed: The mounts in which it was to refresh.
    """

    writes: Any = None
    name: str = "kimi-code"
    folders: list[Path] = field(default_factory=list)
    environments: list[tuple[tuple[str, str], ...]] = field(default_factory=list)
    refreshed: list[tuple[Mount, ...]] = field(default_factory=list)
    answer: anyio.Event = field(default_factory=anyio.Event)
    declined: bool = False

    async def log_in(self, folder: Path, environment: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[ShowCode]:
        self.folders.append(folder)
        self.environments.append(environment)
        yield ShowCode("https://kimi.example/device", "ABCD-1234", datetime.now(UTC) + timedelta(minutes=5))
        with anyio.fail_after(30):
            await self.answer.wait()
        if self.declined:
            raise AgentError(Failure.CREDENTIALS, "the person has refused", remedy="run the command again")
        if self.writes is not None:
            put(folder / "credentials", self.writes, self.name)

    async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
        self.refreshed.append(mounts)
