"""A bench for the Kimi backend: real containers, accounts of the stand-in cloud, chats in a temporary folder."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from nanokimi_backend_kimi_docker.backend import KimiDocker
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.container import LABEL
from nanokimi_backend_kimi_docker.engine import APIError
from nanokimi_core import (
    AgentError,
    AgentEvent,
    Auth,
    AuthStatus,
    Chat,
    Grant,
    Inbound,
    Mount,
    Need,
    Session,
    Text,
    Turn,
    private_folder,
    write_private,
)
from testbed.cloud import Cloud
from testbed.context import PluginContext

KEY = "sk-kimi-CANARY-of-the-key-0123456789"
INSTRUCTIONS = "Your name is Kai. GLOBAL-KIMI-MD says so. CHAT-KIMI-MD says so too."
SECONDS = 60

_numbers = count(1)


class BenchContext(PluginContext):
    """A ``Context`` of the backend."""

    def __init__(self, folder: Path, name: str = "kimi_docker", installation: str = "bench") -> None:
        super().__init__(folder, name, installation=installation)


class Account:
    """What both kinds of account share: what they were told, and how often they were asked."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.rejections: list[str] = []
        self.asked = 0
        self.fingerprint = "1"

    async def rejected(self, grant: Grant, why: str) -> None:
        self.rejections.append(why)

    async def status(self) -> AuthStatus:
        return AuthStatus("ok")


class KeyAccount(Account):
    """An API key."""

    def __init__(self, cloud: Cloud, folder: Path, key: str = KEY) -> None:
        super().__init__(cloud)
        self.key = cloud.add_key(key)
        self.folder = folder
        self.model = "kimi-for-coding"
        self.base_url = cloud.base_url_coding

    async def grant(self, need: Need) -> Grant:
        self.asked += 1
        return Grant(
            provider="kimi",
            base_url=self.base_url,
            model=self.model,
            context_size=262_144,
            fingerprint=f"key-{self.fingerprint}",
            api_key=SecretStr(self.key),
            mounts=self._gate(need),
            capabilities=frozenset({"image_in", "thinking"}),
        )

    def _gate(self, need: Need) -> tuple[Mount, ...]:
        """kimi-cli opens no session without some credentials file."""
        if need.agent != "kimi-cli":
            return ()
        self.folder.mkdir(exist_ok=True, parents=True, mode=0o755)
        gate = {"access_token": "none", "refresh_token": "", "expires_at": 0, "scope": "", "token_type": ""}
        write_private(self.folder / "kimi-code.json", json.dumps(gate).encode(), mode=0o644)
        return (Mount(self.folder, need.agent_home / "credentials"),)


class LoginAccount(Account):
    """A login, in directories that every container shares and writes."""

    def __init__(self, cloud: Cloud, folder: Path, *, expires_in: int = 900) -> None:
        super().__init__(cloud)
        self.folder = folder
        self.login = cloud.new_login(expires_in)

    def file(self, agent: str) -> Path:
        return self.folder / "credentials" / f"{login_name(self.cloud, agent)}.json"

    async def grant(self, need: Need) -> Grant:
        self.asked += 1
        parts = ("credentials", "oauth") if need.agent == "kimi-code" else ("credentials",)
        for part in parts:
            give(private_folder(self.folder / part), need.user)
        if not (file := self.file(need.agent)).exists():
            write_private(file, json.dumps(self.login).encode())
            give(file, need.user)
        return Grant(
            provider="kimi",
            base_url=self.cloud.base_url_coding,
            model="kimi-for-coding",
            context_size=262_144,
            fingerprint=f"login-{self.fingerprint}",
            oauth_key=f"oauth/{login_name(self.cloud, need.agent)}",
            mounts=tuple(Mount(self.folder / part, need.agent_home / part, read_only=False) for part in parts),
            capabilities=frozenset({"thinking"}),
            environment=(
                ("KIMI_CODE_OAUTH_HOST", self.cloud.oauth_host),
                ("KIMI_CODE_BASE_URL", self.cloud.base_url_coding),
            ),
        )


class AccessAccount(Account):
    """A login of which containers see an access token alone, in a read-only directory."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        super().__init__(cloud)
        self.folder = folder
        self.token = ""
        self.refused: list[Grant] = []
        self._names: set[str] = set()
        self.renew()

    async def rejected(self, grant: Grant, why: str) -> None:
        await super().rejected(grant, why)
        self.refused.append(grant)

    def renew(self) -> str:
        """Put a new token in the place of the old one, as a keeper does."""
        self.token = self.cloud.new_login()["access_token"]
        for name in self._names:
            self._write(name)
        return self.token

    async def grant(self, need: Need) -> Grant:
        self.asked += 1
        name = login_name(self.cloud, need.agent)
        private_folder(self.folder).chmod(0o755)
        self._names.add(name)
        self._write(name)
        return Grant(
            provider="kimi",
            base_url=self.cloud.base_url_coding,
            model="kimi-for-coding",
            context_size=262_144,
            fingerprint=f"access-{self.fingerprint}",
            oauth_key=f"oauth/{name}",
            mounts=(Mount(self.folder, need.agent_home / "credentials"),),
            environment=(
                ("KIMI_CODE_OAUTH_HOST", self.cloud.oauth_host),
                ("KIMI_CODE_BASE_URL", self.cloud.base_url_coding),
            ),
        )

    def _write(self, name: str) -> None:
        file = {"access_token": self.token, "refresh_token": "", "expires_at": 0, "scope": "", "token_type": "Bearer"}
        write_private(self.folder / f"{name}.json", json.dumps(file).encode(), mode=0o644)


def login_name(cloud: Cloud, agent: str) -> str:
    """How an agent calls the file of a login at these servers."""
    if agent != "kimi-code":
        return "kimi-code"
    where = {"oauthHost": cloud.oauth_host, "baseUrl": cloud.base_url_coding}
    digest = hashlib.sha256(json.dumps(where, separators=(",", ":")).encode()).hexdigest()
    return f"kimi-code-env-{digest[:16]}"


def give(path: Path, user: tuple[int, int]) -> None:
    if path.stat().st_uid != user[0]:
        os.chown(path, *user)


class Bench:
    """Makes backends and chats.

    Args:
        root: Everything lies in it.
        cloud: The far servers.
        image: Where the containers run from.
        agent: What runs in them.
        installation: Whose the containers are; another one for each bench.
    """

    def __init__(
        self, root: Path, cloud: Cloud, image: str, *, agent: str = "kimi-code", installation: str = ""
    ) -> None:
        self.root = root
        self.cloud = cloud
        self.image = image
        self.agent = agent
        self.context = BenchContext(private_folder(root / "plugin"), installation=installation or secrets.token_hex(8))
        self.key = KeyAccount(cloud, root / "gate")

    def login(self, **more: Any) -> LoginAccount:
        return LoginAccount(self.cloud, self.root / "login", **more)

    def config(self, **settings: Any) -> KimiDockerConfig:
        table = {"agent": self.agent, "image": self.image, "network": "host", **settings}
        return KimiDockerConfig.model_validate(table)

    def containers(self, engine: Any) -> list[str]:
        """The ids of this bench's containers."""
        filters = {"label": f"{LABEL}installation={self.context.installation}"}
        return [one["Id"] for one in engine.containers(all=True, filters=filters)]

    def clean(self, engine: Any) -> None:
        """Remove what a failed test has left behind."""
        for container in self.containers(engine):
            with suppress(APIError):  # it may be going already
                engine.remove_container(container, force=True)

    @asynccontextmanager
    async def backend(self, *, context: BenchContext | None = None, **settings: Any) -> AsyncIterator[KimiDocker]:
        async with KimiDocker(self.config(**settings), context or self.context) as backend:
            yield backend

    def chat(
        self, name: str = "console:me", *, auth: Auth | None = None, sandbox: str = "", instructions: str = INSTRUCTIONS
    ) -> Chat:
        folder = private_folder(self.root / "chats" / hashlib.sha256((sandbox or name).encode()).hexdigest()[:8])
        return Chat(name, name, "direct", folder, auth or self.key, sandbox or name, instructions)


def turn(text: str, **more: Any) -> Turn:
    """A new turn of a new message; what is to be asked again must be kept and given again."""
    return Turn(f"turn {next(_numbers)}", (message(text, **more),))


def message(text: str, **more: Any) -> Inbound:
    return Inbound(f"message {next(_numbers)}", "me", "ana", text, sender_name="Ana", **more)


async def events(session: Session, asked: Turn | str) -> list[AgentEvent]:
    asked = turn(asked) if isinstance(asked, str) else asked
    with anyio.fail_after(SECONDS):
        async with aclosing(session.prompt(asked)) as stream:  # type: ignore[type-var]
            return [event async for event in stream]


async def ask(session: Session, asked: Turn | str) -> str:
    return "".join(event.delta for event in await events(session, asked) if isinstance(event, Text))


async def failure(session: Session, asked: Turn | str = "hello") -> AgentError:
    with pytest.raises(AgentError) as caught:
        await events(session, asked)
    return caught.value
