"""A backend that offers its agent's own login; ``log`` gets a line for all that happens to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
from pydantic import BaseModel, ConfigDict

from nanokimi_core import (
    AgentCommands,
    AgentError,
    Backend,
    Chat,
    Context,
    Failure,
    Mount,
    Session,
    ShowCode,
    Spec,
    hookimpl,
)

COMPLETE = "https://guild.example/enter?code=AB-12"


class HandsTable(BaseModel):
    model_config = ConfigDict(extra="forbid")

    log: Path
    missing: bool = False
    forever: bool = False


class Hands:
    def __init__(self, config: HandsTable, context: Context) -> None:
        self.config = config

    def note(self, said: str) -> None:
        with self.config.log.open("a") as log:
            log.write(f"{said}\n")

    async def __aenter__(self) -> Hands:
        self.note("up")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.note("down")

    def session(self, chat: Chat) -> AbstractAsyncContextManager[Session]:
        raise AgentError(Failure.ENGINE, "these hands only log in")

    async def forget(self, chat: Chat) -> None:
        """Do nothing."""

    def agent_commands(self) -> AgentCommands:
        return self

    async def log_in(self, folder: Path, environment: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[ShowCode]:
        if self.config.missing:
            raise AgentError(
                Failure.ENGINE, "the image of the hands is missing", remedy="build it: nanokimi image build"
            )
        soon = datetime.now(UTC) + timedelta(minutes=5)
        try:
            yield ShowCode("https://guild.example/enter", "AB-12", soon, COMPLETE)
            if self.config.forever:
                await anyio.sleep_forever()
            region = dict(environment)["REGION"]
            await anyio.Path(folder / "credentials").write_text(f"Ana in {region}")
        finally:
            self.note("login over")

    async def refresh(self, mounts: tuple[Mount, ...], environment: tuple[tuple[str, str], ...] = ()) -> None:
        self.note("refreshed")


@hookimpl
def nanokimi_backends() -> list[Spec[Backend]]:
    return [Spec("hands", Hands, config=HandsTable)]
