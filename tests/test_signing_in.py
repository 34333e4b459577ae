"""A login that a plugin leads: what it comes to, and how long it may take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from nanokimi_core import AgentError, AuthStatus, ConfigError, Failure, LoginNeeded, PluginError, ShowCode, signing_in
from nanokimi_core.errors import NanoKimiError
from nanokimi_core.signing_in import NoNewLogin, sign_in
from testbed.fakes import ScriptedAuth

pytestmark = pytest.mark.anyio

OK = AuthStatus("ok", who="ana")
LOST = AuthStatus("login_needed", remedy="ask the club")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def code(minutes: float = 5, text: str = "AB-12", url: str = "https://club.example") -> ShowCode:
    return ShowCode(url, text, datetime.now(UTC) + timedelta(minutes=minutes))


BAD_CODES = ["", " ", "A\nB", "A" * 101, "*AB*", "_AB_", "A--B", "- AB", "1. AB", "`AB`", "/login"]


class Scripted:
    """An account whose login goes through these: what it gives, raises, or waits for."""

    def __init__(self, *steps: Any) -> None:
        self.steps = steps
        self.closed = False

    async def login(self) -> AsyncIterator[Any]:
        try:
            for step in self.steps:
                if isinstance(step, BaseException):
                    raise step
                if callable(step):
                    await step()
                else:
                    yield step
        finally:
            self.closed = True


async def through(auth: Any, shown: list[ShowCode] | None = None, **more: Any) -> AuthStatus:
    async def show(code: ShowCode) -> None:
        if shown is not None:
            shown.append(code)

    with anyio.fail_after(20):
        return await sign_in("club", auth, plugin="club", show=show, **more)


async def refused(auth: Any, **more: Any) -> NanoKimiError:
    with pytest.raises(NanoKimiError) as caught:
        await through(auth, **more)
    return caught.value


async def test_a_login_that_is_confirmed_gives_its_status() -> None:
    auth = ScriptedAuth(key=None)

    async def show(code: ShowCode) -> None:
        auth.confirm(code.code)

    assert (await sign_in("purse", auth, plugin="purse", show=show)).state == "ok"
    shown: list[ShowCode] = []
    scripted = Scripted(first := code(), OK, code())
    assert (await through(scripted, shown), shown, scripted.closed) == (OK, [first], True)


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (LOST, "ask the club"),
        (AuthStatus("out_of_quota"), "its state is out of quota"),
        (LoginNeeded("the club is closed"), "the club is closed"),
        (AgentError(Failure.ENGINE, "no engine", remedy="start Docker"), "no engine; start Docker"),
    ],
)
async def test_a_login_that_comes_to_nothing_says_why(last: Any, why: str) -> None:
    error = await refused(Scripted(code(), last))
    assert isinstance(error, NoNewLogin)
    assert (str(error), error.expired) == (f"there is no new login for club; {why}", False)


@pytest.mark.parametrize("last", [LOST, LoginNeeded("expired_token")])
async def test_a_login_that_ends_after_its_code_has_run_out_has_expired(last: Any) -> None:
    error = await refused(Scripted(code(minutes=-1), last))
    assert isinstance(error, NoNewLogin)
    assert error.expired


async def test_what_the_plugin_says_must_be_mended_first_passes() -> None:
    assert isinstance(await refused(Scripted(ConfigError("no host", remedy="give one"))), ConfigError)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((), "its login ended without an AuthStatus"),
        ((code(),), "its login ended without an AuthStatus"),
        ((None,), "its login gave NoneType, where a ShowCode or an AuthStatus belongs"),
        ((ShowCode("https://x", "AB", datetime(2030, 1, 1)),), "which has no zone"),
        *(((code(text=text),), "a ShowCode whose code is not letters and digits") for text in BAD_CODES),
        ((code(url="https://x/" + "y" * 500),), "a ShowCode whose url is not an address of at most 500 characters"),
        ((code(url="https://x y"),), "a ShowCode whose url is not an address of at most 500 characters"),
        ((code(url="javascript:alert(1)"),), "a ShowCode whose page is not an address of the web"),
        ((LookupError("no club"),), "LookupError: no club"),
        ((SystemExit(3),), "SystemExit: 3"),
    ],
)
async def test_a_fault_of_the_plugins_is_blamed_on_it(steps: tuple[Any, ...], said: str) -> None:
    async with anyio.create_task_group() as tasks:  # not the program's first task, where an exit is the person's

        async def run() -> None:
            error = await refused(Scripted(*steps))
            assert isinstance(error, PluginError)
            assert 'plugin "club" failed to log in' in str(error)
            assert said in str(error)

        tasks.start_soon(run)


async def a_coroutine() -> None:
    """Is no generator."""


@pytest.mark.parametrize("login", [lambda: None, a_coroutine, lambda: [OK]])
async def test_a_login_that_is_no_generator_is_a_fault(login: Callable[[], Any]) -> None:
    auth = Scripted()
    auth.login = login  # type: ignore[method-assign]
    assert "not an async generator" in str(await refused(auth))


async def test_a_login_without_a_first_code_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_in, "FIRST_CODE", 0.05)
    auth = Scripted(anyio.sleep_forever)
    assert "it showed no code within 0.05 s" in str(await refused(auth))
    assert auth.closed


async def test_a_login_that_goes_on_after_its_code_has_run_out_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_in, "SAYING_SO", 0.05)
    auth = Scripted(code(minutes=-1), anyio.sleep_forever)
    error = await refused(auth)
    assert isinstance(error, NoNewLogin)
    assert (error.expired, auth.closed) == (True, True)


async def test_more_codes_than_are_wanted_end_a_login() -> None:
    shown: list[ShowCode] = []
    error = None
    try:
        await through(Scripted(*(code() for _ in range(1000))), shown, most_codes=2)
    except NoNewLogin as raised:
        error = raised
    assert error is not None
    assert error.expired
    assert len(shown) == 2


async def test_what_showing_raises_passes_and_the_login_is_closed() -> None:
    auth = Scripted(code(), anyio.sleep_forever)

    async def show(code: ShowCode) -> None:
        raise KeyError("no screen")

    with pytest.raises(KeyError, match="no screen"):
        await sign_in("club", auth, plugin="club", show=show)
    assert auth.closed


async def test_a_login_that_is_cancelled_is_closed() -> None:
    auth, shown = Scripted(code(), anyio.sleep_forever), anyio.Event()

    async def show(code: ShowCode) -> None:
        shown.set()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: sign_in("club", auth, plugin="club", show=show))
            await shown.wait()
            tasks.cancel_scope.cancel()
    assert auth.closed
