"""What must not be stopped half way comes to its end, and not later than it may."""

from __future__ import annotations

import anyio
import pytest

from nanokimi_backend_kimi_docker.errand import carry_through
from nanokimi_core import AgentError, Failure

pytestmark = pytest.mark.anyio


async def test_cancelled_work_comes_to_its_end_before_the_cancel_goes_on() -> None:
    started, go_on, done = anyio.Event(), anyio.Event(), anyio.Event()

    async def work() -> str:
        started.set()
        await go_on.wait()
        done.set()
        return "done"

    async def caller() -> None:
        await carry_through(work, within=30, after_cancel=30)
        raise AssertionError("the cancel was swallowed")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller)
            await started.wait()
            tasks.cancel_scope.cancel()
            go_on.set()
    assert done.is_set()


@pytest.mark.parametrize("within", [0.0, 30.0])
async def test_work_that_never_ends_is_ended(within: float) -> None:
    ended = anyio.Event()

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    with anyio.move_on_after(0.01 if within else 30) as patience:
        with pytest.raises(AgentError, match="did not end") as caught:
            await carry_through(work, within=within, after_cancel=0.01)
        assert caught.value.kind is Failure.CRASHED
    assert patience.cancelled_caught is bool(within)
    assert ended.is_set()


async def test_its_failure_is_the_callers() -> None:
    async def work() -> None:
        raise AgentError(Failure.ENGINE, "no engine")

    with pytest.raises(AgentError, match="no engine"):
        await carry_through(work, within=30, after_cancel=30)
