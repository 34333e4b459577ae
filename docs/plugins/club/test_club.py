"""The club's account, tried against the club's login server."""

from __future__ import annotations

import json
from pathlib import Path

import nanokimi_club
import pytest
from club_server import ClubServer

from nanokimi_core import ShowCode
from nanokimi_core.testing import AuthRig, AuthSuite


class ClubRig(AuthRig):
    (spec,) = nanokimi_club.nanokimi_auths()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = ClubServer()

    async def __aexit__(self, *error: object) -> None:
        self.server.close()

    def table(self) -> dict[str, str]:
        return {"url": self.server.url}

    async def give(self, name: str = "tried") -> None:
        self.canaries.append(token := self.server.new_token())
        (self.home(name) / "login.json").write_text(json.dumps({"token": token, "who": "ana"}))

    async def lose(self, name: str = "tried") -> None:
        (self.home(name) / "login.json").unlink(missing_ok=True)

    async def spoil(self, name: str = "tried") -> None:
        self.canaries.append(token := self.server.new_token())
        (self.home(name) / "login.json").write_text(f'{{"token": "{token}"')

    # ------------------------------------------------------------ the member in front of the page
    async def confirm(self, shown: ShowCode) -> None:
        self.canaries.append(self.server.enter(shown.code))

    async def decline(self, shown: ShowCode) -> None:
        self.server.enter(shown.code, agree=False)


# httpx, cancelled while it writes, leaves a generator to the garbage collector, which trio warns of.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
class TestClub(AuthSuite):
    rig = ClubRig
