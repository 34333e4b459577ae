"""A changed toml: what is used at once, what needs a restart, and what changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from nanokimi_core import (
    AgentError,
    AgentEvent,
    ConfigError,
    Context,
    Failure,
    Grant,
    Need,
    PluginError,
    Spec,
    Text,
    Turn,
)
from nanokimi_core.config import Location, load
from nanokimi_core.conversation import catalogue
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.errors import CommandError
from nanokimi_core.plugins import PluginHost
from nanokimi_core.runtime import Assistant
from testbed.fakes import (
    Bench,
    MemoryTransport,
    ScriptedAuth,
    ScriptedBackend,
    ScriptedSession,
    check_sums,
    plugin,
    providing,
    until_prompted,
)

pytestmark = pytest.mark.anyio

TOP = """
transports = ["net"]
backend = "brain"
"""
ONE = TOP + 'auth = "purse"\n[plugins.purse]\nkey = "sk-first-aa"\n[chats."net:*"]\n'


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


class PurseTable(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: str = "sk-none-00"
    broken: bool = False


@dataclass
class Purse(ScriptedAuth):
    """An account that notes when it lives."""

    lives: list[str] = field(default_factory=list)

    async def grant(self, need: Need) -> Grant:
        assert self.key is not None
        return Grant("kimi", "http://127.0.0.1/v1", "model", 1000, f"fp-{self.key}", SecretStr(self.key))

    async def run(self) -> None:
        self.lives.append(f"begin {self.key}")
        try:
            await anyio.sleep_forever()
        finally:
            self.lives.append(f"end {self.key}")


class Site:
    """An assistant on scripted plugins, with a toml that can be changed."""

    def __init__(self, folder: Path, toml: str, answer: Any = None) -> None:
        self.toml = folder / "nanokimi.toml"
        self.lives: list[str] = []
        self.made = 0
        self.net = MemoryTransport()
        self.brain = ScriptedBackend(answer or saying_the_key, needs_grant=True)
        modules = {
            "net": providing(transports=[Spec("net", lambda config, context: self.net)]),
            "brain": providing(backends=[Spec("brain", lambda config, context: self.brain)]),
            "purse": providing(auths=[Spec("purse", self._purse, config=PurseTable)]),
        }
        self.write(toml)
        location = Location(self.toml, folder / "data")
        host = PluginHost([plugin(name, module) for name, module in modules.items()])
        self.assistant = Assistant(load(location), location, host)
        self.assistant.prepare()
        self.bench = Bench(self.assistant, self.net, self.brain, ScriptedAuth())

    def _purse(self, config: PurseTable, context: Context) -> Purse:
        if config.broken:
            raise RuntimeError("torn")
        self.made += 1
        return Purse(config.key, lives=self.lives)

    def write(self, toml: str) -> None:
        self.toml.write_text(toml)

    async def reload(self, toml: str) -> list[str]:
        self.write(toml)
        return list(await self.assistant.operations.reload())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Site]:
        async with self.bench.running():
            yield self


async def saying_the_key(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
    assert session.grant is not None
    assert session.grant.api_key is not None
    yield Text(session.grant.api_key.get_secret_value())


async def until(done: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not done():
            await anyio.sleep(0.001)


# --------------------------------------------------------------------- at once
async def test_a_chat_that_the_toml_lets_in_now_is_answered_without_a_restart(tmp_path: Path) -> None:
    async with Site(tmp_path, ONE.replace("net:*", "net:desk")).running() as site:
        await site.net.say("hello", chat="garden")
        assert await site.reload(ONE.replace("net:*", "net:garden")) == []
        await site.net.say("hello", chat="garden")
        await site.net.say("hello", chat="desk")
        await site.net.until_sent(1)
        await site.bench.settled()
        assert {message.chat for message in site.net.sent} == {"garden"}


async def test_rules_and_the_language_follow(tmp_path: Path) -> None:
    async with Site(tmp_path, ONE).running() as site:
        assert await site.reload('language = "es"\n' + ONE + 'trigger = "never"\n') == []
        await site.net.say("hello")
        await site.net.say("/stop")
        assert await site.net.until_sent(1) == [phrase("es", "nothing_to_stop")]
        assert not site.brain.prompts


async def test_limits_follow(tmp_path: Path) -> None:
    gate = anyio.Event()

    async def gated(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        await gate.wait()
        yield Text("done")

    async with Site(tmp_path, ONE + "[limits]\nmax_turns = 1\n", gated).running() as site:
        for chat in ("a", "b"):
            await site.net.say("hello", chat=chat)
        await until_prompted(site.bench, 1)
        assert await site.reload(ONE + "[limits]\nmax_turns = 2\nmax_waiting = 1\n") == []
        await until_prompted(site.bench, 2)
        for _ in range(2):
            await site.net.say("more", chat="a")
        assert await site.net.until_sent(1) == [phrase("en", "too_many_waiting")]
        gate.set()
        await site.net.until_sent(4)


async def test_how_long_a_plugin_may_block_follows(tmp_path: Path) -> None:
    async with Site(tmp_path, ONE).running() as site:
        assert await site.reload(ONE + '[limits]\nhang_limit = "90s"\n') == []
        assert site.assistant._watchdog is not None
        assert site.assistant._watchdog.hang_limit == 90


async def test_an_account_with_a_changed_table_pays_for_the_next_turn_and_the_old_one_has_ended(tmp_path: Path) -> None:
    async with Site(tmp_path, ONE).running() as site:
        await site.net.say("hello")
        assert await site.net.until_sent(1) == ["sk-first-aa"]
        assert await site.reload(ONE.replace("first-aa", "second-bb")) == []
        await site.net.say("hello")
        assert await site.net.until_sent(2) == ["sk-first-aa", "sk-second-bb"]
        await until(lambda: len(site.lives) == 3)
        assert sorted(site.lives) == ["begin sk-first-aa", "begin sk-second-bb", "end sk-first-aa"]
        await site.reload(ONE.replace("first-aa", "third-cc"))
        await until(lambda: "end sk-second-bb" in site.lives)
        assert "end sk-third-cc" not in site.lives


async def test_another_account_pays_without_a_restart(tmp_path: Path) -> None:
    other = ONE.replace('auth = "purse"', 'auth = "work"') + '[plugins.work]\nuse = "purse"\nkey = "sk-work-cc"\n'
    async with Site(tmp_path, ONE).running() as site:
        await site.net.say("hello")
        await site.net.until_sent(1)
        assert await site.reload(other) == []
        await site.net.say("hello")
        assert await site.net.until_sent(2) == ["sk-first-aa", "sk-work-cc"]


async def test_an_account_that_has_not_changed_is_left_alone(tmp_path: Path) -> None:
    async with Site(tmp_path, ONE).running() as site:
        await site.net.say("hello")
        await site.net.until_sent(1)
        await site.reload('language = "es"\n' + ONE)
        await site.net.say("hello")
        await site.net.until_sent(2)
        assert site.made == 1
        assert site.brain.events == ["enter net:desk"]


async def test_a_held_chat_is_tried_again_at_once(tmp_path: Path) -> None:
    away = [True]

    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        if away:
            raise AgentError(Failure.QUOTA, "used up", retry_after=timedelta(hours=1))
        yield Text("fine")

    async with Site(tmp_path, ONE, answer).running() as site:
        await site.net.say("hello")
        assert await site.net.until_sent(1) == [catalogue.held(Failure.QUOTA, "en", retry_after=timedelta(hours=1))]
        away.clear()
        await until(lambda: bool(site.assistant.conversation.lanes.held))
        await site.reload(ONE)
        assert (await site.net.until_sent(2))[1] == "fine"


async def test_two_reloads_at_once_make_an_account_once_each(tmp_path: Path) -> None:
    async with Site(tmp_path, ONE).running() as site:
        site.write(ONE.replace("first-aa", "second-bb"))
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(site.assistant.reload_and_tell)
        await until(lambda: "end sk-first-aa" in site.lives)
        assert sorted(site.lives) == ["begin sk-first-aa", "begin sk-second-bb", "end sk-first-aa"]


# --------------------------------------------------------------------- what needs a restart
@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('assistant = "Robin"\n' + ONE, "assistant needs a restart"),
        (ONE.replace('["net"]', '["net", "console"]'), "transports needs a restart"),
        (ONE.replace('"brain"', '"echo"'), "backend needs a restart"),
        ('owner = "net:boss"\n' + ONE, "owner needs a restart"),
        (ONE + "[plugins.brain]\nspeed = 2\n", "[plugins.brain] needs a restart"),
        (ONE + 'backend = "echo"\n', '[chats."net:*"] backend = "echo" needs a restart'),
    ],
)
async def test_what_cannot_be_used_at_once_is_said_and_the_rest_is_used(tmp_path: Path, toml: str, said: str) -> None:
    async with Site(tmp_path, ONE).running() as site:
        later = await site.reload('language = "es"\n' + toml)
        assert said in later
        await site.net.say("/stop")
        await site.net.say("hello")
        assert await site.net.until_sent(2) == [phrase("es", "nothing_to_stop"), "sk-first-aa"]


async def test_a_new_chat_whose_backend_needs_a_restart_stays_closed_until_then(tmp_path: Path) -> None:
    toml = ONE.replace("net:*", "net:desk")
    async with Site(tmp_path, toml).running() as site:
        later = await site.reload(toml + '[chats."net:garden"]\nbackend = "echo"\n')
        assert later == ['[chats."net:garden"] backend = "echo" needs a restart']
        await site.net.say("hello", chat="garden")
        await site.net.say("hello", chat="desk")
        await site.net.until_sent(1)
        await site.bench.settled()
        assert [message.chat for message in site.net.sent] == ["desk"]


# --------------------------------------------------------------------- what is wrong
@pytest.mark.parametrize(
    ("toml", "error", "said"),
    [
        ("language = \n", ConfigError, "is not valid TOML"),
        ('langauge = "es"\n' + ONE, ConfigError, "langauge"),
        (ONE + "[limits]\nmax_turns = 0\n", ConfigError, "max_turns"),
        (ONE.replace("key =", "kee ="), ConfigError, "plugins.purse"),
        (ONE + '[plugins.purze]\nkey = "sk"\n', ConfigError, r"did you mean \[plugins.purse\]"),
        (ONE.replace('auth = "purse"', 'auth = "nobody"'), PluginError, "nobody"),
        (ONE.replace('key = "sk-first-aa"', "broken = true"), PluginError, "RuntimeError: torn"),
    ],
)
async def test_a_wrong_toml_changes_nothing_and_says_why(
    tmp_path: Path, toml: str, error: type[Exception], said: str
) -> None:
    async with Site(tmp_path, ONE).running() as site:
        with pytest.raises(error, match=said):
            await site.reload('language = "es"\n' + toml)
        await site.net.say("/stop")
        await site.net.say("hello")
        assert await site.net.until_sent(2) == [phrase("en", "nothing_to_stop"), "sk-first-aa"]
        assert site.lives == ["begin sk-first-aa"]
        assert await site.reload(ONE.replace("first-aa", "second-bb")) == []
        await until(lambda: "end sk-first-aa" in site.lives)
        await site.net.say("hello")
        assert (await site.net.until_sent(3))[2] == "sk-second-bb"


async def test_where_one_of_two_accounts_cannot_be_made_neither_is_used(tmp_path: Path) -> None:
    two = ONE.replace('auth = "purse"', 'auth = ["purse", "work"]').replace("first-aa", "second-bb")
    two += '[plugins.work]\nuse = "purse"\nbroken = true\n'
    async with Site(tmp_path, ONE).running() as site:
        with pytest.raises(PluginError, match="torn"):
            await site.reload(two)
        await until(lambda: "end sk-second-bb" in site.lives or "begin sk-second-bb" not in site.lives)
        await site.net.say("hello")
        assert await site.net.until_sent(1) == ["sk-first-aa"]
        assert "end sk-first-aa" not in site.lives


async def test_without_a_running_assistant_there_is_nothing_to_reload(tmp_path: Path) -> None:
    site = Site(tmp_path, ONE)
    async with site.assistant.offline():
        with pytest.raises(CommandError, match="nothing runs"):
            await site.assistant.operations.reload()
