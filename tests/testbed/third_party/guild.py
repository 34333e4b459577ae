"""An auth plugin whose login only the agent's own program can make, and which can be left and renewed."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from nanokimi_core import (
    AccountAway,
    AgentCommands,
    Auth,
    AuthStatus,
    Context,
    Grant,
    LoginNeeded,
    Need,
    Quota,
    ShowCode,
    Spec,
    hookimpl,
    write_private,
)

ENDS = datetime(2099, 1, 2, 3, 4, tzinfo=UTC)


class GuildTable(BaseModel):
    model_config = ConfigDict(extra="forbid")

    region: Literal["cn", "ai"] = "cn"
    refreshing: Literal["works", "needs a login", "is away"] = "works"
    reserve: str = ""


class Guild:
    def __init__(self, config: GuildTable, context: Context) -> None:
        self.config, self.context = config, context
        self.file = context.folder / f"member-{config.region}"
        self.agent: AgentCommands | None = None

    def use_agent(self, agent: AgentCommands) -> None:
        self.agent = agent

    async def grant(self, need: Need) -> Grant:
        raise LoginNeeded("the guild lends nothing")

    async def rejected(self, grant: Grant, why: str) -> None:
        """Do nothing."""

    async def status(self) -> AuthStatus:
        assert self.agent is not None
        if not self.file.exists() and self.config.reserve:
            return AuthStatus("ok", self.config.reserve)
        if not self.file.exists():
            return AuthStatus("login_needed", remedy="nanokimi auth login")
        quotas = (
            Quota("Weekly limit", 0.85, "15 %", ENDS),
            Quota("5h limit", 0.1, "90 %"),
            Quota("Extra", left="3.00 CNY"),
        )
        return AuthStatus("ok", self.file.read_text(), ENDS, details={"models": "guild-1, guild-2"}, quotas=quotas)

    async def login(self) -> AsyncIterator[ShowCode | AuthStatus]:
        assert self.agent is not None
        with tempfile.TemporaryDirectory(dir=self.context.folder) as folder:
            async for code in self.agent.log_in(Path(folder), (("REGION", self.config.region),)):
                yield code
            write_private(self.file, (Path(folder) / "credentials").read_bytes())
        yield await self.status()

    async def log_out(self) -> AuthStatus:
        self.file.unlink(missing_ok=True)
        return await self.status()

    async def refresh(self) -> AuthStatus:
        if self.config.refreshing == "needs a login":
            raise LoginNeeded("the guild wants a new login; log in with: nanokimi auth login")
        if self.config.refreshing == "is away":
            raise AccountAway("the guild's server is busy", retry_after=timedelta(seconds=90))
        assert self.agent is not None
        await self.agent.refresh(())
        return await self.status()


@hookimpl
def nanokimi_auths() -> list[Spec[Auth]]:
    return [Spec("guild", Guild, config=GuildTable)]
