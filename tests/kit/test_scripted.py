"""The scripted agent and account keep the contracts that they stand in for, and do as they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from nanokimi_core import (
    AgentError,
    AgentEvent,
    AuthStatus,
    Chat,
    Failure,
    Grant,
    Inbound,
    LoginNeeded,
    Need,
    NotSent,
    Outbound,
    ShowCode,
    Spec,
    Text,
    Traits,
    Turn,
)
from nanokimi_core.testing import (
    AuthRig,
    AuthSuite,
    BackendRig,
    BackendSuite,
    Bot,
    DraftingTransport,
    MemoryNetwork,
    MemoryTransport,
    ScriptedAuth,
    ScriptedBackend,
    ScriptedContext,
    ScriptedSession,
    failing,
    recalling,
    script,
    until,
)

pytestmark = pytest.mark.anyio
MakeBot = Callable[..., Bot]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Holding(BaseModel):
    """A table that holds a ready-made object."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    value: Any


# --------------------------------------------------------------------- the suites
class AgentRig(BackendRig):
    """The scripted backend with all that a rig can do."""

    spec: ClassVar[Spec[Any]] = Spec("brain", lambda config, context: config.value(context.name), Holding)
    streams: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.backends: dict[str, ScriptedBackend] = {}
        self.failure: Failure | None = None
        self.session: ScriptedSession | None = None
        self.holds, self.held_now, self.gate = False, 0, anyio.Event()

    def table(self) -> Mapping[str, Any]:
        return {"value": self._backend}

    def _backend(self, name: str) -> ScriptedBackend:
        return self.backends.setdefault(name, ScriptedBackend(self._answer, needs_grant=True))

    async def _answer(self, session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.session = session
        if self.failure is not None:
            raise AgentError(self.failure, "as the test wants it", retry_after=timedelta(seconds=9))
        if self.holds:
            self.holds = False
            self.held_now += 1  # from the first word on: a script goes on only when it is listened to
            try:
                yield Text("wait for it ")
                await session.wait(self.gate)
            finally:
                self.held_now -= 1
        asked = turn.messages[-1].text
        known = [message.text for each in session.remembered(turn) for message in each.messages]
        yield Text("\n".join(known) if asked == self.recall() else asked)

    async def hold(self) -> None:
        self.holds, self.gate = True, anyio.Event()

    async def held(self) -> bool:
        return self.held_now > 0

    async def let_go(self) -> None:
        self.gate.set()

    def failures(self) -> Collection[Failure]:
        return list(Failure)

    async def bring_about(self, failure: Failure) -> timedelta | None:
        self.failure = failure
        return timedelta(seconds=9)

    async def mend(self) -> None:
        self.failure = None

    async def asked(self) -> Sequence[str]:
        assert self.session is not None
        conversation = self.session.backend.memory[self.session.chat.id].values()
        return [message.text for turn in conversation for message in turn.messages]

    async def key_seen(self) -> str:
        assert self.session is not None
        assert self.session.grant is not None
        assert self.session.grant.api_key is not None
        return self.session.grant.api_key.get_secret_value()

    async def instructed(self) -> str:
        assert self.session is not None
        return self.session.chat.instructions


class TestAgent(BackendSuite):
    rig = AgentRig


class PurseRig(AuthRig):
    """The scripted account with all that a rig can do."""

    spec: ClassVar[Spec[Any]] = Spec("purse", lambda config, context: config.value, Holding)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.purses: dict[str, ScriptedAuth] = {}

    def purse(self, name: str) -> ScriptedAuth:
        return self.purses.setdefault(name, ScriptedAuth(None))

    def table(self) -> Mapping[str, Any]:
        return {"value": self.purse(self.making)}

    async def give(self, name: str = "tried") -> None:
        self.canaries.append(self.purse(name).change())

    async def lose(self, name: str = "tried") -> None:
        self.purse(name).lose()

    async def confirm(self, shown: ShowCode) -> None:
        self.purse(self.making).confirm(shown.code)

    async def decline(self, shown: ShowCode) -> None:
        self.purse(self.making).decline(shown.code)

    def new_key(self) -> str:
        self.canaries.append(f"sk-new-{len(self.canaries):020}")
        return self.canaries[-1]

    def wrong_key(self) -> str:
        self.canaries.append(f"not-a-key-{len(self.canaries):020}")
        return self.canaries[-1]


class TestPurse(AuthSuite):
    rig = PurseRig


# --------------------------------------------------------------------- the agent
def chat_of(folder: Path) -> Chat:
    return Chat("net:desk", "", "direct", folder, ScriptedAuth(), "net:desk")


def turn(text: str, number: str = "1") -> Turn:
    return Turn(number, (Inbound(number, "desk", "ana", text),))


async def answer(session: Any, asked: Turn) -> str:
    events = [event async for event in session.prompt(asked)]
    return "".join(event.delta for event in events if isinstance(event, Text))


async def test_a_script_is_a_list_of_answers_and_failures_and_then_goes_on(tmp_path: Path) -> None:
    backend = ScriptedBackend(script("hi", AgentError(Failure.QUOTA, "used up"), ["a ", Text("b")]))
    async with backend.session(chat_of(tmp_path)) as session:
        assert await answer(session, turn("1", "t1")) == "hi"
        with pytest.raises(AgentError, match="used up"):
            await answer(session, turn("2", "t2"))
        assert await answer(session, turn("3", "t3")) == "a b"
        assert await answer(session, turn("4", "t4")) == "4: 4"


def test_what_is_no_step_of_a_script_is_refused_when_the_script_is_made() -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="5 is no step of a script: give a text, an event, a timedelta or an exception"):
        script(["fine", wrong])


async def test_an_agent_can_recall_all_that_was_said(tmp_path: Path) -> None:
    backend = ScriptedBackend(recalling)
    async with backend.session(chat_of(tmp_path)) as session:
        assert await answer(session, turn("a", "t1")) == "a"
    async with backend.session(chat_of(tmp_path)) as session:
        assert await answer(session, turn("b", "t2")) == "a\nb"


async def test_a_turn_that_is_tried_again_stands_in_the_conversation_once(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    async with backend.session(chat_of(tmp_path)) as session:
        assert await answer(session, turn("a", "same")) == "1: a"
        assert await answer(session, turn("a", "same")) == "1: a"
        assert await answer(session, turn("b", "other")) == "2: b"
    await backend.forget(chat_of(tmp_path))
    async with backend.session(chat_of(tmp_path)) as session:
        assert await answer(session, turn("c", "third")) == "1: c"


@pytest.mark.parametrize("then", ["never said", ValueError("never raised")], ids=["a text", "a failure"])
@pytest.mark.parametrize("step", [timedelta(hours=1), anyio.Event], ids=["a time", "an event"])
async def test_a_script_that_waits_can_be_stopped_and_says_nothing_more(tmp_path: Path, step: Any, then: Any) -> None:
    wait = step() if isinstance(step, type) else step
    backend = ScriptedBackend(script(["begun", wait, then]))
    assert await stopped(backend, tmp_path) == [Text("begun")]


async def test_a_function_that_goes_on_after_it_was_stopped_is_not_heard(tmp_path: Path) -> None:
    async def stubborn(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text("begun")
        await session.cancelled.wait()
        yield Text("never said")

    assert await stopped(ScriptedBackend(stubborn), tmp_path) == [Text("begun")]


async def stopped(backend: ScriptedBackend, folder: Path) -> list[AgentEvent]:
    """Ask, and stop the turn when something was said; gives all that was."""
    said: list[AgentEvent] = []

    async def ask(session: Any) -> None:
        async for event in session.prompt(turn("go")):
            said.append(event)  # noqa: PERF401  # it is looked at before the end

    with anyio.fail_after(20):
        async with backend.session(chat_of(folder)) as session, anyio.create_task_group() as tasks:
            tasks.start_soon(ask, session)
            await until(lambda: said, 10, "nothing was said")
            await anyio.wait_all_tasks_blocked()
            await session.cancel()
    return said


async def test_a_script_goes_on_when_what_it_waits_for_has_come(tmp_path: Path) -> None:
    gate = anyio.Event()
    backend = ScriptedBackend(script([timedelta(seconds=0.001), gate, "done"]))
    with anyio.fail_after(20):
        async with backend.session(chat_of(tmp_path)) as session, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: anyio.lowlevel.checkpoint())
            gate.set()
            assert await answer(session, turn("go")) == "done"


async def test_a_backend_that_needs_a_grant_cannot_be_entered_without_a_login(nanokimi_bot: MakeBot) -> None:
    purse = ScriptedAuth()
    async with nanokimi_bot(backend=ScriptedBackend(needs_grant=True), auth=purse) as bot:
        purse.lose()
        await bot.says("hello")
        await bot.settled()
        assert bot.backend.prompts == []
        assert any("log in with: nanokimi auth set-key" in told for told in bot.told)
        assert [account.state for account in (await bot.status()).accounts] == ["login_needed"]


async def test_entering_fails_as_often_as_it_is_told(tmp_path: Path) -> None:
    backend = failing()
    backend.fail_to_enter.append(AgentError(Failure.ENGINE, "no engine"))
    with pytest.raises(AgentError, match="no engine"):
        async with backend.session(chat_of(tmp_path)):
            raise AssertionError("entered")
    async with backend.session(chat_of(tmp_path)) as session:
        assert await answer(session, turn("hello")) == "fine"
    assert backend.events == ["enter net:desk", "leave net:desk"]


# --------------------------------------------------------------------- the account
NEED = Need("scripted", PurePosixPath("/home"), (1000, 1000))


async def states(purse: ScriptedAuth) -> str:
    return (await purse.status()).state


async def test_an_account_can_be_refused_changed_and_lost() -> None:
    purse = ScriptedAuth()
    old = await purse.grant(NEED)
    await purse.rejected(old, "401")
    assert await states(purse) == "rejected"
    purse.change(purse.key)
    assert await states(purse) == "ok"
    purse.change()
    await purse.rejected(old, "401, late")
    assert await states(purse) == "ok"
    new = await purse.grant(NEED)
    assert new.fingerprint != old.fingerprint
    await purse.rejected(new, "401")
    await purse.rejected(old, "401, later still")
    assert await states(purse) == "rejected"
    purse.lose()
    assert await states(purse) == "login_needed"
    with pytest.raises(LoginNeeded, match="log in with"):
        await purse.grant(NEED)


async def test_a_code_that_no_login_shows_is_refused() -> None:
    purse = ScriptedAuth(None)
    with pytest.raises(ValueError, match="no login shows the code 123"):
        purse.confirm("123")
    events: list[ShowCode | AuthStatus] = []
    async for event in purse.login():
        events.append(event)
        if isinstance(event, ShowCode):
            with pytest.raises(ValueError, match="no login shows"):
                purse.confirm("")
            purse.confirm(event.code)
    assert [type(event) for event in events] == [ShowCode, AuthStatus]
    assert await states(purse) == "ok"


async def test_no_secret_is_in_the_account_s_repr() -> None:
    purse = ScriptedAuth("sk-canary-0123456789")
    grant: Grant = await purse.grant(NEED)
    await purse.rejected(grant, "401: sk-canary-0123456789 is wrong")
    assert "canary" not in f"{purse!r} {grant!r} {await purse.status()!r}"
    await purse.set_key(SecretStr("sk-other-0123456789"))
    assert (await purse.grant(NEED)).api_key == SecretStr("sk-other-0123456789")


# --------------------------------------------------------------------- the network
async def test_a_message_that_was_not_acknowledged_is_brought_after_a_cut(nanokimi_bot: MakeBot) -> None:
    network = MemoryNetwork()
    async with nanokimi_bot(transport=MemoryTransport(network=network)) as bot:
        network.cut()
        network.write("hello")
        assert [message.text for message in network.unacknowledged] == ["hello"]
        assert (await bot.answer(within=30)).text == "1: hello"
        assert network.unacknowledged == []
        assert bot.transport.runs == 2


async def test_a_new_line_does_not_bring_what_is_still_on_its_way() -> None:
    class Waiting:
        def ready(self) -> None: ...
        async def deliver(self, message: Inbound) -> None:
            await anyio.sleep_forever()

    net = MemoryTransport()
    waiting: Any = Waiting()

    async def run() -> None:
        with suppress(ConnectionResetError):
            await net.run(waiting)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await net.connected.wait()
            tasks.start_soon(net.say, "hello")
            await anyio.wait_all_tasks_blocked()
            assert [message.text for message in net.network.unacknowledged] == ["hello"]
            assert not net.network.connect().waiting
            tasks.cancel_scope.cancel()
    assert [message.text for message in net.network.connect().waiting] == ["hello"]


async def test_what_is_brought_again_is_answered_once(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot() as bot:
        await bot.says("hello")
        await bot.answer()
        bot.network.bring_again()
        await until(lambda: not bot.network.unacknowledged, 10, "it was not acknowledged")
        await bot.chat().stays_silent()
        assert (await bot.counters())["duplicate"] == 1


async def test_an_answer_whose_confirmation_is_lost_is_sent_again_and_shown_once(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot() as bot:
        bot.network.lose_next()
        await bot.says("hello")
        await until(lambda: len(bot.network.attempts) == 2, 30, "it was not sent again")
        await bot.settled()
        assert len({message.key for message in bot.network.attempts}) == 1
        assert bot.network.texts() == ["1: hello"]


async def test_nothing_goes_out_while_the_network_refuses_connections(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot() as bot:
        await bot.says("hello")
        await bot.answer()
        bot.network.refuse()
        await until(lambda: not bot.transport.connected.is_set(), 10, "the line stayed up")
        with pytest.raises(NotSent, match="the line to the network is cut"):
            await bot.transport.send(Outbound("k", "desk", "too early"))
        with pytest.raises(ConnectionRefusedError):
            bot.network.connect()
        bot.network.accept_again()
        await bot.transport.connected.wait()
        assert bot.network.texts() == ["1: hello"]


async def test_two_transports_on_one_network_take_the_line_from_each_other() -> None:
    network = MemoryNetwork()
    first = network.connect()
    second = network.connect()
    assert (first.is_cut, second.is_cut) == (True, False)
    network.leave(first)
    network.write("hello")
    assert [message.text for message in second.waiting] == ["hello"]


async def test_files_come_with_messages_where_the_core_takes_them(nanokimi_bot: MakeBot) -> None:
    spec: Spec[Any] = Spec("net", MemoryTransport)
    async with nanokimi_bot(transport=spec) as bot:
        await bot.says("look", files={"../notes.txt": b"from outside"})
        await bot.answer()
        (message,) = bot.backend.messages
        (file,) = message.attachments
        assert file.path.read_bytes() == b"from outside"
        assert file.path.is_relative_to(bot.folder / "data" / "chats")


async def test_files_need_a_context_and_traits_are_as_given(nanokimi_bot: MakeBot, tmp_path: Path) -> None:
    async with nanokimi_bot(transport=MemoryTransport()) as bot:
        with pytest.raises(RuntimeError, match="this transport has no context"):
            await bot.transport.say("look", files={"a": b"b"})
    assert MemoryTransport(None, ScriptedContext(tmp_path), traits=Traits(max_text=5)).traits.max_text == 5


async def test_people_see_drafts_until_the_answer_takes_their_place() -> None:
    net = DraftingTransport()
    await net.draft(Outbound("k", "desk", "so f"))
    await net.draft(Outbound("k", "desk", "so far"))
    await net.draft(Outbound("l", "club", "elsewhere"))
    assert net.network.seen("desk") == ["so far"]
    await net.send(Outbound("k", "desk", "so far so good"))
    assert net.network.seen("desk") == ["so far so good"]


async def test_waiting_for_messages_says_what_there_is_instead() -> None:
    net = MemoryTransport()
    await net.send(Outbound("k", "desk", "one"))
    with pytest.raises(TimeoutError, match=r"2 messages should have been shown within 0.01 s, and there are \['one'\]"):
        await net.until_sent(2, within=0.01)
