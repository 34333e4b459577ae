"""Auth plugins with one fault in how they log in, store and keep secrets, and the check that is meant for it."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from pydantic import SecretStr

from kit.auths_club import LOG_IN, Club, ClubTable
from kit.auths_faults import noting
from nanokimi_core import AuthStatus, ConfigError, Grant, LoginNeeded, Need, ShowCode

LEAKY: dict[type[Club], str] = {}
fails = noting(LEAKY)


# ------------------------------------------------------------------- logins
@fails("a login shows a code first")
class CodeWithoutZone(Club):
    async def login(self) -> AsyncGenerator[ShowCode | AuthStatus, None]:
        async with aclosing(super().login()) as events:
            async for event in events:
                if isinstance(event, ShowCode):
                    event = replace(event, expires_at=event.expires_at.replace(tzinfo=None))
                yield event


@fails("a login ends with a status")
class EndsSilently(Club):
    async def login(self) -> AsyncGenerator[ShowCode | AuthStatus, None]:
        async with aclosing(super().login()) as events:
            async for event in events:
                if isinstance(event, ShowCode) or event.state != "ok":
                    yield event


@fails("a login serves at once")
class KeepsTheLogin(Club):
    own: dict[str, Any] | None = None

    async def login(self) -> AsyncGenerator[ShowCode | AuthStatus, None]:
        before = self.read()
        async with aclosing(super().login()) as events:
            async for event in events:
                if isinstance(event, AuthStatus) and event.state == "ok":
                    self.own = self.read()
                    self.file.unlink()
                    if before is not None:
                        self.keep(before)
                yield event

    async def member(self, need: Need) -> dict[str, Any]:
        return await super().member(need) if self.own is None else self.own


@fails("a cancelled login leaves nothing")
class LetsInAtOnce(Club):
    async def login(self) -> AsyncGenerator[ShowCode | AuthStatus, None]:
        if not self.file.exists():
            self.keep({"access": f"visitor-{secrets.token_hex(4)}", "refresh": ""})
        async with aclosing(super().login()) as events:
            async for event in events:
                yield event


@fails("a cancelled login leaves the old one")
class ForgetsTheOldLogin(Club):
    async def login(self) -> AsyncGenerator[ShowCode | AuthStatus, None]:
        self.file.unlink(missing_ok=True)
        async with aclosing(super().login()) as events:
            async for event in events:
                yield event


@fails("a declined login ends in words")
class StumblesWhenDeclined(Club):
    def declined(self) -> AuthStatus:
        raise KeyError("access")


# ------------------------------------------------------------------- keys and files
@fails("a key that is set serves at once")
class KeepsTheKey(Club):
    own: str | None = None

    async def set_key(self, key: SecretStr) -> AuthStatus:
        if not key.get_secret_value().startswith("key-"):
            return await super().set_key(key)
        self.own = key.get_secret_value()
        return AuthStatus("ok")


@fails("a wrong key changes nothing")
class WritesFirst(Club):
    async def set_key(self, key: SecretStr) -> AuthStatus:
        self.keep({"access": key.get_secret_value(), "refresh": ""})
        return await super().set_key(key)


@fails("an imported login serves at once")
class KeepsTheImport(Club):
    async def import_login(self, file: Path) -> AuthStatus:
        if "refresh" not in json.loads(await anyio.Path(file).read_text()):
            return await super().import_login(file)
        return AuthStatus("ok", "somebody")


@fails("a wrong login file changes nothing")
class StumblesOverFiles(Club):
    async def import_login(self, file: Path) -> AuthStatus:
        self.keep(json.loads(await anyio.Path(file).read_text()))
        return await self.status()


@fails("what is stored is private")
class OpenFile(Club):
    def keep(self, pair: dict[str, Any]) -> dict[str, Any]:
        member = super().keep(pair)
        self.file.chmod(0o644)
        return member


# ------------------------------------------------------------------- secrets
@fails("the fingerprint holds no secret")
class KeyInFingerprint(Club):
    async def grant(self, need: Need) -> Grant:
        grant = await super().grant(need)
        assert grant.api_key is not None
        return replace(grant, fingerprint=f"club {grant.api_key.get_secret_value()[:20]}")


@fails("the environment holds no secret")
class KeyInEnvironment(Club):
    async def grant(self, need: Need) -> Grant:
        grant = await super().grant(need)
        assert grant.api_key is not None
        return replace(grant, environment=(("CLUB_KEY", grant.api_key.get_secret_value()),))


@fails("a repr holds no secret")
class KeyInRepr(Club):
    def __repr__(self) -> str:
        return f"Club({self.read()})"


class OpenTable(ClubTable):
    word: str  # type: ignore[assignment]


@fails("a repr holds no secret")
class KeyInTable(Club):
    table = OpenTable


@fails("a status holds no secret")
class KeyInStatus(Club):
    async def rejected(self, grant: Grant, why: str) -> None:
        assert grant.api_key is None or why
        if grant.api_key is not None:
            self.refusals.note(self.mark(grant.api_key.get_secret_value()), why)


@fails("errors hold no secret")
class KeyInError(Club):
    async def set_key(self, key: SecretStr) -> AuthStatus:
        if not key.get_secret_value().startswith("key-"):
            raise ConfigError(f"{key.get_secret_value()} is no key of the club's", remedy="copy the whole of it")
        return await super().set_key(key)


@fails("errors hold no secret")
class SecretInCause(Club):
    async def member(self, need: Need) -> dict[str, Any]:
        if self.file.exists() and (text := self.file.read_text()).startswith("torn"):
            try:
                raise ValueError(f"this is no JSON: {text}")
            except ValueError as error:
                raise LoginNeeded(f"the login is damaged; {LOG_IN}") from error
        return await super().member(need)


@fails("logs hold no secret")
class KeyInLog(Club):
    async def grant(self, need: Need) -> Grant:
        grant = await super().grant(need)
        self.context.log.debug("a grant: %s", grant.api_key and grant.api_key.get_secret_value())
        return grant


@fails("logs hold no secret")
class TellsTheOwner(Club):
    async def rejected(self, grant: Grant, why: str) -> None:
        await super().rejected(grant, why)
        await self.context.tell_owner("refused", f"the club says: {why}")
