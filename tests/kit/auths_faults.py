"""Which check is meant for which broken auth plugin, and their rigs."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar

from kit.auths_club import Club
from kit.auths_rig import ClubRig
from nanokimi_core import Spec, write_private
from nanokimi_core.testing import AuthRig

Kind = TypeVar("Kind", bound=type[Club])


def noting(broken: dict[type[Club], str]) -> Callable[[str], Callable[[Kind], Kind]]:
    """Give a decorator that names the check that a broken plugin is to fail, and no other."""

    def fails(check: str) -> Callable[[Kind], Kind]:
        def note(kind: Kind) -> Kind:
            broken[kind] = check
            return kind

        return note

    return fails


def rig_of(kind: type[Club]) -> type[ClubRig]:
    """Give a rig for a broken plugin."""

    class BrokenRig(ClubRig):
        spec = Spec("club", kind, config=kind.table)

    return BrokenRig


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
