"""The harness: a whole bot in a test of a few lines, and what it says when the bot doesn't do what was awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from nanokimi_core import AgentError, Failure, Inbox, NanoKimiError, Outbound, Receipt, Spec, Undeliverable
from nanokimi_core.builtin import echo
from nanokimi_core.testing import (
    Bot,
    CheckFailed,
    Gated,
    MemoryNetwork,
    MemoryTransport,
    ScriptedAuth,
    ScriptedBackend,
    failing,
    providing,
    script,
    slow,
)

pytestmark = pytest.mark.anyio

MakeBot = Callable[..., Bot]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_what_is_written_is_answered_also_after_a_restart(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot() as bot:
        await bot.says("hello")
        assert (await bot.answer(within=10)).text == "1: hello"
        await bot.restart()
        await bot.says("again")
        assert (await bot.answer()).text == "2: again"
        assert bot.network.texts() == ["1: hello", "2: again"]
        assert (await bot.counters())["answered"] == 2


async def test_chats_are_read_each_by_itself(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot(backend=ScriptedBackend()) as bot:
        desk, club = bot.chat("desk"), bot.chat("club", kind="group")
        await club.says("you there", sender="ben", mentions_me=True)
        await desk.says("hello")
        assert (await desk.answer()).text == "1: hello"
        assert (await club.answer()).text == "1: you there"
        assert [message.kind for message in bot.backend.messages] in (["group", "direct"], ["direct", "group"])
        assert desk.unread == club.unread == []
        await desk.stays_silent()


async def test_an_answer_that_does_not_come_is_missed_with_what_was_shown_and_the_log(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot(backend=ScriptedBackend(script("first", then=slow))) as bot:
        await bot.says("one")
        await bot.answer()
        await bot.says("two")
        with pytest.raises(CheckFailed) as missed:
            await bot.answer(within=0.05)
        said = str(missed.value)
        assert said.startswith("\"desk\" should have been shown an answer within 0.05 s; it was shown ['first']")
        assert "the log ends:\n  " in said
        assert "INFO nanokimi: net is connected" in said
        await bot.says("/stop")


async def test_an_answer_where_silence_was_awaited_is_said(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot() as bot:
        await bot.says("hello")
        with pytest.raises(CheckFailed, match=r'"desk" should have been shown nothing more; it was shown \[\'1: hello'):
            await bot.chat().stays_silent()


async def test_a_crash_loses_nothing_that_was_acknowledged_and_nothing_is_answered_twice(nanokimi_bot: MakeBot) -> None:
    brain = Gated()
    async with nanokimi_bot(backend=brain) as bot:
        await bot.says("work")
        while not brain.gates:
            await anyio.sleep(0.001)
        await bot.crash()
        brain.let_all()
        assert (await bot.answer()).text == "work"
        await bot.crash()
        await bot.chat().stays_silent()
        assert brain.asked == ["work", "work"]
        assert brain.prompts[0][1].id == brain.prompts[1][1].id


async def test_a_crash_undoes_what_the_old_process_still_wrote(nanokimi_bot: MakeBot) -> None:
    """A receipt that a stop would have noted is lost by a kill, so the answer is sent again under its key."""

    class Held(MemoryTransport):
        async def send(self, message: Outbound) -> Receipt | None:
            receipt = await super().send(message)
            if len(self.attempts) == 1:
                try:
                    await anyio.sleep_forever()
                except anyio.get_cancelled_exc_class():
                    return receipt  # as if the network's answer came in the moment of the kill
            return receipt

    async with nanokimi_bot(transport=Held()) as bot:
        await bot.says("hello")
        first = await bot.answer()
        await bot.crash()
        await bot.settled()
        assert [message.key for message in bot.network.attempts] == [first.key, first.key]
        await bot.chat().stays_silent()


async def test_what_a_network_has_while_the_bot_is_down_is_brought_at_the_next_start(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot() as bot:
        await bot.stop()
        bot.network.write("anybody?")
        await bot.start()
        assert (await bot.answer()).text == "1: anybody?"


async def test_a_reload_is_used_at_once_and_a_wrong_one_changes_nothing(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot() as bot:
        assert await bot.reload({"chats": {}}) == []
        await bot.says("hello")
        await bot.chat().stays_silent()
        with pytest.raises(NanoKimiError, match="chat"):
            await bot.reload({"chatz": {}})
        assert bot.toml["chats"] == {}
        await bot.reload({"chats": {"net:*": {}}})
        await bot.says("hello")
        assert (await bot.answer()).text == "1: hello"
        assert (await bot.counters())["refused_chat"] == 1


async def test_what_the_owner_was_told_and_what_was_given_up_can_be_read(nanokimi_bot: MakeBot) -> None:
    crashed = AgentError(Failure.CRASHED, "the agent fell over", remedy="mend the agent")
    async with nanokimi_bot(backend=failing(crashed), toml={"limits": {"max_attempts": 1}}) as bot:
        await bot.says("hello")
        assert (await bot.answer()).text
        (letter,) = await bot.dead_letters()
        assert letter.chat == "net:desk"
        assert any("the agent fell over" in told for told in bot.told)
        assert (await bot.counters())["dead"] == 1
        assert {each.name for each in (await bot.status()).instances} == {"net", "brain", "purse"}


async def test_secrets_are_in_no_log_line(nanokimi_bot: MakeBot) -> None:
    key = "sk-canary-0123456789abcdefghij"
    failed = AgentError(Failure.CRASHED, f"the server refused {key}")
    async with nanokimi_bot(backend=failing(failed), toml={"limits": {"max_attempts": 1}}) as bot:
        await bot.says("hello")
        await bot.answer()
        assert any("the server refused" in line for line in bot.log)
        assert key not in "".join([*bot.log, *bot.told])


@pytest.mark.parametrize("given", [echo.nanokimi_backends()[0], echo, "echo"], ids=["spec", "module", "installed"])
async def test_a_plugin_is_taken_as_a_spec_a_module_or_a_name(nanokimi_bot: MakeBot, given: Any) -> None:
    async with nanokimi_bot(backend=given) as bot:
        await bot.says("hello")
        assert (await bot.answer()).text == "hello"
        assert bot.toml["backend"] == "echo"
        assert type(bot.backend).__module__ == echo.__name__


@pytest.mark.parametrize("given", [MemoryTransport, providing()], ids=["class", "module without the hook"])
async def test_what_is_no_plugin_is_refused_with_what_would_be_one(nanokimi_bot: MakeBot, given: Any) -> None:
    with pytest.raises(TypeError, match=r"can't be used as a transport: give a Spec, a module with nanokimi_transp"):
        nanokimi_bot(transport=given)


class Own:
    """A transport whose network is none of the kit's."""

    def __init__(self, config: Any, context: Any) -> None:
        self.shown: list[str] = []

    async def run(self, inbox: Inbox) -> None:
        from nanokimi_core import Inbound

        inbox.ready()
        await inbox.deliver(Inbound("1", "here", "me", "hello"))
        await anyio.sleep_forever()

    async def send(self, message: Outbound) -> Receipt | None:
        self.shown.append(message.text)
        return None


async def test_a_transport_with_a_network_of_its_own_is_written_to_and_read_there(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot(transport=Spec("own", Own)) as bot:
        while not bot.transport.shown:
            await anyio.sleep(0.001)
        await bot.settled()
        assert bot.transport.shown == ["1: hello"]
        with pytest.raises(TypeError, match="Own has a network of its own: write and read there"):
            await bot.says("hello")


class Unready(MemoryTransport):
    async def run(self, inbox: Inbox) -> None:
        await anyio.sleep_forever()


async def test_a_transport_that_never_calls_ready_fails_the_start_unless_nobody_waits_for_it(
    nanokimi_bot: MakeBot,
) -> None:
    with pytest.raises(CheckFailed, match=r"the transport should have called ready\(\) within 0.05 s"):
        async with nanokimi_bot(transport=Unready(), ready=0.05):
            raise AssertionError("entered")
    async with nanokimi_bot(transport=Unready(), ready=None) as bot:
        assert (await bot.status()).running


async def test_a_bot_that_cannot_start_says_why_in_one_error(nanokimi_bot: MakeBot) -> None:
    def create(config: Any, context: Any) -> Any:
        raise ValueError("no such network")

    with pytest.raises(NanoKimiError, match='failed to make "net": ValueError: no such network'):
        async with nanokimi_bot(transport=Spec("net", create)):
            raise AssertionError("entered")


async def test_counters_that_do_not_add_up_fail_the_test(nanokimi_bot: MakeBot) -> None:
    from nanokimi_core.store.sqlite import SqliteStore

    async def lose_one(bot: Bot) -> None:
        await bot.says("hello")
        await bot.answer()
        await bot.stop()
        async with SqliteStore(bot.folder / "data" / "nanokimi.db") as store:
            await store._writer.call(lambda tx: tx.count("received"))

    with pytest.raises(CheckFailed, match="the counters don't add up: received 1, accepted 1"):
        async with nanokimi_bot() as bot:
            await lose_one(bot)
    async with nanokimi_bot(sums=False) as bot:
        await lose_one(bot)


async def test_what_a_test_raises_comes_out_as_it_is(nanokimi_bot: MakeBot) -> None:
    async def mistaken() -> None:
        async with nanokimi_bot() as bot:
            await bot.says("hello")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await mistaken()


async def test_two_bots_share_nothing(nanokimi_bot: MakeBot) -> None:
    async with nanokimi_bot() as one, nanokimi_bot() as other:
        await one.says("hello")
        assert (await one.answer()).text == "1: hello"
        await other.chat().stays_silent()
        assert one.folder != other.folder


async def test_ready_made_objects_are_used_as_they_are(nanokimi_bot: MakeBot) -> None:
    network, purse = MemoryNetwork(), ScriptedAuth()
    net, brain = MemoryTransport(network=network), ScriptedBackend(needs_grant=True)
    async with nanokimi_bot(transport=net, backend=brain, auth=purse) as bot:
        assert (bot.transport, bot.backend, bot.auth) == (net, brain, purse)
        assert bot.network is network
        network.fail_next(Undeliverable("this person has blocked us"))
        await bot.says("hello")
        await bot.settled()
        assert [letter.kind for letter in await bot.dead_letters()] == ["answer"]
        assert purse.grants >= 1
