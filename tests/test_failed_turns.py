"""What people and the owner meet when a turn fails, an account changes, or a plugin has a fault."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import AgentError, AgentEvent, ConfigError, Failure, Grant, Need, Text, Thought, Turn, logs
from nanokimi_core.conversation import catalogue
from nanokimi_core.conversation.answering import pause
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.plugins import blame
from testbed.fakes import ScriptedAuth, ScriptedBackend, ScriptedSession, bench, failing, mute, plugin, slow, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


COUNTED = [kind for kind in Failure if not kind.outside]
HELD = [kind for kind in Failure if kind.outside and kind is not Failure.CREDENTIALS]
ONCE = {"limits": {"max_attempts": 1}}


@pytest.mark.parametrize("kind", COUNTED)
async def test_a_message_that_fails_as_often_as_may_be_is_given_up_with_a_sentence_and_its_cause_for_the_owner(
    tmp_path: Path, kind: Failure, caplog: pytest.LogCaptureFixture
) -> None:
    error = AgentError(kind, "the cause", remedy="the remedy")
    async with bench(tmp_path, ONCE, brain=failing(error)).running() as given:
        await given.net.say("hello")
        assert await given.net.until_sent(1) == [catalogue.gave_up(kind, "en")]
        (letter,) = await given.assistant.operations.dead()
    assert (letter.text, letter.attempts, letter.chat) == ("hello", 1, "net:desk")
    assert "the cause" in letter.cause
    assert f"net:desk: attempt 1 failed: {kind.value}: the cause; the remedy" in caplog.text
    assert f"/dead retry {letter.id}" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("kind", COUNTED)
async def test_a_turn_that_fails_once_is_tried_again_with_the_same_id_and_nobody_hears_of_it(
    tmp_path: Path, kind: Failure
) -> None:
    async with bench(tmp_path, brain=failing(AgentError(kind, "the cause"))).running() as given:
        await given.net.say("hello")
        assert await given.net.until_sent(1) == ["fine"]
        first, second = (turn for _, turn in given.brain.prompts)
    assert first.id == second.id


@pytest.mark.parametrize("kind", HELD)
async def test_a_cause_outside_the_message_is_told_once_and_the_message_is_answered_when_it_has_passed(
    tmp_path: Path, kind: Failure, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [AgentError(kind, "the cause", remedy="the remedy", retry_after=timedelta(seconds=0.5)) for _ in range(4)]
    async with bench(tmp_path, {"limits": {"max_attempts": 2}}, brain=failing(*errors)).running() as given:
        await given.net.say("hello")
        said = await given.net.until_sent(2)
        assert not await given.assistant.operations.dead()
    assert said == [catalogue.held(kind, "en", retry_after=timedelta(seconds=0.5)), "fine"]
    assert "the remedy" in caplog.text


async def test_messages_that_come_while_a_lane_is_held_wait_for_it_and_are_answered_in_order(tmp_path: Path) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if len(session.backend.prompts) == 1:
            raise AgentError(Failure.ENGINE, "away", retry_after=timedelta(seconds=1))
        yield Text("+".join(message.text for message in turn.messages))

    async with bench(tmp_path, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("a")
        await given.net.until_sent(1)
        await given.net.say("b")
        await given.net.say("c")
        assert (await given.net.until_sent(2))[1] == "a+b+c"


async def test_when_the_cause_has_passed_for_one_chat_it_has_for_all(tmp_path: Path) -> None:
    away = {"a", "b"}

    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if (chat := turn.messages[0].chat) in away:
            raise AgentError(Failure.ENGINE, "away", retry_after=timedelta(hours=1))
        yield Text(f"answer for {chat}")

    async with bench(tmp_path, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("one", chat="a")
        await given.net.say("two", chat="b")
        await given.net.until_sent(2)
        away.clear()
        await given.net.say("three", chat="c")
        assert sorted((await given.net.until_sent(5))[2:]) == [f"answer for {chat}" for chat in "abc"]


async def test_a_chat_that_is_held_for_weeks_is_tried_every_few_minutes() -> None:
    assert [pause(times) for times in (1, 2, 3, 50, 10_000)] == [5.0, 10.0, 20.0, 300.0, 300.0]


async def test_a_time_that_a_server_names_is_kept_to_for_an_hour_at_most(tmp_path: Path) -> None:
    used_up = AgentError(Failure.QUOTA, "used up", retry_after=timedelta(days=5))
    async with bench(tmp_path, brain=failing(used_up)).running() as given:
        await given.net.say("hello", chat="desk")
        await until(lambda: bool(given.assistant.conversation.lanes.held))
        (held,) = (await given.assistant.operations.status()).held
    assert 2000 < held.seconds <= 1.2 * 3600


async def test_a_rate_limit_says_how_long() -> None:
    assert "in 7 seconds" in catalogue.held(Failure.RATE_LIMIT, "en", retry_after=timedelta(seconds=7))
    assert "in 5 minutes" in catalogue.held(Failure.RATE_LIMIT, "en", retry_after=timedelta(minutes=5))
    assert "in a while" in catalogue.held(Failure.RATE_LIMIT, "en")


async def test_rejected_credentials_are_tried_once_more_with_a_new_grant(tmp_path: Path) -> None:
    brain = failing(AgentError(Failure.CREDENTIALS, "401"))
    brain.needs_grant = True
    async with bench(tmp_path, brain=brain).running() as given:
        await given.net.say("hello")
        assert await given.net.until_sent(1) == ["fine"]
        assert given.brain.events == ["enter net:desk", "leave net:desk", "enter net:desk"]
        assert given.purse.grants == 2


async def test_credentials_that_are_rejected_twice_are_a_failure(tmp_path: Path) -> None:
    errors = [AgentError(Failure.CREDENTIALS, "401") for _ in range(3)]
    async with bench(tmp_path, brain=failing(*errors)).running() as given:
        await given.net.say("hello")
        assert await given.net.until_sent(1) == [catalogue.held(Failure.CREDENTIALS, "en")]
        assert len(given.brain.prompts) == 2


async def test_credentials_that_fail_after_words_were_shown_are_not_asked_twice(tmp_path: Path) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text("half an ans")
        raise AgentError(Failure.CREDENTIALS, "401")

    async with bench(tmp_path, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("hello")
        assert await given.net.until_sent(1) == [catalogue.held(Failure.CREDENTIALS, "en")]
        assert len(given.brain.prompts) == 1


async def test_without_a_login_the_owner_reads_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = bench(tmp_path, brain=ScriptedBackend(needs_grant=True))
    given.purse.key = None
    async with given.running():
        await given.net.say("hello")
        assert await given.net.until_sent(1) == [catalogue.held(Failure.CREDENTIALS, "en")]
    assert "purse: log in with: nanokimi auth set-key" in caplog.text


async def test_an_agent_without_a_word_is_a_failure(tmp_path: Path) -> None:
    async with bench(tmp_path, ONCE, brain=ScriptedBackend(mute)).running() as given:
        await given.net.say("hello")
        assert await given.net.until_sent(1) == [catalogue.gave_up(Failure.NO_ANSWER, "en")]


@pytest.mark.parametrize(
    ("limits", "kind"), [({"turn_silence": 0.05}, Failure.SILENT), ({"turn_time": 0.05}, Failure.TOO_LONG)]
)
async def test_an_agent_that_hangs_is_given_up_and_its_session_left(
    tmp_path: Path, limits: dict[str, Any], kind: Failure
) -> None:
    toml = {"limits": limits | {"max_attempts": 1}}
    async with bench(tmp_path, toml, brain=ScriptedBackend(slow)).running() as given:
        await given.net.say("hello")
        assert await given.net.until_sent(1) == [catalogue.gave_up(kind, "en")]
        assert given.brain.events == ["enter net:desk", "leave net:desk"]


@pytest.mark.parametrize("fault", [ValueError("boom"), SystemExit(3), KeyError("x")])
@pytest.mark.parametrize("where", ["prompt", "enter"])
async def test_a_backends_fault_is_its_own(
    tmp_path: Path, fault: BaseException, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    brain = failing(fault) if where == "prompt" else ScriptedBackend(fail_to_enter=[fault])
    async with bench(tmp_path, ONCE, brain=brain).running() as given:
        await given.net.say("hello")
        await given.net.until_sent(1)
        await given.net.say("again")
        said = await given.net.until_sent(2)
    assert said[0] == catalogue.gave_up(None, "en")
    assert said[1] in ("fine", "1: again")
    assert "backend brain has a fault" in caplog.text


async def test_a_new_account_restarts_the_session_before_the_next_turn(tmp_path: Path) -> None:
    async with bench(tmp_path, brain=ScriptedBackend(needs_grant=True)).running() as given:
        await given.net.say("a")
        await given.net.until_sent(1)
        given.purse.key = "sk-another-key-zz"
        await given.net.say("b")
        assert await given.net.until_sent(2) == ["1: a", "2: b"]
        assert given.brain.events == ["enter net:desk", "leave net:desk", "enter net:desk"]


async def test_the_same_account_keeps_the_session(tmp_path: Path) -> None:
    async with bench(tmp_path, brain=ScriptedBackend(needs_grant=True)).running() as given:
        await given.net.say("a")
        await given.net.say("b")
        await given.net.until_sent(2)
        assert given.brain.events == ["enter net:desk"]


async def test_secrets_of_a_grant_reach_neither_the_log_nor_the_owners_chat(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def leaky(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        assert session.grant is not None
        assert session.grant.api_key is not None
        yield Thought("hm")
        raise ValueError("key " + session.grant.api_key.get_secret_value())

    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.set_up()
    try:
        toml = {"owner": "net:boss", **ONCE}
        async with bench(tmp_path, toml, brain=ScriptedBackend(leaky, needs_grant=True)).running() as given:
            await given.net.say("a")
            said = await given.net.until_sent(2)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    shown = capsys.readouterr().err
    assert any("ValueError: key" in text for text in said)
    assert not any("sk-canary-in-the-tests" in text for text in said)
    assert "ValueError: key" in shown
    assert "sk-canary-in-the-tests" not in shown


async def test_one_name_for_two_kinds_of_plugins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='uses "brain" as backend and as auth'):
        bench(tmp_path, {"auth": "brain"})


async def test_the_table_of_a_plugin_that_there_is_none_of_gets_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"\[plugins.brian\] is the table of no plugin .* did you mean \[plugins.brain\]"
    ):
        bench(tmp_path, {"plugins": {"brian": {"memory": "1g"}}})


def test_a_full_disk_is_not_blamed_on_a_plugin() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert "free some space" in str(blame(plugin("net", object()), "to send", full))


def test_no_log_line_can_command_a_terminal() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "a\x1b]0;title\x07\x9b31m\rb", None, None)
    for formatter in (logs.RedactingFormatter("%(message)s"), logs.ShortFormatter()):
        assert not set(formatter.format(record)) & set("\x1b\x07\x9b\r")


@pytest.mark.parametrize("fault", [KeyError("x"), SystemExit(3)])
async def test_an_accounts_fault_is_its_own_and_not_the_backends(
    tmp_path: Path, fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(ScriptedAuth):
        async def grant(self, need: Need) -> Grant:
            raise fault

    async with bench(tmp_path, brain=ScriptedBackend(needs_grant=True), purse=Broken()).running() as given:
        await given.net.say("hello")
        assert await given.net.until_sent(1) == [phrase("en", "held_model")]
    assert re.search(rf'the account "purse" has a fault: .*{type(fault).__name__}', caplog.text)
    assert "backend brain has a fault" not in caplog.text


async def test_a_cause_of_one_chat_alone_is_told_once_however_often_others_are_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if turn.messages[0].chat == "bad":
            raise AgentError(Failure.QUOTA, "used up", retry_after=timedelta(hours=1))
        yield Text("fine")

    async with bench(tmp_path, {"owner": "net:boss"}, brain=ScriptedBackend(answer)).running() as given:
        await given.net.say("hello", chat="bad")
        await given.net.until_sent(2)
        for number in range(1, 4):
            await given.net.say("hello", chat="good")
            await given.net.until_sent(2 + number)
        told = [message.text for message in given.net.sent if message.chat == "boss"]
    assert len(told) == 1
    assert "used up" in told[0]


async def test_the_owner_who_says_so_again_gets_a_sentence(tmp_path: Path) -> None:
    async with bench(tmp_path, {"owner": "net:boss"}).running() as given:
        await given.net.say("/owner AAAA-AAAA", chat="boss")
        assert await given.net.until_sent(1) == [phrase("en", "owner_welcome")]
        assert not given.brain.prompts
