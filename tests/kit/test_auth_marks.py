"""The auth suite and a plugin whose credentials change under one fingerprint: it goes by the grants' marks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kit.auths_club import Club
from kit.auths_faults import rig_of
from nanokimi_core import Grant, Need
from nanokimi_core.testing.conformance.auth.states import (
    an_old_grants_refusal_blames_no_new_one,
    new_credentials_end_a_refusal,
    status_tells_of_a_refusal,
)
from nanokimi_core.testing.conformance.checks import LOOPS, Check, Loop, run_check


class Renewing(Club):
    """Agents read its token from a file: no restart, one fingerprint. What is refused is renewed, once."""

    renewed = ""

    async def grant(self, need: Need) -> Grant:
        grant = await super().grant(need)
        return replace(grant, fingerprint="club", mark=self.current(), api_key=None)

    async def rejected(self, grant: Grant, why: str) -> None:
        if grant.mark != self.current():
            return
        if grant.mark == self.renewed:
            self.refusals.note(grant.mark, "the club refused it")
        elif (member := self.read()) is not None:
            await self.renew(member)
            self.renewed = self.current()

    def current(self) -> str:
        member = self.read()
        return self.mark(member["access"]) if member else ""


class BlamesTheNew(Renewing):
    async def rejected(self, grant: Grant, why: str) -> None:
        self.refusals.note(self.current(), "the club refused it")


class RenewsForEver(Renewing):
    async def rejected(self, grant: Grant, why: str) -> None:
        self.renewed = ""
        await super().rejected(grant, why)


def outcome(check: Check, kind: type[Club], folder: Path, loop: Loop) -> str:
    return run_check(check, rig_of(kind), folder, loop).outcome


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "check", [status_tells_of_a_refusal, new_credentials_end_a_refusal, an_old_grants_refusal_blames_no_new_one]
)
def test_a_plugin_that_renews_what_was_refused_passes(check: Check, loop: Loop, tmp_path: Path) -> None:
    assert outcome(check, Renewing, tmp_path, loop) == "passed"


@pytest.mark.parametrize("loop", LOOPS)
def test_blaming_new_credentials_for_an_old_mark_fails_though_the_fingerprint_stays(loop: Loop, tmp_path: Path) -> None:
    assert outcome(an_old_grants_refusal_blames_no_new_one, BlamesTheNew, tmp_path, loop) == "failed"


@pytest.mark.parametrize("loop", LOOPS)
def test_renewing_for_ever_what_is_refused_fails(loop: Loop, tmp_path: Path) -> None:
    assert outcome(status_tells_of_a_refusal, RenewsForEver, tmp_path, loop) == "failed"
