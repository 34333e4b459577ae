"""A backend with every ability that a command asks for; its "image" is a file, and so is the sign of a begun turn."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from pydantic import BaseModel, ConfigDict

from nanokimi_core import (
    AgentConfig,
    AgentError,
    AgentEvent,
    AgentModel,
    AgentProvider,
    Backend,
    Chat,
    Context,
    Failure,
    ImageStatus,
    Progress,
    Session,
    Spec,
    Text,
    Timing,
    Turn,
    hookimpl,
)


class LabConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seconds: float = 0
    fails: str = ""
    raises: str = ""
    own_image: bool = False
    default_model: str = "lab"
    room: int = 3
    log: str = ""


class LabSession:
    def __init__(self, config: LabConfig, begun: Path) -> None:
        self.config = config
        self.begun = begun

    async def prompt(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.begun.touch()
        yield Text("thinking ")
        await anyio.sleep(self.config.seconds)
        if self.config.fails:
            raise AgentError(Failure.QUOTA, self.config.fails, remedy="pay the bill")
        if self.config.raises:
            raise LookupError(self.config.raises)
        yield Text(f"done: {turn.messages[-1].text}")

    async def cancel(self) -> None:
        """Do nothing."""


class Lab:
    def __init__(self, config: LabConfig, context: Context) -> None:
        self.config = config
        self.image = context.folder / "image"
        self.begun = context.folder / "begun"

    @asynccontextmanager
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        yield LabSession(self.config, self.begun)

    async def forget(self, chat: Chat) -> None:
        """Do nothing."""

    async def room(self) -> int:
        return self.config.room

    async def image_status(self) -> ImageStatus:
        if self.config.fails == "engine":
            raise AgentError(Failure.ENGINE, "the lab is locked", remedy="unlock it")
        buildable = not self.config.own_image
        return ImageStatus("lab:1", self.image.exists(), "a file", "about 3 MB", buildable=buildable)

    async def build_image(self, *, fresh: bool = False) -> AsyncIterator[Progress]:
        for step in range(1, 4):
            yield Progress(f"step {step}{' afresh' if fresh else ''}", step, 3)
        if self.config.fails == "build":
            raise AgentError(Failure.ENGINE, "step 3 blew up", remedy="try again")
        with contextlib.suppress(FileExistsError):
            self.image.touch()

    async def agent_config(self, chat: Chat) -> AgentConfig:
        models = (AgentModel("lab", "bench", "lab-1"),)
        providers = (AgentProvider("bench", "kimi", "http://127.0.0.1/v1", True, False),)
        return AgentConfig("lab 1.0", "/home/node/config.toml", self.config.default_model, models, providers)

    async def probe(self, chat: Chat, text: str) -> AsyncIterator[Timing | Text]:
        yield Timing("session", 0.5)
        if self.config.raises:
            raise LookupError(self.config.raises)
        if self.config.fails:
            raise AgentError(Failure.QUOTA, self.config.fails, remedy="pay the bill")
        yield Text(f"you asked: {text}")
        yield Timing("end", 0.75)

    async def logs(self, chat: Chat, *, lines: int) -> str:
        return "\n".join(self.config.log.splitlines()[-lines:])


@hookimpl
def nanokimi_backends() -> list[Spec[Backend]]:
    return [Spec("lab", Lab, config=LabConfig)]
