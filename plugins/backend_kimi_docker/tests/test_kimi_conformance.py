"""What the contract wants of a backend, of this one with the real engine and both real agents."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import anyio
import pytest

from nanokimi_backend_kimi_docker import nanokimi_backends
from nanokimi_backend_kimi_docker.container import LABEL
from nanokimi_backend_kimi_docker.engine import APIError
from nanokimi_core import Attachment, Chat, Failure, Grant, Mount, Need, write_private
from nanokimi_core.testing import BackendRig, BackendSuite
from testbed.cloud import CallTool, Cloud, Fail, Hang
from testbed.engine import connected, image

pytestmark = pytest.mark.engine

WAIT = timedelta(minutes=15)
LONG = 110.0  # seconds, longer than any check waits


class KimiRig(BackendRig):
    """kimi-code in containers.

    Without the failures that need an engine of one's own, which other tests stop, or that the core itself tells of.
    """

    (spec,) = nanokimi_backends()
    loops = ("asyncio",)
    patience = 120.0
    agent: ClassVar[str] = "kimi-code"
    shell: ClassVar[str] = "Bash"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.cloud = Cloud()
        self.before = 0

    async def __aenter__(self) -> Self:
        self.image = await anyio.to_thread.run_sync(image, self.agent)
        self.cloud.__enter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._clean)

    def _clean(self) -> None:
        self.cloud.__exit__(None, None, None)
        filters = {"label": f"{LABEL}installation={self.installation}"}
        with connected() as engine:
            for container in engine.containers(all=True, filters=filters):
                with suppress(APIError):  # it may be going already
                    engine.remove_container(container["Id"], force=True)

    def table(self) -> Mapping[str, Any]:
        return {"agent": self.agent, "image": self.image, "network": "host", "max_attempts": 2, "max_steps": 3}

    def new_key(self) -> str:
        return self.cloud.add_key(f"sk-kimi-{secrets.token_hex(16)}")

    def grant(self, key: str, need: Need) -> Grant:
        grant = super().grant(key, need)
        return replace(grant, base_url=self.cloud.base_url_coding, model="kimi-for-coding", mounts=self._gate(need))

    def _gate(self, need: Need) -> tuple[Mount, ...]:
        """kimi-cli opens no session without some credentials file."""
        if need.agent != "kimi-cli":
            return ()
        folder = self.folder / "gate"
        folder.mkdir(exist_ok=True, mode=0o755)
        gate = {"access_token": "none", "refresh_token": "", "expires_at": 0, "scope": "", "token_type": ""}
        write_private(folder / "kimi-code.json", json.dumps(gate).encode(), mode=0o644)
        return (Mount(folder, need.agent_home / "credentials"),)

    def chat(self, number: int = 1) -> Chat:
        """All chats share a sandbox: a container for each would tell them apart even where nothing else does."""
        return replace(super().chat(number), folder=super().chat().folder, sandbox="conformance:all")

    # ----------------------------------------------------------------- what the agent can be made to do
    async def hold(self) -> None:
        self.before = len(self.cloud.completions())
        self.cloud.script(Hang(LONG, "Let me see. "))

    async def held(self) -> bool:
        return len(self.cloud.completions()) > self.before

    async def let_go(self) -> None:
        self.cloud.release()

    def failures(self) -> Collection[Failure]:
        return REPLIES

    async def bring_about(self, failure: Failure) -> timedelta | None:
        reply = REPLIES[failure]
        self.cloud.always(CallTool(self.shell, {"command": reply}) if isinstance(reply, str) else reply)
        return WAIT if failure is Failure.RATE_LIMIT else None

    async def mend(self) -> None:
        self.cloud.always(None)

    async def asked(self) -> Sequence[str]:
        return self.cloud.completions()[-1].said

    async def key_seen(self) -> str:
        return self.cloud.completions()[-1].token

    async def instructed(self) -> str:
        return self.cloud.completions()[-1].prompt

    async def reading(self, file: Attachment) -> str:
        self.cloud.script(CallTool(self.shell, {"command": f"cat '/workspace/attachments/{file.name}'"}))
        return "What is in this letter?"


OF_THE_BACKEND = (
    "has its methods",
    "an answer is made of events",
    "forgetting a chat leaves the others",
    "two chats keep apart",
    "two chats are answered side by side",
    "two instances share nothing",
    "stopping nothing does nothing",
    "no scope is open across a yield",
    "entering can be cancelled",
    "the account hears of a refusal",
    "a missing login is said",
)


class KimiCliRig(KimiRig):
    """kimi-cli in containers."""

    agent = "kimi-cli"
    shell = "Shell"
    excused = dict.fromkeys(OF_THE_BACKEND, "the agent has no part in it, and the backend was tried with kimi-code")

    def failures(self) -> Collection[Failure]:
        return [Failure.CREDENTIALS, Failure.MODEL]


REPLIES: dict[Failure, Fail | str] = {
    Failure.CREDENTIALS: Fail(401, "invalid_authentication_error", "Invalid Authentication"),
    Failure.QUOTA: Fail(402, "payment_required", "pay first"),
    Failure.MODEL: Fail(404, "resource_not_found_error", "no such model"),
    Failure.RATE_LIMIT: Fail(429, "rate_limit_reached_error", headers={"retry-after": f"{WAIT.total_seconds():.0f}"}),
    Failure.NO_ANSWER: Fail(500, "server_error", "it broke"),
    Failure.CRASHED: "kill -9 -1",
    Failure.TOO_LONG: "true",
}
"""What the model's server says, or which command the model wants to run, for each failure."""


class TestKimiCode(BackendSuite):
    rig = KimiRig


class TestKimiCli(BackendSuite):
    rig = KimiCliRig
