"""A login in chat whose server has answered, while the owner is still being told of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import anyio
import pytest

from nanokimi_core import ShowCode
from nanokimi_core.conversation.accounts.login_flow import LoginDesk, LoginFlow

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def flow() -> LoginFlow:
    return LoginFlow(cast("Any", None), ["net:boss"], lost=True)


class SlowDesk:
    """Tells what came of a login when it is let."""

    def __init__(self, *, answered: bool) -> None:
        self.answered = answered
        self.may_tell, self.told, self.began = anyio.Event(), False, anyio.Event()

    async def follow(self, flow: LoginFlow) -> None:
        flow.answered = self.answered
        self.began.set()
        await self.may_tell.wait()
        self.told = True


async def test_a_code_counts_until_the_server_has_answered() -> None:
    login, code = flow(), ShowCode("http://127.0.0.1", "1234", datetime.now(UTC) + timedelta(minutes=5))
    login.shows(code)
    assert login.good() == code
    login.answered = True
    assert login.good() is None


@pytest.mark.parametrize("answered", [False, True])
async def test_what_came_of_a_login_is_told_though_the_next_one_begins_and_one_without_an_answer_is_given_up(
    answered: bool,
) -> None:
    login, desk = flow(), SlowDesk(answered=answered)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(login.lead, cast("LoginDesk", desk))
            await desk.began.wait()
            tasks.start_soon(login.end)
            await anyio.wait_all_tasks_blocked()
            desk.may_tell.set()
    assert desk.told == answered
