"""Auth plugins with one fault in their grants or their status, and the name of the check that is meant for it."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

import anyio

from kit.auths_club import LOG_IN, Club
from kit.auths_faults import noting
from nanokimi_core import AuthStatus, Grant, LoginNeeded, Mount, Need

BROKEN: dict[type[Club], str] = {}
fails = noting(BROKEN)


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


# ------------------------------------------------------------------- what other checks need as well
class Speechless(Club):
    rejected: Any = None


class LetsItEnd(Club):
    async def renew(self, member: dict[str, Any]) -> dict[str, Any]:
        raise LoginNeeded(f"the login has ended; {LOG_IN}")
