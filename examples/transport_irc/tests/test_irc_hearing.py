"""What people write arrives, as what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from nanokimi_transport_irc.trial.driver import driven
from nanokimi_transport_irc.trial.ircd import Ngircd
from nanokimi_transport_irc.trial.person import Person
from nanokimi_transport_irc.trial.proxy import Proxy

pytestmark = [pytest.mark.ircd, pytest.mark.anyio]
People = Callable[..., Person]


async def test_what_is_said_in_a_channel_and_in_a_query_arrives_in_its_chat(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    ana = person("Ana", "#Garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        ana.say("#GARDEN", "to all")
        ana.say("Kai", "to you: http://a.b/ ¿qué?")
        await irc.until(lambda: len(irc.delivered) == 2, "both arrived")
        group, direct = irc.delivered
    assert (group.chat, group.sender, group.text, group.kind) == ("#garden", "ana", "to all", "group")
    assert (direct.chat, direct.sender, direct.kind) == ("ana", "ana", "direct")
    assert direct.text == "to you: http://a.b/ ¿qué?"
    assert direct.sender_name == "Ana"
    assert {"Ana", "Ana!~Ana@127.0.0.1"} & direct.sender_aliases == {"Ana", "Ana!~Ana@127.0.0.1"}
    assert "Ana" in direct.chat_aliases
    assert group.chat_aliases == {"#Garden"}


async def test_a_line_that_names_the_nick_is_a_mention_and_another_is_not(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    ana = person("Ana", "#garden")
    lines = {"Kai: hello": True, "kai, hello": True, "well, KAI's here": True, "(Kai)": True}
    lines |= {"Kaiser": False, "Kai-bot: hello": False, "hello": False, "kai_": False}
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        for line in lines:
            ana.say("#garden", line)
        await irc.until(lambda: len(irc.delivered) == len(lines), "all arrived")
        assert {message.text: message.mentions_me for message in irc.delivered} == lines


async def test_formatting_is_taken_off_and_an_action_is_told(ircd: Ngircd, person: People, tmp_path: Path) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        ana.say("#garden", "\x02bold\x02 \x0304,12red\x03 \x1d\x1f\x16\x1e\x11plain\x0f 5")
        ana.say("#garden", "\x01ACTION waves \x0303twice\x03\x01")
        ana.say("#garden", "\x02\x03")
        ana.say("#garden", "end")
        await irc.until(lambda: "end" in irc.texts, "the last arrived")
        assert irc.texts == ["bold red plain 5", "* Ana waves twice", "end"]


async def test_notices_questions_of_clients_and_its_own_lines_are_ignored(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        ana.do("NOTICE #garden :Kai: I am a bot", "NOTICE Kai :me too", "PRIVMSG Kai :\x01VERSION\x01")
        await irc.say("Kai", "to myself")
        await irc.say("#garden", "to all")
        ana.say("Kai", "end")
        await irc.until(lambda: "end" in irc.texts, "the last arrived")
        assert irc.texts == ["end"]
    assert [message for message in ana.commands("NOTICE") if message.prefix and message.prefix.nick == "Kai"] == []


async def test_each_line_has_an_id_of_its_own(ircd: Ngircd, person: People, tmp_path: Path) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        for _ in range(20):
            ana.say("#garden", "the same")
        await irc.until(lambda: len(irc.delivered) == 20, "all arrived")
        assert len({message.id for message in irc.delivered}) == 20


async def test_a_line_that_a_server_with_ids_brings_again_has_the_same_id(
    ircd: Ngircd, proxy: Proxy, tmp_path: Path
) -> None:
    async with driven({"port": proxy.port}, tmp_path) as irc:
        for text in ("first", "again"):
            proxy.inject(f"@msgid=abc;time=nonsense :Ana!ana@host PRIVMSG Kai :{text}\r\n".encode())
        await irc.until(lambda: len(irc.delivered) == 2, "both arrived")
        assert [message.id for message in irc.delivered] == ["abc", "abc"]


async def test_lines_arrive_in_order_and_those_of_an_old_client_can_be_read(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        ana.do(*(f"PRIVMSG #garden :{number}" for number in range(100)))
        ana.say("#garden", b"caf\xe9".decode("utf-8", "surrogateescape"))
        await irc.until(lambda: len(irc.delivered) == 101, "all arrived")
        assert irc.texts == [*map(str, range(100)), "café"]


async def test_what_could_not_be_kept_is_delivered_first_when_it_can_be(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    ana = person("Ana")
    async with driven({"port": ircd.port}, tmp_path) as irc:
        irc.refusing = True
        for number in range(5):
            ana.do(f"PRIVMSG Kai :{number}")
        ana.sync()
        await irc.until(lambda: irc.errors, "it was refused")
        irc.refusing = False
        await irc.until(lambda: irc.readies > 1 and ana.sees("Kai"), "it is back")
        ana.say("Kai", "later")
        await irc.until(lambda: "later" in irc.texts, "the last arrived")
        kept = [text for text in irc.texts if text != "later"]
        assert kept == [str(number) for number in range(len(kept))]
        assert kept


async def test_answers_go_out_while_a_message_waits_to_be_kept(ircd: Ngircd, person: People, tmp_path: Path) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        irc.held = anyio.Event()
        ana.say("#garden", "hello")
        for number in range(5):
            await irc.say("#garden", f"{number}")
        ana.sync()
        assert ana.said_by("Kai", "#garden") == ["0", "1", "2", "3", "4"]
        assert not irc.delivered
        irc.held.set()
        await irc.until(lambda: irc.texts == ["hello"], "it was kept")


async def test_while_nothing_is_kept_only_so_much_is_read_and_none_of_it_is_lost(
    ircd: Ngircd, person: People, tmp_path: Path
) -> None:
    ana = person("Ana", "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"], "patience": 60}, tmp_path) as irc:
        irc.held = anyio.Event()
        ana.do(*(f"PRIVMSG #garden :{number}" for number in range(1500)))
        ana.sync()
        await irc.until(lambda: len(irc.irc._unread) == 1000, "it has read what it can hold")
        irc.held.set()
        await irc.until(lambda: len(irc.delivered) == 1500, "all was kept")
        assert irc.texts == [str(number) for number in range(1500)]


async def test_members_are_those_in_the_channel_without_itself(ircd: Ngircd, person: People, tmp_path: Path) -> None:
    for nick in ("Ana", "Bo", "Cleo"):
        person(nick, "#garden")
    async with driven({"port": ircd.port, "channels": ["#garden"]}, tmp_path) as irc:
        assert await irc.irc.members("#garden") == ["Ana", "Bo", "Cleo"]
        assert await irc.irc.members("ana") == ["ana"]
