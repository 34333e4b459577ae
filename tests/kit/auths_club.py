"""An auth plugin that does everything that the contract knows."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream
from pydantic import BaseModel, ConfigDict, SecretStr

from nanokimi_core import (
    Auth,
    AuthStatus,
    ConfigError,
    Context,
    Grant,
    LoginNeeded,
    Mount,
    Need,
    Refusals,
    ShowCode,
    Spec,
    hookimpl,
    write_private,
)

LOG_IN = "log in with: nanokimi auth login"
_LONGEST = 10_000
_LASTS = 3600.0
_POLL = 0.005
_PATIENCE = 10.0


class ClubTable(BaseModel):
    model_config = ConfigDict(extra="forbid")

    port: int
    word: SecretStr


class Club:
    """An account at a club: tokens that end, from a login by code, from a file, or a key that doesn't end."""

    table: ClassVar[type[ClubTable]] = ClubTable

    def __init__(self, config: ClubTable, context: Context) -> None:
        self.config, self.context = config, context
        self.file = context.folder / "member.json"
        self.refusals = Refusals(context.folder)
        self.renewing = anyio.Lock()

    async def grant(self, need: Need) -> Grant:
        member = await self.member(need)
        self.context.log.debug("a grant for %s", need.agent)
        papers = self.context.folder / "papers"
        papers.mkdir(exist_ok=True)
        papers.chmod(0o755)
        return Grant(
            provider="kimi",
            base_url=f"http://127.0.0.1:{self.config.port}/v1",
            model="club-1",
            context_size=8192,
            fingerprint=self.mark(member["access"]),
            api_key=SecretStr(member["access"]),
            mounts=(Mount(papers, need.agent_home / "papers"),),
            expires_at=datetime.fromtimestamp(member["ends"], UTC),
            environment=(("CLUB_COLOUR", "green"),),
        )

    async def rejected(self, grant: Grant, why: str) -> None:
        if grant.api_key is not None:
            self.refusals.note(self.mark(grant.api_key.get_secret_value()), "the club refused it")

    async def status(self) -> AuthStatus:
        member = self.read()
        if member is None:
            return AuthStatus("login_needed", remedy=LOG_IN)
        said = self.refusals.of(self.mark(member["access"]))
        if said is not None:
            return AuthStatus("rejected", remedy=LOG_IN, details={"refused": said})
        return AuthStatus("ok", f"…{member['access'][-4:]}", datetime.fromtimestamp(member["ends"], UTC))

    async def login(self) -> AsyncGenerator[ShowCode | AuthStatus, None]:
        begun = await self.ask(do="begin")
        ends = datetime.now(UTC) + timedelta(seconds=begun["seconds"])
        yield ShowCode("https://club.example/enter", begun["code"], ends)
        while datetime.now(UTC) < ends:
            answer = await self.ask(do="poll", device=begun["device"])
            if "access" in answer:
                self.keep(answer)
                yield await self.status()
                return
            if answer["state"] == "declined":
                break
            await anyio.sleep(_POLL)
        yield self.declined()

    def declined(self) -> AuthStatus:
        return AuthStatus("login_needed", remedy="the club did not let you in; log in again with: nanokimi auth login")

    async def set_key(self, key: SecretStr) -> AuthStatus:
        if not key.get_secret_value().startswith("key-"):
            raise ConfigError("this is no key of the club's", remedy="copy the whole of it")
        self.keep({"access": key.get_secret_value(), "refresh": ""})
        return await self.status()

    async def import_login(self, file: Path) -> AuthStatus:
        found = json.loads(await anyio.Path(file).read_text())
        if not found.get("refresh"):
            raise ConfigError(f"{file} holds no login", remedy="log in again there")
        self.keep(found)
        return await self.status()

    async def member(self, need: Need) -> dict[str, Any]:
        """Give the credentials, renewed where they have ended."""
        async with self.renewing:
            member = self.read()
            if member is None:
                raise LoginNeeded(f"there is no login; {LOG_IN}")
            if member["ends"] > time.time():
                return member
            with anyio.move_on_after(_PATIENCE, shield=True):  # the old token is spent when the answer comes
                return await self.renew(member)
            raise LoginNeeded("the club does not answer; look whether it is there")

    async def renew(self, member: dict[str, Any]) -> dict[str, Any]:
        answer = await self.ask(do="renew", refresh=member["refresh"])
        if "access" not in answer:
            raise LoginNeeded(f"the login was revoked; {LOG_IN}")
        return self.keep(answer)

    def keep(self, pair: dict[str, Any]) -> dict[str, Any]:
        member = {"access": pair["access"], "refresh": pair["refresh"], "ends": time.time() + _LASTS}
        write_private(self.file, json.dumps(member).encode())
        return member

    def read(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self.file.read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def mark(self, text: str) -> str:
        salt = hashlib.sha256(self.context.installation.encode()).digest()
        return hashlib.blake2b(text.encode(), key=salt, digest_size=8).hexdigest()

    async def ask(self, **request: str) -> dict[str, Any]:
        async with await anyio.connect_tcp("127.0.0.1", self.config.port) as stream:
            await stream.send(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await BufferedByteReceiveStream(stream).receive_until(b"\n", _LONGEST))
            return answer


@hookimpl
def nanokimi_auths() -> list[Spec[Auth]]:
    return [Spec("club", Club, config=ClubTable)]
