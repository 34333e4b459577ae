"""The rig of the club's auth plugin."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any, Self

import anyio

from kit.auths_club import nanokimi_auths
from kit.auths_server import ClubServer
from nanokimi_core import ShowCode, write_private
from nanokimi_core.testing import AuthRig


class ClubRig(AuthRig):
    (spec,) = nanokimi_auths()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = ClubServer()
        self.canaries = self.server.handed_out
        self.word = self.noted(f"word-{secrets.token_hex(12)}")
        self.files = 0

    async def __aenter__(self) -> Self:
        self.tasks = anyio.create_task_group()
        await self.tasks.__aenter__()
        await self.tasks.start(self.server.serve)
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.tasks.cancel_scope.cancel()
        await self.tasks.__aexit__(*error)

    def table(self) -> dict[str, Any]:
        return {"port": self.server.port, "word": self.word}

    def member(self, name: str) -> Path:
        return self.home(name) / "member.json"

    async def give(self, name: str = "tried") -> None:
        self.put(name, self.server.issue() | {"ends": time.time() + 3600})

    async def lose(self, name: str = "tried") -> None:
        self.member(name).unlink(missing_ok=True)

    async def expire(self, name: str = "tried") -> None:
        self.put(name, json.loads(self.member(name).read_text()) | {"ends": time.time() - 1})

    async def spoil(self, name: str = "tried") -> None:
        self.member(name).write_text(f"torn: {self.server.issue()['access']}")

    async def confirm(self, shown: ShowCode) -> None:
        self.server.decide(shown.code, "confirmed")

    async def decline(self, shown: ShowCode) -> None:
        self.server.decide(shown.code, "declined")

    def new_key(self) -> str:
        return self.noted(f"key-{secrets.token_hex(12)}")

    def wrong_key(self) -> str:
        return self.noted(f"kye-{secrets.token_hex(12)}")

    def login_file(self) -> Path:
        return self.written(self.server.issue())

    def wrong_login_file(self) -> Path:
        return self.written({"access": self.server.issue()["access"]})

    def put(self, name: str, member: dict[str, Any]) -> None:
        write_private(self.member(name), json.dumps(member).encode())

    def noted(self, secret: str) -> str:
        self.canaries.append(secret)
        return secret

    def written(self, login: dict[str, Any]) -> Path:
        self.files += 1
        file = self.folder / f"login{self.files}.json"
        file.write_text(json.dumps(login))
        return file
