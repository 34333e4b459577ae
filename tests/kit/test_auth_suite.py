"""The auth suite: a good plugin passes every check, and each of the broken ones fails the one that is meant for it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kit.auths_broken import BROKEN, LetsItEnd, Speechless
from kit.auths_club import Club
from kit.auths_faults import NamesNoSecret, SmallRig, rig_of
from kit.auths_leaky import LEAKY
from kit.auths_rig import ClubRig
from kit.looks import PATIENT, Looks, asked_for, loops_of
from nanokimi_core import AuthStatus, Grant, Need
from nanokimi_core.testing import AuthRig, AuthSuite
from nanokimi_core.testing.conformance.auth.forms import a_grant_is_whole
from nanokimi_core.testing.conformance.auth.states import status_with_credentials
from nanokimi_core.testing.conformance.auth.suite import AUTH_CHECKS
from nanokimi_core.testing.conformance.checks import LOOPS, Finding, Loop, run_check

# What these look at, others need as well: a plugin without it fails more than one.
SHARED = {"has its methods", "ended credentials are renewed"}


FAULTY = BROKEN | LEAKY
LENGTHY = {broken: PATIENT for broken in FAULTY if broken.__name__ in ("RenewsInTheOpen", "HangsWithoutLogin")}


class TestClub(AuthSuite):
    rig = ClubRig


def findings(rig: type[AuthRig], folder: Path, loop: Loop) -> list[Finding]:
    found = []
    for number, check in enumerate(AUTH_CHECKS):
        (own := folder / str(number)).mkdir()
        found.append(run_check(check, rig, own, loop))
    return found


def patient(broken: type[Club], seconds: float) -> type[AuthRig]:
    return type("Patient", (rig_of(broken),), {"patience": seconds})


@pytest.fixture(scope="module")
def looks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Looks[type[Club]]:
    more: Any = {"lengthy": LENGTHY, "at_once": 1}  # for many listen to the whole log
    return Looks(tmp_path_factory.mktemp("broken"), AUTH_CHECKS, FAULTY, patient, asked_for(request), **more)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("broken", FAULTY, ids=lambda kind: kind.__name__)
def test_a_broken_plugin_fails_the_check_that_is_meant_for_it(
    broken: type[Club], loop: Loop, looks: Looks[type[Club]]
) -> None:
    found = looks.meant(broken, loop)
    assert found.outcome == "failed"
    assert len(found.saw.split()) > 3


@pytest.mark.parametrize(("broken", "loop"), loops_of(FAULTY))
def test_a_broken_plugin_fails_no_check_that_is_not_meant_for_it(
    broken: type[Club], loop: Loop, looks: Looks[type[Club]]
) -> None:
    assert looks.others_failed(broken, loop) == []


def test_there_is_a_broken_plugin_for_each_check() -> None:
    assert {check.name for check in AUTH_CHECKS} - SHARED == set(FAULTY.values())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_plugin_without_a_method_is_told_which(loop: Loop, tmp_path: Path) -> None:
    failed = [found for found in findings(rig_of(Speechless), tmp_path, loop) if found.outcome == "failed"]
    assert failed[0].saw == "Speechless has no rejected"


@pytest.mark.parametrize("loop", LOOPS)
def test_a_plugin_that_renews_nothing_is_told_so(loop: Loop, tmp_path: Path) -> None:
    found = {each.check.name: each for each in findings(rig_of(LetsItEnd), tmp_path, loop)}
    renewed = found["ended credentials are renewed"]
    assert renewed.outcome == "failed"
    assert "with good credentials, grant raised LoginNeeded: the login has ended" in renewed.saw


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_rig_cannot_do_is_not_asked_of_it(loop: Loop, tmp_path: Path) -> None:
    found = {each.check.name: each for each in findings(SmallRig, tmp_path, loop)}
    assert {name for name, each in found.items() if each.outcome == "not applicable"} == {
        "ended credentials are renewed",
        "a login shows a code first",
        "a login ends with a status",
        "a login serves at once",
        "a cancelled login leaves nothing",
        "a cancelled login leaves the old one",
        "a declined login ends in words",
        "a key that is set serves at once",
        "a wrong key changes nothing",
        "an imported login serves at once",
        "a wrong login file changes nothing",
        "what is stored is private",
    }
    assert {each.outcome for each in found.values()} == {"passed", "not applicable"}


def test_a_rig_that_names_no_secret_is_told_so(tmp_path: Path) -> None:
    failed = {each.saw for each in findings(NamesNoSecret, tmp_path, "asyncio") if each.outcome == "failed"}
    assert failed == {"the rig has put no secret into canaries, so there is nothing to look for"}


def test_a_rig_that_confirms_codes_for_a_plugin_without_a_login_is_told_so(tmp_path: Path) -> None:
    class Mute(Club):
        login: Any = None

    failed = {each.check.name: each.saw for each in findings(rig_of(Mute), tmp_path, "asyncio") if each.saw}
    assert failed["a login shows a code first"] == "the rig confirms codes, and Mute has no login()"


WRONG_GRANTS: dict[str, tuple[Any, str]] = {
    "provider": (None, "provider is None, not a text"),
    "base_url": ("club.example/v1", "which is no http or https address"),
    "model": (" ", "model is ' ', not a text"),
    "context_size": (True, "context_size is True, not a number of tokens"),
    "fingerprint": (7, "fingerprint is 7, not a text"),
    "api_key": ("open", "api_key is a str, not a SecretStr"),
    "oauth_key": (7, "oauth_key is 7, not a text"),
    "mounts": ([], "mounts is not a tuple of Mount"),
    "capabilities": (["thinking"], "capabilities is not a frozenset of texts"),
    "expires_at": (datetime(2020, 1, 1, tzinfo=UTC), "which is over"),
    "environment": (({"COLOUR": "green"},), "environment is not a tuple of pairs of texts"),
    "mark": (7, "mark is 7, not a text"),
}


@pytest.mark.parametrize("field", [each.name for each in fields(Grant)])
def test_each_field_of_a_grant_is_looked_at_and_named(field: str, tmp_path: Path) -> None:
    value, said = WRONG_GRANTS[field]

    class Wrong(Club):
        async def grant(self, need: Need) -> Grant:
            return replace(await super().grant(need), **{field: value})

    found = run_check(a_grant_is_whole, rig_of(Wrong), tmp_path, "trio")
    assert (found.outcome, said in found.saw) == ("failed", True), found.saw


WRONG_STATES: dict[str, tuple[Any, str]] = {
    "state": ("fine", "the state is 'fine'"),
    "who": (None, "who is None, not a text"),
    "until": (1_900_000_000, "until is 1900000000, not a time with a zone"),
    "remedy": (None, "remedy is None, not a text"),
    "details": ({"uses": 3}, "details is not a dict of texts"),
    "quotas": (["61 %"], "quotas is not a tuple of Quota"),
}


@pytest.mark.parametrize("field", [each.name for each in fields(AuthStatus)])
def test_each_field_of_a_status_is_looked_at_and_named(field: str, tmp_path: Path) -> None:
    value, said = WRONG_STATES[field]

    class Wrong(Club):
        async def status(self) -> AuthStatus:
            return replace(await super().status(), **{field: value})

    found = run_check(status_with_credentials, rig_of(Wrong), tmp_path, "trio")
    assert (found.outcome, said in found.saw) == ("failed", True), found.saw
