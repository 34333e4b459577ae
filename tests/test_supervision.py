"""What comes out of a plugin: a result, an ordinary exception, or our own cancellation; and how an instance lives."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from logging import LoggerAdapter
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest

from nanokimi_core import NotSent, PluginError, Receipt, Spec, instances
from nanokimi_core.contracts.plugin import NoConfig
from nanokimi_core.instances import Instance, InstanceContext, State
from nanokimi_core.plugins import Provided
from nanokimi_core.supervision import BackOff, describe, entered, fault, guarded, guarded_call
from testbed.fakes import MemoryTransport, plugin

pytestmark = pytest.mark.anyio

BAD = plugin("bad", object())


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def stale_cancellation() -> None:
    """Raise a real cancellation that has already served its scope."""
    kept: BaseException | None = None
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            kept = error
            raise
    assert kept is not None
    raise kept


async def in_a_task(call: Callable[[], Awaitable[Any]]) -> Any:
    """Run as the core does: not in the program's first task, where Ctrl-C arrives."""
    outcome: list[Any] = []

    async def run() -> None:
        try:
            outcome.append(await call())
        except Exception as error:  # noqa: BLE001  # what the test looks at
            outcome.append(error)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
    assert outcome, "the task ended without a result or an exception"
    return outcome[0]


async def raising(error: BaseException) -> None:
    raise error


async def exit_in_a_task_group() -> None:
    raise BaseExceptionGroup("unhandled", [ValueError("harmless"), SystemExit(4)])


NOT_ALLOWED: dict[str, tuple[Callable[[], Awaitable[None]], str]] = {
    "SystemExit": (lambda: raising(SystemExit(3)), "SystemExit: 3"),
    "KeyboardInterrupt": (lambda: raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    "GeneratorExit": (lambda: raising(GeneratorExit()), "GeneratorExit"),
    "a group with SystemExit": (exit_in_a_task_group, "SystemExit: 4"),
    "a group with only SystemExit": (lambda: raising(BaseExceptionGroup("g", [SystemExit(5)])), "SystemExit: 5"),
    "a cancellation that nobody asked for": (stale_cancellation, "a cancellation that nobody asked for"),
    "an exception of its own": (lambda: raising(type("Odd", (BaseException,), {})("x")), "Odd: x"),
}


@pytest.mark.parametrize("what", NOT_ALLOWED)
@pytest.mark.parametrize("within", [None, 5])
async def test_what_would_end_the_host_becomes_an_error_that_names_the_plugin(what: str, within: float | None) -> None:
    call, said = NOT_ALLOWED[what]
    error = await in_a_task(lambda: guarded(call, plugin=BAD, doing="to send", within=within))
    assert isinstance(error, PluginError)
    assert str(error).startswith('plugin "bad" (dist-bad 1.0) failed to send: ')
    assert said in str(error)


@pytest.mark.parametrize("error", [NotSent("offline"), ValueError("x"), OSError(5, "y")])
async def test_an_exception_passes_unchanged(error: Exception) -> None:
    assert await in_a_task(lambda: guarded(lambda: raising(error), plugin=BAD, doing="to send", within=5)) is error


async def test_an_exception_out_of_a_task_group_is_what_it_was_inside() -> None:
    offline = NotSent("offline")

    async def together() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(raising, offline)

    assert await in_a_task(lambda: guarded(together, plugin=BAD, doing="to send", within=5)) is offline


async def test_of_several_exceptions_out_of_a_task_group_the_plugin_and_one_are_named() -> None:
    several = ExceptionGroup("g", [OSError("y"), ExceptionGroup("h", [ValueError("z")])])
    error = await in_a_task(lambda: guarded(lambda: raising(several), plugin=BAD, doing="to send", within=5))
    assert isinstance(error, PluginError)
    assert "failed to send: OSError: y" in str(error)


@pytest.mark.parametrize("value", [None, 7, "text"])
async def test_what_cannot_be_awaited_is_said(value: object) -> None:
    shown = "None" if value is None else type(value).__name__
    with pytest.raises(PluginError, match=f"it returned {shown}, which can't be awaited: it must be an async def"):
        await guarded(lambda: value, plugin=BAD, doing="to send")  # type: ignore[arg-type,return-value]


async def test_a_result_of_the_wrong_type_is_said_and_of_the_right_type_is_given() -> None:
    async def answer(value: Any) -> Any:
        return value

    kinds = (Receipt, type(None))
    with pytest.raises(PluginError, match="it returned str, not Receipt or None"):
        await guarded(lambda: answer("sent"), plugin=BAD, doing="to send", returns=kinds)
    assert await guarded(lambda: answer(None), plugin=BAD, doing="to send", returns=kinds) is None
    receipt = Receipt("1")
    assert await guarded(lambda: answer(receipt), plugin=BAD, doing="to send", returns=kinds) is receipt


async def test_what_takes_too_long_is_given_up_and_said() -> None:
    with anyio.fail_after(30), pytest.raises(PluginError, match=r"failed to send: it was not done within 0.01 s") as e:
        await guarded(anyio.sleep_forever, plugin=BAD, doing="to send", within=0.01)
    assert isinstance(e.value.__cause__, TimeoutError)


async def test_our_own_cancellation_passes() -> None:
    with anyio.fail_after(30), anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: guarded(anyio.sleep_forever, plugin=BAD, doing="to send", within=60))
            tasks.start_soon(lambda: guarded(anyio.sleep_forever, plugin=BAD, doing="to send"))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught


async def test_our_own_cancellation_passes_when_a_task_of_the_plugin_fails_at_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def together() -> None:
        # Made by hand: asyncio tears the loop down at a SystemExit in a task.
        try:
            await anyio.sleep_forever()
        except BaseException as cancellation:  # noqa: BLE001  # it is raised again, in a group
            raise BaseExceptionGroup("unhandled", [cancellation, SystemExit("at the stop")]) from None

    with anyio.fail_after(30), anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: guarded(together, plugin=BAD, doing="to send"))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    assert "failed to send, when it was cancelled: SystemExit: at the stop" in caplog.text


async def test_a_plain_function_that_exits_is_named() -> None:
    with pytest.raises(PluginError, match='plugin "bad" failed to answer: SystemExit: 1'):
        guarded_call(lambda: sys.exit(1), plugin="bad", doing="to answer")
    with pytest.raises(KeyError):
        guarded_call(lambda: dict[str, int]()["x"], plugin="bad", doing="to answer")


async def test_a_plain_function_that_gives_something_else_is_named() -> None:
    answers: list[Any] = [7, raising(KeyError("x"))]  # the other one is a coroutine, of which Python doesn't warn then
    for shown, value in zip(("int", "coroutine"), answers, strict=True):
        with pytest.raises(PluginError, match=f"it returned {shown}, not str or None"):
            guarded_call([value].pop, plugin="bad", doing="to answer", returns=(str, type(None)))
    assert guarded_call(lambda: "text", plugin="bad", doing="to answer", returns=str) == "text"


def test_an_exception_whose_text_cannot_be_had_is_described_by_its_type() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert describe(Mute()) == "Mute"


def test_an_exception_without_a_text_is_described_by_its_type_alone() -> None:
    assert describe(anyio.ClosedResourceError()) == "ClosedResourceError"


# --------------------------------------------------------------------- entering and leaving
async def test_what_is_not_entered_in_time_is_given_up_and_named() -> None:
    @asynccontextmanager
    async def hangs() -> AsyncIterator[None]:
        await anyio.sleep_forever()
        yield

    with anyio.fail_after(30), pytest.raises(PluginError, match=r"failed to make it: it was not done within 0.01 s"):
        async with entered(hangs(), plugin=BAD, doing="to make it", start=0.01):
            raise AssertionError("it can't have been entered")


async def test_what_hangs_on_leaving_is_given_up_and_named_also_at_a_stop(caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def hangs() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await anyio.sleep_forever()

    with anyio.fail_after(30), anyio.CancelScope() as scope:
        async with entered(hangs(), plugin=BAD, doing="to make it", leave=0.01):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert "failed to make it, on leaving: it was not done within 0.01 s" in caplog.text


async def test_leaving_can_still_wait_when_we_are_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    left = []

    @asynccontextmanager
    async def polite() -> AsyncIterator[None]:
        async with anyio.create_task_group():
            try:
                yield
            finally:
                await anyio.sleep(0.01)
                left.append("said good-bye")

    with anyio.fail_after(30), anyio.CancelScope() as scope:
        async with entered(polite(), plugin=BAD, doing="to make it"):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert left == ["said good-bye"]
    assert not [record for record in caplog.records if record.name.startswith("nanokimi")]


@pytest.mark.parametrize("error", [ValueError("torn"), SystemExit(3)])
async def test_what_raises_on_leaving_is_named_and_the_stop_goes_on(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    @asynccontextmanager
    async def raises() -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise error

    async with entered(raises(), plugin=BAD, doing="to make it"):
        pass
    assert f"failed to make it, on leaving: {type(error).__name__}: {error}" in caplog.text


async def test_a_context_manager_that_suppresses_does_not_suppress_ours() -> None:
    class Suppresses:
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *error: object) -> bool:
            return True

    with pytest.raises(KeyError):
        async with entered(Suppresses(), plugin=BAD, doing="to make it"):
            raise KeyError("ours")


async def test_a_task_of_the_plugin_that_fails_ends_what_was_entered_and_not_the_host() -> None:
    @asynccontextmanager
    async def shaky() -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(raising, ValueError("reader died"))
            yield

    async def use() -> None:
        async with entered(shaky(), plugin=BAD, doing="to make it"):
            await anyio.sleep_forever()

    error = await in_a_task(use)
    assert isinstance(error, PluginError)
    assert "failed to make it: its own tasks ended: ValueError: reader died" in str(error)


# --------------------------------------------------------------------- instances
class Told(list[tuple[str, str]]):
    async def tell(self, key: str, text: str) -> None:
        self.append((key, text))


def instance(create: Callable[[Any, Any], Any], told: Told | None = None) -> Instance:
    log = LoggerAdapter(logging.getLogger("nanokimi.bad"), {})
    context = InstanceContext("bad", "Kai", Path(), log, "here", (told if told is not None else Told()).tell)
    provided = Provided("transport", Spec("bad", create), BAD)
    soon = partial(BackOff, first=0.05)
    return Instance("bad", "transport", provided, NoConfig(), context, back_off=soon)


async def until(reached: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not reached():
            await anyio.sleep(0.005)


@asynccontextmanager
async def living(it: Instance, work: Callable[[Any], Any] | None) -> AsyncIterator[Instance]:
    async with anyio.create_task_group() as tasks:
        await tasks.start(it.live, work)
        yield it
        tasks.cancel_scope.cancel()


async def nothing() -> None: ...


RUNS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "raises": (lambda value: raising(OSError("connection lost")), "OSError: connection lost"),
    "exits": (lambda value: raising(SystemExit(3)), "SystemExit: 3"),
    "interrupts": (lambda value: raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    "cancels": (lambda value: stale_cancellation(), "a cancellation that nobody asked for"),
    "exits in a group": (lambda value: exit_in_a_task_group(), "SystemExit: 4"),
    "is no coroutine function": (lambda value: 7, "it returned int, which can't be awaited"),
    "exits before it awaits": (lambda value: sys.exit(2), "SystemExit: 2"),
}


@pytest.mark.parametrize("what", RUNS)
async def test_a_run_that_fails_is_repeated_and_its_error_can_be_seen(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    run, said = RUNS[what]
    runs: list[int] = []
    told = Told()

    def work(value: Any) -> Any:
        runs.append(1)
        return run(value) if len(runs) == 1 else anyio.sleep_forever()

    async with living(instance(lambda config, context: MemoryTransport(), told), work) as it:
        await until(lambda: it.state == "waiting")
        assert it.restarts == 0
        assert said in it.last_error
        assert 'plugin "bad" (dist-bad 1.0) failed while "bad" was running' in it.last_error
        await until(lambda: it.state == "running" and len(runs) == 2)
        assert it.restarts == 1
        assert said in it.last_error
    assert it.state == "ended"
    assert [key for key, _ in told] == ["fault bad"]
    assert len([record for record in caplog.records if said in record.getMessage()]) == 1


async def test_a_run_starts_only_when_the_one_before_has_closed_what_was_its() -> None:
    story: list[str] = []

    async def receive(number: int) -> None:
        story.append(f"open {number}")
        try:
            if number == 0:
                raise OSError
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
            story.append(f"close {number}")

    async with living(
        instance(lambda config, context: MemoryTransport()), lambda value: receive(len(story) // 2)
    ) as it:
        await until(lambda: it.restarts == 1 and it.state == "running" and len(story) == 3)
        assert story == ["open 0", "close 0", "open 1"]
    assert story[3:] == ["close 1"]


async def test_a_run_that_returns_has_ended_in_peace_and_its_object_stays_usable() -> None:
    left: list[str] = []

    class Managed(MemoryTransport):
        async def __aenter__(self) -> Managed:
            return self

        async def __aexit__(self, *error: object) -> None:
            left.append("left")

    async with living(instance(lambda config, context: Managed()), lambda value: nothing()) as it:
        await until(lambda: it.state == "ended")
        await anyio.wait_all_tasks_blocked()
        assert it.alive
        assert not left
    assert left == ["left"]
    assert not it.alive


async def test_an_object_whose_own_tasks_end_it_is_made_again() -> None:
    made: list[Any] = []

    class Shaky(MemoryTransport):
        async def __aenter__(self) -> Shaky:
            made.append(self)
            self.group = await anyio.create_task_group().__aenter__()
            if len(made) == 1:
                self.group.start_soon(raising, ValueError("reader died"))
            return self

        async def __aexit__(self, *error: Any) -> bool | None:
            return await self.group.__aexit__(*error)

    async with living(instance(lambda config, context: Shaky()), lambda value: anyio.sleep_forever()) as it:
        await until(lambda: len(made) == 2 and it.state == "running")
        assert it.value is made[1]
        assert it.restarts == 1
        assert "its own tasks ended: ValueError: reader died" in it.last_error


@pytest.mark.parametrize(
    ("create", "said"),
    [
        (lambda config, context: sys.exit(1), "SystemExit: 1"),
        (lambda config, context: [][0], "IndexError: list index out of range"),
        (lambda config, context: None, r"it gave NoneType, which has no run\(\)"),
        (lambda config, context: nothing(), r"it gave coroutine, which has no run\(\)"),
    ],
)
async def test_an_object_that_cannot_be_made_fails_with_the_plugins_name(
    create: Callable[[Any, Any], Any], said: str
) -> None:
    it = instance(create)
    with pytest.raises(PluginError, match=rf'plugin "bad" \(dist-bad 1.0\) failed to make "bad": {said}'):
        await it.live(None)
    assert it.state == "failed"
    assert it.last_error
    assert not it.alive


async def test_an_object_that_hangs_on_its_start_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(MemoryTransport):
        async def __aenter__(self) -> None:
            await anyio.sleep_forever()

        async def __aexit__(self, *error: object) -> None: ...

    monkeypatch.setattr(instances, "STARTING", 0.01)
    with anyio.fail_after(30), pytest.raises(PluginError, match=r'failed to make "bad": it was not done within 0.01 s'):
        await instance(lambda config, context: Hangs()).live(None)


def test_the_states_are_those_that_a_status_shows() -> None:
    assert get_args(State) == ("starting", "running", "waiting", "ended", "failed")


# --------------------------------------------------------------------- waiting between attempts
def test_waits_double_from_a_second_to_a_minute_with_jitter_and_start_again_after_a_good_minute() -> None:
    waits = BackOff()
    for expected in (1, 2, 4, 8, 16, 32, 60, 60):
        assert expected / 2 <= waits.after(0.1) <= expected
    assert 0.5 <= waits.after(60) <= 1
    assert 1 <= waits.after(0.1) <= 2
    assert len({BackOff().after(0) for _ in range(20)}) > 1
    assert math.isfinite(waits.after(math.inf))


def test_an_error_ends_with_what_to_do() -> None:
    assert str(fault("x", "to send", "no")).endswith("; mend or update it, or take it out of nanokimi.toml")
