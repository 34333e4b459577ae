"""The plugin as the conformance suite tries it: a login server of the rig's own, and an agent that logs in there."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import anyio

from nanokimi_auth_oauth_file import nanokimi_auths
from nanokimi_auth_oauth_file.disk.places import name_for
from nanokimi_auth_oauth_file.rig_server import RigServer
from nanokimi_auth_oauth_file.settings import Credentials, Settings
from nanokimi_core import AgentError, Auth, Failure, Mount, ShowCode, UsesAgent, private_folder, write_private
from nanokimi_core.testing import AuthRig

_PATIENCE = 20.0


class OAuthFileRig(AuthRig):
    """A login in the instance's folder, and a person who confirms codes."""

    (spec,) = nanokimi_auths()
    credentials: ClassVar[Credentials] = "access-only"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = RigServer(self.canaries)
        self._answers: dict[str, bool] = {}
        self._answered = anyio.Event()
        self._files = 0

    async def __aenter__(self) -> Self:
        """Start the servers."""
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        await self._tasks.start(self.server.serve)
        return self

    async def __aexit__(self, *error: Any) -> None:
        """End them."""
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(*error)

    def table(self) -> dict[str, Any]:
        """Name the rig's servers."""
        return {
            "credentials": self.credentials,
            "oauth_host": self.server.root,
            "base_url": f"{self.server.root}/coding/v1",
        }

    @asynccontextmanager
    async def made(self, name: str = "tried") -> AsyncIterator[Auth]:
        """Make an instance, and let it have the agent's commands."""
        async with super().made(name) as auth:
            if isinstance(auth, UsesAgent):
                auth.use_agent(self)
            yield auth

    # ----------------------------------------------------------------- the account's owner
    async def give(self, name: str = "tried") -> None:
        """Store a login."""
        self._put(name, self.server.issue())

    async def lose(self, name: str = "tried") -> None:
        """Take it away."""
        self._file(name).unlink(missing_ok=True)

    async def expire(self, name: str = "tried") -> None:
        """Let the access token have ended; the refresh token is good."""
        self._put(name, json.loads(self._file(name).read_bytes()) | {"expires_at": int(time.time()) - 60})

    async def spoil(self, name: str = "tried") -> None:
        """Tear the file apart."""
        write_private(self._file(name), json.dumps(self.server.issue()).encode()[:-10])

    def login_file(self) -> Path:
        """Write the file of another machine's login."""
        return self._brought(self.server.issue())

    def wrong_login_file(self) -> Path:
        """Write the file of a login that can't be refreshed."""
        return self._brought(self.server.issue() | {"refresh_token": ""})

    async def confirm(self, shown: ShowCode) -> None:
        """Agree to a login."""
        self._decide(shown, agreed=True)

    async def decline(self, shown: ShowCode) -> None:
        """Refuse one."""
        self._decide(shown, agreed=False)

    # ----------------------------------------------------------------- the agent's commands
    async def log_in(self, folder: Path, environment: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[ShowCode]:
        """Log in as the agent does: show a code, wait for the person, write the login's file.

        Raises:
            AgentError: The person has refused, or doesn't answer.
        """
        code = secrets.token_hex(4)
        yield ShowCode(f"{self.server.root}/device", code, datetime.now(UTC) + timedelta(seconds=_PATIENCE))
        with anyio.move_on_after(_PATIENCE):
            while code not in self._answers:
                await self._answered.wait()
        if not self._answers.get(code):
            raise AgentError(Failure.CREDENTIALS, "nobody has agreed to the login")
        credentials = private_folder(folder / "credentials")
        write_private(credentials / f"{self._name}.json", json.dumps(self.server.issue()).encode())

    async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
        """Refuse: the rig tries the plugin's own refresh.

        Raises:
            AgentError: Always.
        """
        raise AgentError(Failure.ENGINE, "the rig's agent refreshes nothing")

    # ----------------------------------------------------------------- files
    @property
    def _name(self) -> str:
        return name_for(self.need.agent, Settings.model_validate(self.table()))

    def _file(self, name: str) -> Path:
        return private_folder(self.home(name) / "credentials") / f"{self._name}.json"

    def _put(self, name: str, login: dict[str, Any]) -> None:
        write_private(self._file(name), json.dumps(login).encode())

    def _brought(self, login: dict[str, Any]) -> Path:
        self._files += 1
        file = self.folder / f"brought{self._files}.json"
        write_private(file, json.dumps(login).encode())
        return file

    def _decide(self, shown: ShowCode, *, agreed: bool) -> None:
        self._answers[shown.code] = agreed
        answered, self._answered = self._answered, anyio.Event()
        answered.set()


class SharedOAuthFileRig(OAuthFileRig):
    """The same, with the login's own directories in the containers."""

    credentials = "shared"
