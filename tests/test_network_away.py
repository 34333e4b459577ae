"""A network that is away is nobody's fault: its transport says so, and what is owed waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from nanokimi_core import ConfigError, Inbox, NetworkAway, keep_secret
from nanokimi_core.testing import Bot, FakeClock, MemoryTransport, until

pytestmark = pytest.mark.anyio
Bots = Callable[..., Bot]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest, nanokimi_clock: FakeClock) -> tuple[str, dict[str, Any]]:
    return nanokimi_clock.backend(request.param)


class Failing(MemoryTransport):
    """Its ``run`` raises what it is given, each once, and then works."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    async def run(self, inbox: Inbox) -> None:
        if self.errors:
            raise self.errors.pop(0)
        await super().run(inbox)


class Roaming(MemoryTransport):
    """Loses its network and finds it again within one ``run``."""

    inbox: Inbox | None = None

    async def run(self, inbox: Inbox) -> None:
        self.inbox = inbox
        await super().run(inbox)


def away() -> Exception:
    """As a task group of a transport raises it, among what comes of it."""
    return ExceptionGroup("", [LookupError("half a line"), NetworkAway("no answer from 127.0.0.1:6667")])


async def test_a_network_that_is_away_is_no_fault_and_the_owner_hears_of_it_after_a_minute(
    nanokimi_bot: Bots, nanokimi_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    transport = Failing(*(away() for _ in range(9)))
    async with nanokimi_bot(transport=transport, toml={"owner": "net:boss"}, ready=None) as bot:
        await nanokimi_clock.advance(20)
        assert 2 < len(transport.errors) < 9
        assert not any("no answer" in text for text in bot.told)
        assert bot.assistant.instances["transport net"].state == "waiting"
        await nanokimi_clock.advance(600)
        assert not transport.errors
        await bot.says("hello")
        assert (await bot.answer()).text == "1: hello"
        assert bot.network.texts("boss") == ["net: no answer from 127.0.0.1:6667"]
    said = [record for record in caplog.records if "no answer" in record.message and record.name != "nanokimi"]
    assert {record.levelno for record in said} == {logging.WARNING}
    assert not any(record.exc_info for record in said)
    assert "failed" not in caplog.text


async def test_what_the_network_refuses_of_the_toml_reaches_the_owner_as_it_stands(
    nanokimi_bot: Bots, nanokimi_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    refused = ConfigError("the server refuses the password", remedy="set another in [plugins.net]")
    async with nanokimi_bot(transport=Failing(refused), toml={"owner": "net:boss"}, ready=None) as bot:
        await nanokimi_clock.advance(5)
        await until(lambda: bot.network.texts("boss"), 10, "the owner was told nothing")
        assert bot.network.texts("boss") == ["net: the server refuses the password; set another in [plugins.net]"]
    assert "Traceback" not in caplog.text


async def test_nothing_is_sent_while_a_transport_says_that_its_network_is_away(
    nanokimi_bot: Bots, nanokimi_clock: FakeClock
) -> None:
    transport = Roaming()
    async with nanokimi_bot(transport=transport) as bot:
        assert transport.inbox is not None
        transport.inbox.away()
        await bot.says("hello")
        await nanokimi_clock.advance(300)  # a transport that says nothing is taken to be ready after 30 s
        assert transport.attempts == []
        transport.inbox.ready()
        assert (await bot.answer()).text == "1: hello"
        assert len(transport.attempts) == 1


async def test_a_run_that_is_over_can_no_longer_say_that_the_network_is_away(nanokimi_bot: Bots) -> None:
    transport = Roaming()
    async with nanokimi_bot(transport=transport) as bot:
        first = transport.inbox
        assert first is not None
        bot.network.cut()
        await until(lambda: transport.inbox is not first, 10, "it was not started again")
        first.away()
        await bot.says("hello")
        assert (await bot.answer()).text == "1: hello"


async def test_a_secret_that_a_plugin_has_read_itself_is_in_no_log_line_once_it_says_so(nanokimi_bot: Bots) -> None:
    keep_secret("canary-in-a-file-of-the-plugins")
    async with nanokimi_bot() as bot:
        bot.assistant.instances["transport net"].context.log.warning("it is canary-in-a-file-of-the-plugins")
        await anyio.lowlevel.checkpoint()
        assert any("it is …" in line for line in bot.log)
    assert not any("canary-in-a-file" in line for line in bot.log)
