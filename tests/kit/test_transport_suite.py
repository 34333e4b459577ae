"""The transport's conformance suite: a good transport passes it, a broken one fails what is meant for its fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import Spec
from nanokimi_core.testing import TransportSuite
from nanokimi_core.testing.conformance.checks import LOOPS, Loop, run_check
from nanokimi_core.testing.conformance.transport.suite import TRANSPORT_CHECKS

from . import broken_lives, broken_receiving, broken_sending
from .looks import Looks, asked_for, loops_of
from .transports import Pigeon, PigeonConfig, PigeonRig

FAULTS = {**broken_receiving.FAULTS, **broken_sending.FAULTS, **broken_lives.FAULTS}
BY_NAME = {check.name: check for check in TRANSPORT_CHECKS}
ALONE = ("leaves nothing behind", "keeps its secrets")
LENGTHY: dict[type[Pigeon], float] = {broken_lives.LooksThingsUp: 20.0}


class TestPigeon(TransportSuite):
    rig = PigeonRig


class TestPigeonOfARestlessNetwork(TransportSuite):
    rig = type("RestlessRig", (PigeonRig,), {"restless": True})


def rig_of(broken: type[Pigeon], seconds: float) -> type[PigeonRig]:
    class BrokenRig(PigeonRig):
        spec = Spec("pigeon", broken, config=PigeonConfig)
        patience = seconds

    return BrokenRig


@pytest.fixture(scope="module")
def looks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looks[type[Pigeon]]]:
    folder, lonely = tmp_path_factory.mktemp("broken"), (broken_lives.OneLineForAll,)
    asked = asked_for(request)
    more: Any = {"alone": ALONE, "lonely": lonely, "lengthy": LENGTHY, "at_once": 6}
    yield Looks(folder, TRANSPORT_CHECKS, FAULTS, rig_of, asked, **more)
    broken_lives.clean()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("broken", FAULTS)
def test_a_broken_transport_fails_the_check_that_is_meant_for_its_fault(
    broken: type[Pigeon], loop: Loop, looks: Looks[type[Pigeon]]
) -> None:
    assert looks.meant(broken, loop).outcome == "failed"


@pytest.mark.parametrize(("broken", "loop"), loops_of(FAULTS))
def test_a_broken_transport_fails_no_check_that_is_not_meant_for_its_fault(
    broken: type[Pigeon], loop: Loop, looks: Looks[type[Pigeon]]
) -> None:
    assert looks.others_failed(broken, loop) == []


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("broken", broken_lives.BROAD)
def test_a_transport_that_fails_in_everything_ends_its_checks_too(
    broken: type[Pigeon], loop: Loop, tmp_path: Path
) -> None:
    finding = run_check(BY_NAME[broken_lives.BROAD[broken]], rig_of(broken, 1.5), tmp_path, loop)
    assert finding.outcome == "failed"


@pytest.mark.parametrize(
    ("broken", "check", "seconds", "saw"),
    [
        (broken_lives.Blocking, "shows what is sent", 1.5, "the event loop is blocked at"),
        (broken_lives.LooksThingsUp, "lets others work", 20.0, "the event loop was blocked for more than 1 s at"),
    ],
)
def test_a_blocked_event_loop_is_named_with_file_and_line(
    broken: type[Pigeon], check: str, seconds: float, saw: str, tmp_path: Path
) -> None:
    finding = run_check(BY_NAME[check], rig_of(broken, seconds), tmp_path, "asyncio")
    assert f"{saw} {broken_lives.__file__}:" in finding.saw


@pytest.mark.parametrize("figure", [{"burst": 0}, {"burst_chat": 0}, {"per_minute": 0.0}], ids=str)
def test_a_figure_that_the_core_cannot_use_is_named(figure: dict[str, Any], tmp_path: Path) -> None:
    broken = type("Odd", (Pigeon,), {"traits": replace(Pigeon.traits, **figure)})
    finding = run_check(BY_NAME["has traits that make sense"], rig_of(broken, 9.0), tmp_path, "asyncio")
    assert finding.outcome == "failed"
    assert f"{next(iter(figure))} is 0" in finding.saw


@pytest.mark.parametrize(
    ("check", "method", "saw"),
    [
        ("has its methods", {"state": Pigeon.connect}, "Odd.state is an async def: it must be def state(self)"),
        ("has its methods", {"owner_chat": lambda self, chat: chat}, "(chat) must be def owner_chat(self)"),
        ("tells its state", {"state": lambda self: None}, "before run state() gave NoneType, not a str"),
        ("tells its state", {"state": lambda self: "so " * 67}, "before run state() gave 201 characters"),
        (
            "knows its owners chat",
            {"owner_chat": lambda self: "roof"},
            "owner_chat() is 'roof', and",
        ),
        ("knows its owners chat", {"kind": lambda self, news: "direct"}, "has the kind 'direct', not 'self'"),
        ("knows its owners chat", {"is_mine": lambda self, news: False}, "from_me is not set on the message"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_is_wrong_with_what_only_some_can_do_is_said(
    check: str, method: dict[str, Any], saw: str, tmp_path: Path
) -> None:
    broken = type("Odd", (Pigeon,), method)
    finding = run_check(BY_NAME[check], rig_of(broken, 9.0), tmp_path, "asyncio")
    assert (finding.outcome, saw in finding.saw) == ("failed", True), finding.saw


def test_each_check_finds_a_fault() -> None:
    assert {*FAULTS.values(), *broken_lives.BROAD.values()} == set(BY_NAME)
