"""The backend suite: a backend that keeps its contract passes it, and one with a fault fails the check meant for it."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from kit.broken_backends import BROKEN
from kit.good_backends import Parley, ParleyConfig, ParleyRig, Talk
from kit.looks import PATIENT, Looks, asked_for, loops_of
from nanokimi_core import Chat, Session, Spec, Turn
from nanokimi_core.testing import BackendSuite
from nanokimi_core.testing.conformance.backend.failing import FAILING
from nanokimi_core.testing.conformance.backend.shape import SHAPE
from nanokimi_core.testing.conformance.backend.suite import BACKEND_CHECKS
from nanokimi_core.testing.conformance.checks import LOOPS, Loop, run_check
from nanokimi_core.testing.echo_rig import EchoRig


class TestParley(BackendSuite):
    rig = ParleyRig


class TestEcho(BackendSuite):
    rig = EchoRig


MEANT = {broken: meant for broken, (_, meant) in BROKEN.items()}


def patient(broken: str, seconds: float) -> type[ParleyRig]:
    return type("Patient", (BROKEN[broken][0],), {"patience": seconds})


@pytest.fixture(scope="module")
def looks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Looks[str]:
    folder, lengthy = tmp_path_factory.mktemp("broken"), {"EntersToTheEnd": PATIENT}
    return Looks(folder, BACKEND_CHECKS, MEANT, patient, asked_for(request), lengthy=lengthy)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("broken", BROKEN)
def test_a_backend_with_one_fault_fails_the_check_meant_for_it(broken: str, loop: Loop, looks: Looks[str]) -> None:
    assert looks.meant(broken, loop).outcome == "failed"


@pytest.mark.parametrize(("broken", "loop"), loops_of(BROKEN))
def test_a_backend_with_one_fault_fails_no_check_that_is_not_meant_for_it(
    broken: str, loop: Loop, looks: Looks[str]
) -> None:
    assert looks.others_failed(broken, loop) == []


@pytest.mark.parametrize(
    ("fault", "saw"),
    [
        ("ForgetsWhenLeft", "a session was left and entered again, and had forgotten"),
        ("ForgetsWhenStarted", "another instance with the same folder did not know what was said"),
    ],
)
def test_a_session_that_is_entered_again_is_told_from_a_restart(fault: str, saw: str, tmp_path: Path) -> None:
    rig, meant = BROKEN[fault]
    (check,) = [each for each in BACKEND_CHECKS if each.name == meant]
    assert run_check(check, rig, tmp_path).saw == saw


def test_every_check_fails_for_a_broken_backend() -> None:
    shapes = {"has its methods", "a question is answered"}
    assert {check.name for check in BACKEND_CHECKS} == shapes | {meant for _, meant in BROKEN.values()}


class Misshapen(Parley):
    """Another fault in its shape each; nothing at all works then."""


class WithoutForget(Misshapen):
    forget: Any = None


class WithoutCancel(Misshapen):
    class Endless(Talk):
        cancel: Any = None

    talk = Endless


class WithoutManager(Misshapen):
    async def session(self, chat: Chat) -> Session:  # type: ignore[override]
        return Talk(self, chat, await self.grant(chat), "one")


class WithoutGenerator(Misshapen):
    class Returning(Talk):
        async def prompt(self, turn: Turn) -> str:  # type: ignore[override]
            return "hello"

    talk = Returning


@pytest.mark.parametrize(
    ("backend", "saw"),
    [
        (WithoutForget, "WithoutForget has no forget"),
        (WithoutCancel, "Endless has no cancel"),
        (WithoutManager, "session() gave coroutine, which is no async context manager: write an async def with one"),
        (WithoutGenerator, "prompt() gave coroutine, not an async generator: write an async def with yield"),
    ],
)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_misshapen_backend_is_told_what_to_write(backend: type[Parley], saw: str, loop: Loop, tmp_path: Path) -> None:
    finding = run_check(SHAPE[0], rig_of(backend), tmp_path, loop)
    gc.collect()  # what was never awaited says so now, and not in another test
    assert finding.outcome == "failed"
    assert finding.saw.startswith(saw)


class Deaf(Talk):
    def text(self, turn: Turn) -> str:
        return "nothing"


@pytest.mark.parametrize("loop", LOOPS)
def test_a_backend_that_asks_something_else_does_not_answer_the_question(loop: Loop, tmp_path: Path) -> None:
    finding = run_check(SHAPE[1], rig_of(type("Deafened", (Parley,), {"talk": Deaf})), tmp_path, loop)
    assert finding.outcome == "failed"
    assert "in a new session, the next question" in finding.saw
    assert 'was answered "You said:' in finding.saw


def test_a_rig_that_can_bring_no_failure_about_is_not_said_to_have_passed(tmp_path: Path) -> None:
    rig = type("Faultless", (ParleyRig,), {"failures": lambda _: ()})
    for number, check in enumerate(each for each in FAILING if "bring_about" in each.needs):
        (tmp_path / str(number)).mkdir()
        assert run_check(check, rig, tmp_path / str(number)).outcome == "not applicable"


def rig_of(backend: type[Parley]) -> type[ParleyRig]:
    return type("MadeRig", (ParleyRig,), {"spec": Spec("parley", backend, config=ParleyConfig)})
