"""An account at a club, whose members log in by a code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio
import anyio.to_thread
import httpx
from pydantic import BaseModel, ConfigDict, SecretStr

from nanokimi_core import (
    Auth,
    AuthStatus,
    BaseUrl,
    Context,
    Grant,
    LoginNeeded,
    ModelId,
    Need,
    Refusals,
    ShowCode,
    Spec,
    hookimpl,
    write_private,
)


class ClubConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: BaseUrl
    model: ModelId = "club-1"


class Club:
    def __init__(self, config: ClubConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.file = context.folder / "login.json"
        self.refusals = Refusals(context.folder)

    # ------------------------------------------------------------ what every account can do
    async def grant(self, need: Need) -> Grant:
        token, _ = await self.stored()
        if token is None:
            raise LoginNeeded(self.remedy())
        return Grant(
            provider="openai",
            base_url=f"{self.config.url}/v1",
            model=self.config.model,
            context_size=128_000,
            fingerprint=self.mark(token),
            api_key=SecretStr(token),
        )

    async def rejected(self, grant: Grant, why: str) -> None:
        if grant.api_key is not None:
            said = why.replace(grant.api_key.get_secret_value(), "…")  # servers like to quote what they refuse
            await anyio.to_thread.run_sync(self.refusals.note, grant.fingerprint, said)

    async def status(self) -> AuthStatus:
        token, who = await self.stored()
        if token is None:
            return AuthStatus("login_needed", remedy=self.remedy())
        said = await anyio.to_thread.run_sync(self.refusals.of, self.mark(token))
        if said is not None:
            return AuthStatus("rejected", who, remedy=self.remedy(), details={"refused": said})
        return AuthStatus("ok", who)

    # ------------------------------------------------------------ a login by a code
    async def login(self) -> AsyncIterator[ShowCode | AuthStatus]:
        async with httpx.AsyncClient(base_url=self.config.url, timeout=10) as http:
            try:
                begun = (await http.post("/device")).raise_for_status().json()
                ends = datetime.now(UTC) + timedelta(seconds=begun["seconds"])
                yield ShowCode(begun["page"], begun["code"], ends)
                while datetime.now(UTC) < ends:
                    answer = await http.post("/token", json={"device": begun["device"]})
                    if answer.status_code != 202:
                        break
                    await anyio.sleep(begun["interval"])
            except httpx.HTTPError as error:
                why = f"{self.config.url} can't be asked: {type(error).__name__}"
                yield AuthStatus("login_needed", remedy=f"{why}; try again later")
                return
        if answer.status_code == 200:
            await anyio.to_thread.run_sync(write_private, self.file, answer.content)
            yield await self.status()
        else:
            why = "the login was refused" if answer.status_code == 403 else "nobody has entered the code in time"
            yield AuthStatus("login_needed", remedy=f"{why}; {self.remedy()}")

    # ------------------------------------------------------------ the file
    async def stored(self) -> tuple[str | None, str]:
        """Give the token and whose it is; read each time, because another process may have logged in."""
        try:
            login = json.loads(await anyio.Path(self.file).read_text())
            return str(login["token"]), str(login["who"])
        except (OSError, ValueError, LookupError, TypeError):
            return None, ""

    def mark(self, token: str) -> str:
        return hashlib.sha256(f"{self.context.installation} {token}".encode()).hexdigest()[:16]

    def remedy(self) -> str:
        return f"log in with: nanokimi auth login {self.context.name}"


@hookimpl
def nanokimi_auths() -> list[Spec[Auth]]:
    return [Spec("club", Club, config=ClubConfig)]
