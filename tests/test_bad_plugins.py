"""A table of bad plugins, each in a whole assistant: its fault is its own, it is named, and a stop still ends.

Beside the bad route (``net`` to ``brain``, paid by ``purse``) there is a good one (``good`` to ``wise``, paid by
``fund``), which has to answer before and after.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from nanokimi_core import Spec, Text, administration
from nanokimi_core.config import Location, Settings
from nanokimi_core.conversation import sessions, turns
from nanokimi_core.plugins import PluginHost
from nanokimi_core.runtime import Assistant
from nanokimi_core.status import AccountStatus
from testbed.bad_plugins import (
    FAULTS,
    BadCancel,
    BadEnter,
    BadForget,
    BadGrant,
    BadLeave,
    BadRun,
    BadSend,
    BadShowing,
    BadStatus,
    Fault,
    NoPrompt,
    NoRun,
    NoSession,
    bad,
    clings,
    hangs,
    pondering,
    prompting,
    returns,
    yielding,
)
from testbed.fakes import (
    MemoryTransport,
    ScriptedAuth,
    ScriptedBackend,
    counting,
    plugin,
    providing,
    slow,
)

pytestmark = pytest.mark.anyio

LIMITS = {
    "send_timeout": 0.3,
    "send_attempts": 3,
    "turn_silence": 0.5,
    "turn_time": 1.5,
    "stop_timeout": 1,
    "max_attempts": 1,
}
LONGEST = 90  # seconds for a whole case: a plugin's leaving is waited for


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon what hangs, where no setting says when."""
    for module, name in ((sessions, "_LEAVING"), (turns, "_STOPPING"), (administration, "_LONGEST_LOOK")):
        assert getattr(module, name) > 2
        monkeypatch.setattr(module, name, 2.0)


# --------------------------------------------------------------------- the table
@dataclass(frozen=True)
class Case:
    """A bad plugin, what brings its fault out, and what then names it.

    Attributes:
        make: Gives the bad ones, by the place that they take: ``net``, ``brain``, ``purse``.
        says: Said in the bad chat, one after the other.
        named: Found in the log or an instance's last error; empty where nothing has to be said.
        answered: Whether the bad chat is answered all the same.
    """

    make: Callable[[], dict[str, Any]]
    says: tuple[str, ...] = ("hello",)
    named: str = ""
    answered: bool = False


NET, BRAIN, PURSE = (
    r'plugin "net"|\bnet (gave|could not)',
    r'plugin "brain"|backend brain',
    r'plugin "purse"|account "purse"',
)


def cases_of(fault: Fault) -> dict[str, Case]:
    """Let each coroutine of a plugin have this fault."""
    return {
        "run": Case(lambda: {"net": BadRun(fault)}, (), NET),
        "send": Case(lambda: {"net": BadSend(fault)}, named=NET),
        "typing": Case(lambda: {"net": BadShowing(typing=fault), "brain": pondering()}, named=NET, answered=True),
        "draft": Case(lambda: {"net": BadShowing(draft=fault), "brain": pondering()}, named=NET, answered=True),
        "session enter": Case(lambda: {"brain": bad(BadEnter, fault)}, named=BRAIN),
        "session leave": Case(lambda: {"brain": bad(BadLeave, fault)}, ("hello", "/new"), BRAIN, answered=True),
        "prompt": Case(lambda: {"brain": prompting(fault)}, named=BRAIN),
        "cancel": Case(lambda: {"brain": bad(BadCancel, fault, answer=slow)}, ("hello", "/stop"), BRAIN),
        "forget": Case(lambda: {"brain": bad(BadForget, fault)}, ("/new",), BRAIN),
        "grant": Case(lambda: {"purse": BadGrant(fault), "brain": ScriptedBackend(needs_grant=True)}, named=PURSE),
    }


CASES = {f"{place} {what}": case for what, fault in FAULTS.items() for place, case in cases_of(fault).items()}
CASES |= {
    "run hangs": Case(lambda: {"net": BadRun(hangs)}, ()),
    "run clings": Case(lambda: {"net": BadRun(clings)}, ()),
    "run is no coroutine and gives None": Case(lambda: {"net": NoRun(None)}, (), NET),
    "run is no coroutine and gives a number": Case(lambda: {"net": NoRun(7)}, (), NET),
    "send hangs": Case(lambda: {"net": BadSend(hangs)}, named=NET),
    "send clings": Case(lambda: {"net": BadSend(clings)}, named=NET),
    "send gives no receipt": Case(lambda: {"net": BadSend(returns)}, named=NET),
    "typing hangs": Case(lambda: {"net": BadShowing(typing=hangs)}, answered=True),
    "draft hangs": Case(lambda: {"net": BadShowing(draft=hangs)}, answered=True),
    "session is no context manager": Case(lambda: {"brain": NoSession()}, named=BRAIN),
    "session enter hangs": Case(lambda: {"brain": bad(BadEnter, hangs)}, named=r"net:desk: attempt 1 failed: silent"),
    "session leave hangs": Case(lambda: {"brain": bad(BadLeave, hangs)}, ("hello",), answered=True),
    "prompt is no generator": Case(lambda: {"brain": NoPrompt()}, named=BRAIN),
    "prompt hangs": Case(lambda: {"brain": prompting(hangs)}, named=r"net:desk: attempt 1 failed: silent"),
    "prompt yields a str": Case(lambda: {"brain": yielding("hello", Text("there"))}, named=BRAIN),
    "prompt yields None": Case(lambda: {"brain": yielding(None, Text("there"))}, named=BRAIN),
    "prompt yields a text that is none": Case(lambda: {"brain": yielding(Text(7))}, named=BRAIN),  # type: ignore[arg-type]
    "prompt yields 10 MB": Case(
        lambda: {"brain": yielding(Text("x" * 10_000_000))}, named=r"net:desk: attempt 1 failed: too_long"
    ),
    "prompt never ends": Case(
        lambda: {"brain": yielding(for_ever=True)}, named=r"net:desk: attempt 1 failed: too_long"
    ),
    "cancel hangs": Case(lambda: {"brain": bad(BadCancel, hangs, answer=slow)}, ("hello", "/stop")),
    "forget hangs": Case(lambda: {"brain": bad(BadForget, hangs)}, ("/new",)),
    "grant hangs": Case(
        lambda: {"purse": BadGrant(hangs), "brain": ScriptedBackend(needs_grant=True)},
        named=r"net:desk: attempt 1 failed: silent",
    ),
    "grant gives a str": Case(
        lambda: {"purse": BadGrant(returns), "brain": ScriptedBackend(needs_grant=True)}, named=PURSE
    ),
}


@dataclass
class Pair:
    """An assistant with a bad route and a good one."""

    assistant: Assistant
    net: MemoryTransport
    good: MemoryTransport

    async def hear(self, text: str) -> None:
        """Let somebody speak on the bad route; what a plugin does wrong behind it never reaches its ``deliver``."""
        try:
            await self.net.say(text)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            raise AssertionError(f"deliver raised {error!r}") from error

    async def good_answers(self, text: str) -> None:
        """Let somebody speak on the good route, in a chat of its own, and wait for the answer."""
        await self.good.say(text, chat=text)
        with anyio.fail_after(30):
            while not any(message.chat == text for message in self.good.sent):
                await anyio.sleep(0.005)

    def said(self, log: str) -> str:
        errors = [f"{each.name}: {each.last_error}" for each in self.assistant.instances.values()]
        return "\n".join([log, *errors])


def pair(folder: Path, **given: Any) -> Pair:
    values: dict[str, Any] = {
        "net": MemoryTransport(),
        "good": MemoryTransport(),
        "brain": ScriptedBackend(counting),
        "wise": ScriptedBackend(counting),
        "purse": ScriptedAuth(),
        "fund": ScriptedAuth(key="sk-another-key-for-tests"),
    } | given
    kinds = {"net": "transports", "good": "transports", "brain": "backends", "wise": "backends"}
    plugins = [
        plugin(name, providing(**{kinds.get(name, "auths"): [Spec(name, lambda config, context, it=value: it)]}))  # type: ignore[misc]
        for name, value in values.items()
    ]
    toml = {
        "transports": ["net", "good"],
        "backend": "wise",
        "auth": "fund",
        "limits": LIMITS,
        "chats": {"net:*": {"backend": "brain", "auth": "purse"}, "good:*": {}},
    }
    assistant = Assistant(Settings.model_validate(toml), Location(None, folder / "data"), PluginHost(plugins))
    assistant.prepare()
    return Pair(assistant, values["net"], values["good"])


@asynccontextmanager
async def running(it: Pair) -> AsyncIterator[None]:
    with anyio.fail_after(LONGEST):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.assistant.run)
            yield
            it.assistant.stop()


async def begun(brain: ScriptedBackend, it: Pair, case: Case) -> None:
    """Wait until the first of what is said is being answered, or where it has an answer, was."""
    with anyio.fail_after(30):
        while not (it.net.sent if case.answered else brain.prompts):
            await anyio.sleep(0.01)


@pytest.mark.parametrize("what", CASES)
async def test_a_bad_plugin_is_named_and_harms_only_its_own_route(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    case = CASES[what]
    made = case.make()
    it = pair(tmp_path, **made)
    async with running(it):
        await it.good_answers("before")
        async with anyio.create_task_group() as people:
            for number, text in enumerate(case.says):
                if number:
                    await begun(made["brain"], it, case)
                people.start_soon(it.hear, text)
            await anyio.sleep(0.05 if case.named else 0.2)  # for harm of which nothing is said
            with anyio.fail_after(30):
                while case.named and not re.search(case.named, it.said(caplog.text)):
                    await anyio.sleep(0.01)
                while case.answered and not it.net.sent:
                    await anyio.sleep(0.01)
            await it.good_answers("after")
            people.cancel_scope.cancel()
        assert it.assistant.instances["transport good"].restarts == 0
        assert it.assistant.instances["transport good"].state == "running"
    if case.named:
        assert "good" not in "".join(re.findall(case.named + r".{0,20}", it.said(caplog.text)))


@pytest.mark.parametrize("what", [*FAULTS, "gives a str"])
async def test_an_account_that_cannot_say_how_it_stands_is_shown_as_unknown_beside_the_others(
    tmp_path: Path, what: str
) -> None:
    it = pair(tmp_path, purse=BadStatus(FAULTS.get(what, returns)))
    async with running(it):
        await it.good_answers("before")
        accounts: dict[str, AccountStatus] = {}

        async def ask() -> None:  # as a command does: not in the program's first task, where Ctrl-C arrives
            accounts.update({each.name: each for each in (await it.assistant.operations.status()).accounts})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
        assert accounts["fund"].state == "ok"
        assert accounts["purse"].state == "unknown"
        assert 'plugin "purse"' in accounts["purse"].remedy or "no such shelf" in accounts["purse"].remedy


async def test_an_account_that_hangs_when_asked_how_it_stands_does_not_hold_up_the_others(tmp_path: Path) -> None:
    it = pair(tmp_path, purse=BadStatus(hangs))
    async with running(it):
        await it.good_answers("before")
        with anyio.fail_after(30):
            status = await it.assistant.operations.status()
        assert {account.name: account.state for account in status.accounts} == {"purse": "unknown", "fund": "ok"}


async def test_what_a_transport_that_is_restarted_brings_is_taken_once(tmp_path: Path) -> None:
    class Shaky(MemoryTransport):
        async def run(self, inbox: Any) -> None:
            self.inbox, self.runs = inbox, self.runs + 1
            inbox.ready()
            self.connected.set()
            self.inboxes.append(inbox)
            if self.runs == 1:
                raise OSError("connection lost")
            await anyio.sleep_forever()

        inboxes: list[Any] = []  # noqa: RUF012  # one test, one list

    net = Shaky()
    it = pair(tmp_path, net=net)
    async with running(it):
        with anyio.fail_after(30):
            while net.runs < 2:
                await anyio.sleep(0.01)
        assert net.inboxes[0] is not net.inboxes[1]
        await net.say("hello", number="7")
        assert await net.until_sent(1) == ["1: hello"]
        await it.good_answers("after")
    assert len(net.sent) == 1
