"""Auth plugins with one fault each, and the name of the check that is meant for it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import anyio
from pydantic import BaseModel, SecretStr

from kit.auths_club import LOG_IN, Club, ClubTable
from kit.auths_rig import ClubRig
from nanokimi_core import AuthStatus, ConfigError, Grant, LoginNeeded, Mount, Need, ShowCode, Spec, write_private
from nanokimi_core.testing import AuthRig

BROKEN: dict[type[Club], str] = {}
TABLES: dict[type[Club], type[BaseModel]] = {}
Kind = TypeVar("Kind", bound=type[Club])


def fails(check: str) -> Any:
    """Name the check that a broken plugin is to fail, and no other."""

    def note(kind: Kind) -> Kind:
        BROKEN[kind] = check
        return kind

    return note


def rig_of(kind: type[Club]) -> type[ClubRig]:
    """Give a rig for a broken plugin."""

    class BrokenRig(ClubRig):
        spec = Spec("club", kind, config=TABLES.get(kind, ClubTable))

        async def __aenter__(self) -> Any:
            OneForAll.known.clear()
            return await super().__aenter__()

    return BrokenRig


# ------------------------------------------------------------------- grants
@fails("a grant is whole")
class EndsWithoutZone(Club):
    async def grant(self, need: Need) -> Grant:
        return replace(await super().grant(need), expires_at=datetime(2099, 1, 1))


@fails("a grant is whole")
class NoModel(Club):
    async def grant(self, need: Need) -> Grant:
        return replace(await super().grant(need), model=" ")


@fails("mounts can be read by the agent")
class ClosedMount(Club):
    async def grant(self, need: Need) -> Grant:
        grant = await super().grant(need)
        papers = grant.mounts[0].source
        (papers / "mine").write_text("mine")
        (papers / "mine").chmod(0o200)
        return grant


@fails("mounts can be read by the agent")
class MountsAFile(Club):
    async def grant(self, need: Need) -> Grant:
        paper = self.context.folder / "paper"
        paper.touch()
        return replace(await super().grant(need), mounts=(Mount(paper, need.agent_home / "paper"),))


@fails("the fingerprint stays")
class NewFingerprints(Club):
    async def grant(self, need: Need) -> Grant:
        return replace(await super().grant(need), fingerprint=secrets.token_hex(8))


@fails("the fingerprint follows what an agent is started with")
class OneFingerprint(Club):
    async def grant(self, need: Need) -> Grant:
        return replace(await super().grant(need), fingerprint="the club's")


@fails("without credentials the next account serves")
class GivesNone(Club):
    async def grant(self, need: Need) -> Grant:
        return await super().grant(need) if self.file.exists() else None  # type: ignore[return-value]


@fails("without credentials the next account serves")
class FileNotFound(Club):
    async def grant(self, need: Need) -> Grant:
        self.file.stat()
        return await super().grant(need)


@fails("a needed login says what to do")
class SaysNothing(Club):
    async def grant(self, need: Need) -> Grant:
        try:
            return await super().grant(need)
        except LoginNeeded:
            raise LoginNeeded("login") from None


@fails("changed credentials are noticed")
class RemembersForEver(Club):
    taken: dict[str, Any] | None = None

    async def member(self, need: Need) -> dict[str, Any]:
        self.taken = self.taken or await super().member(need)
        return self.taken


@fails("many grants at once")
class EverybodyRenews(Club):
    async def member(self, need: Need) -> dict[str, Any]:
        self.renewing = anyio.Lock()
        return await super().member(need)


@fails("a cancelled grant leaves the credentials")
class RenewsInTheOpen(Club):
    async def member(self, need: Need) -> dict[str, Any]:
        async with self.renewing:
            member = self.read()
            if member is None or member["ends"] > time.time():
                return await Club(self.config, self.context).member(need)
            return await self.renew(member)

    async def renew(self, member: dict[str, Any]) -> dict[str, Any]:
        answer = await self.ask(do="renew", refresh=member["refresh"])
        await anyio.sleep(0.5)  # longer than a check waits with its last cancellation
        return self.keep(answer) if "access" in answer else await super().renew(member)


@fails("two instances share nothing")
class OneForAll(Club):
    known: ClassVar[dict[str, dict[str, Any]]] = {}

    async def member(self, need: Need) -> dict[str, Any]:
        member = await super().member(need)
        if self.context.name == "other":
            return self.known.get("tried", member)
        self.known[self.context.name] = member
        return member


# ------------------------------------------------------------------- status and refusals
@fails("status with credentials")
class KnowsNoEnd(Club):
    async def status(self) -> AuthStatus:
        status = await super().status()
        return replace(status, until=status.until.replace(tzinfo=None)) if status.until else status


@fails("status without credentials")
class HangsWithoutLogin(Club):
    async def status(self) -> AuthStatus:
        if not self.file.exists() and not (self.context.folder / "papers").exists():
            await anyio.sleep(3600)
        return await super().status()


@fails("status without credentials")
class RaisesWithoutLogin(Club):
    async def status(self) -> AuthStatus:
        self.file.stat()
        return await super().status()


@fails("status without credentials")
class AlwaysOk(Club):
    async def status(self) -> AuthStatus:
        return await super().status() if self.file.exists() else AuthStatus("ok")


@fails("a refusal is taken")
class RaisesOnRefusal(Club):
    async def rejected(self, grant: Grant, why: str) -> None:
        await super().rejected(grant, why)
        raise RuntimeError("nobody refuses the club")


@fails("status tells of a refusal")
class DeafToRefusals(Club):
    async def rejected(self, grant: Grant, why: str) -> None:
        """Do nothing."""


@fails("a refusal is known to other processes")
class ForgetsRefusals(Club):
    refused: str | None = None

    async def rejected(self, grant: Grant, why: str) -> None:
        self.refused = grant.fingerprint

    async def status(self) -> AuthStatus:
        member = self.read()
        if member is not None and self.mark(member["access"]) == self.refused:
            return AuthStatus("rejected", remedy=LOG_IN)
        return await super().status()


@fails("new credentials end a refusal")
class Unforgiving(Club):
    async def rejected(self, grant: Grant, why: str) -> None:
        member = self.read()
        if member is not None and self.mark(member["access"]) == grant.fingerprint:
            self.context.folder.joinpath("refused").touch()

    async def status(self) -> AuthStatus:
        if self.file.exists() and self.context.folder.joinpath("refused").exists():
            return AuthStatus("rejected", remedy=LOG_IN)
        return await super().status()


@fails("an old grants refusal blames no new one")
class BlamesWhatIsThere(Club):
    async def rejected(self, grant: Grant, why: str) -> None:
        member = self.read()
        if member is not None:
            self.refusals.note(self.mark(member["access"]), why.partition(":")[0])


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
    """Takes the secret of its table as a plain text."""


TABLES[KeyInTable] = OpenTable


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


# ------------------------------------------------------------------- what other checks need as well
class Speechless(Club):
    rejected: Any = None


class LetsItEnd(Club):
    async def renew(self, member: dict[str, Any]) -> dict[str, Any]:
        raise LoginNeeded(f"the login has ended; {LOG_IN}")


# ------------------------------------------------------------------- rigs
class SmallRig(AuthRig):
    """Has no more than it must."""

    spec = ClubRig.spec

    async def give(self, name: str = "tried") -> None:
        token = f"access-{secrets.token_hex(12)}"
        self.canaries.append(token)
        member = {"access": token, "refresh": "", "ends": time.time() + 3600}
        write_private(self.home(name) / "member.json", json.dumps(member).encode())

    async def lose(self, name: str = "tried") -> None:
        (self.home(name) / "member.json").unlink(missing_ok=True)

    def table(self) -> dict[str, Any]:
        return {"port": 9, "word": "nobody listens there"}


class NamesNoSecret(SmallRig):
    async def give(self, name: str = "tried") -> None:
        await super().give(name)
        self.canaries.clear()
