"""A line that is sent was taken by the server, or it is said what became of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from nanokimi_core import NotSent, Outbound, Undeliverable
from nanokimi_core.testing import ScriptedContext
from nanokimi_transport_irc import Irc, Settings
from nanokimi_transport_irc.trial.driver import driven
from nanokimi_transport_irc.trial.ircd import Ngircd
from nanokimi_transport_irc.trial.person import Person
from nanokimi_transport_irc.trial.proxy import Proxy

pytestmark = [pytest.mark.ircd, pytest.mark.anyio]
People = Callable[..., Person]


async def test_what_is_sent_is_with_the_server_when_send_returns(ircd: Ngircd, person: People, tmp_path: Path) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        for number in range(30):
            await irc.say("#garden", f"{number}")
            await irc.say("ana", f": {number}")
        ana.sync()  # what the server had before this has come
        assert ana.said_by("Kai", "#garden") == [f"{number}" for number in range(30)]
        assert ana.said_by("Kai") == [f": {number}" for number in range(30)]


@pytest.mark.parametrize(
    ("chat", "why"),
    [
        ("nobody", "No such nick"),
        ("#elsewhere", "No such nick or channel name|No such channel|Cannot send"),
        ("#garden,ana", "no channel and no nick"),
        ("ana bo", "no channel and no nick"),
        ("$*", "no channel and no nick"),
        ("ana\r\nQUIT", "no channel and no nick"),
        ("", "no channel and no nick"),
    ],
)
async def test_what_the_server_refuses_is_undeliverable(
    ircd: Ngircd, person: People, tmp_path: Path, chat: str, why: str
) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"], "absence": 0}, tmp_path) as irc:
        with pytest.raises(Undeliverable, match=why):
            await irc.say(chat, "hello")
        await irc.say("ana", "still here")
        ana.sync()
        assert ana.said_by("Kai", "ana") == ["still here"]
        assert ana.said_by("Kai", "#garden") == []


async def test_an_answer_to_somebody_who_is_away_waits_and_is_then_given_up(ircd: Ngircd, tmp_path: Path) -> None:
    async with driven({"port": ircd.port, "absence": 0.5}, tmp_path) as irc:
        with pytest.raises(NotSent) as waits:
            await irc.say("ana", "hello", key="one")
        assert waits.value.retry_after is not None
        await anyio.sleep(0.6)
        with pytest.raises(Undeliverable):
            await irc.say("ana", "hello", key="one")
        with pytest.raises(NotSent):
            await irc.say("ana", "another", key="two")


async def test_without_a_connection_nothing_was_sent(tmp_path: Path) -> None:
    irc = Irc(Settings(server="127.0.0.1", tls=False), ScriptedContext(tmp_path))
    with pytest.raises(NotSent):
        await irc.send(Outbound("key", "ana", "hello"))


async def test_a_line_that_was_cut_before_the_server_confirmed_has_an_unknown_end(
    ircd: Ngircd, person: People, proxy: Proxy, tmp_path: Path
) -> None:
    ana = person("Ana")
    async with driven({"port": proxy.port}, tmp_path) as irc:

        def pass_down(line: str) -> bool:
            if " PONG " in line:
                proxy.pass_down = bool
                proxy.cut()
                return False
            return True

        proxy.pass_down = pass_down
        with pytest.raises(ConnectionError):
            await irc.say("ana", "hello")
        await irc.until(lambda: irc.readies > 1, "it is back")
        ana.sync()
        assert ana.said_by("Kai", "ana") == ["hello"]
        await irc.say("ana", "again")


async def test_a_server_that_confirms_nothing_is_left_within_bounds(ircd: Ngircd, proxy: Proxy, tmp_path: Path) -> None:
    async with driven({"port": proxy.port, "patience": 1}, tmp_path) as irc:
        proxy.pass_down = lambda line: " PONG " not in line
        with anyio.fail_after(20), pytest.raises(ConnectionError):
            await irc.say("Kai", "hello")
        proxy.pass_down = bool
        await irc.until(lambda: irc.readies > 1, "it is back")


async def test_the_refusal_of_a_line_that_was_given_up_is_not_taken_for_the_next_lines(
    ircd: Ngircd, person: People, proxy: Proxy, tmp_path: Path
) -> None:
    ana = person("Ana")
    async with driven({"port": proxy.port, "absence": 0}, tmp_path) as irc:
        held = proxy.hold()
        with anyio.move_on_after(0.2) as given_up:
            await irc.say("nobody", "hello")
        assert given_up.cancelled_caught
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(irc.say, "ana", "to you")
            await irc.until(lambda: any("to you" in line for line in proxy.said), "the second was sent")
            held.set()
        ana.sync()
        assert ana.said_by("Kai", "ana") == ["to you"]
        assert not irc.errors


async def test_the_longest_part_arrives_whole_whatever_it_is_made_of(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    channel = "#" + "x" * 49
    ana = person("Ana", channel)
    nick = "KaiKaiKaiKaiKaiKai"
    async with driven({"port": ircd.port, "channels": [channel], "nick": nick}, tmp_path) as irc:
        assert irc.irc.traits.measure == "bytes"
        room = irc.irc.traits.max_text
        texts = ["🌱" * (room // 4), "é" * (room // 2), "a" * room]
        for text in texts:
            await irc.say(channel, text)
        ana.sync()
        assert ana.said_by(nick, channel) == texts
        assert room >= 300


async def test_no_text_can_give_the_server_a_command_or_a_client_a_question(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        await irc.say("#garden", "hi\r\nQUIT :gone\n\0\x01VERSION\x01")
        await irc.say("#garden", "/quit")
        ana.sync()
        assert ana.said_by("Kai", "#garden") == ["hi  QUIT :gone   VERSION", "/quit"]


async def test_a_server_that_slows_down_who_floods_it_loses_nothing_of_a_long_answer(tmp_path: Path) -> None:
    with Ngircd(tmp_path / "strict", limits=()) as ircd:
        ana = Person(ircd.port, "Ana", "#garden")
        async with driven({"port": ircd.port, "channels": ["#garden"], "patience": 20}, tmp_path) as irc:
            for number in range(8):
                await irc.say("#garden", f"line {number} {'x' * 300}")
            ana.sync()
            assert len(ana.said_by("Kai", "#garden")) == 8
            assert irc.readies == 1
        ana.close()


def test_its_pace_is_what_the_table_says(tmp_path: Path) -> None:
    traits = Irc(Settings(server="irc.test", per_minute=20, burst=7), ScriptedContext(tmp_path)).traits
    assert (traits.per_minute, traits.burst, traits.lines) == (20, 7, "one")
