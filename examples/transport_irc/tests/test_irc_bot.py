"""A whole assistant on IRC, of which people see only what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anyio import to_thread

from nanokimi_core.testing import Bot, ScriptedBackend, script, until
from nanokimi_transport_irc.trial.ircd import Ngircd
from nanokimi_transport_irc.trial.person import Person

pytestmark = [pytest.mark.ircd, pytest.mark.anyio]
People = Callable[..., Person]
MakeBot = Callable[..., Bot]
SECONDS = 60


def on(ircd: Ngircd, **more: Any) -> dict[str, Any]:
    """What the toml says of the server."""
    table = {"server": "127.0.0.1", "port": ircd.port, "tls": False, "channels": ["#garden"], "per_minute": 6000}
    return {"plugins": {"irc": {**table, "burst": 100, "retry": 0.2, **more}}}


async def says(bot: Bot, ana: Person, chat: str, *lines: str) -> None:
    """Wait until a person has heard just these lines of the assistant, in one chat."""
    heard = lambda: len(ana.said_by("Kai", chat)) >= len(lines)  # noqa: E731
    await until(heard, SECONDS, lambda: f"Ana heard {ana.said_by('Kai', chat)}; the log ends {bot.log[-5:]}")
    await bot.settled()
    ana.sync()
    assert ana.said_by("Kai", chat) == list(lines)


async def test_in_a_channel_it_answers_who_calls_it_and_in_a_query_everybody(
    nanokimi_bot: MakeBot, ircd: Ngircd, person: People
) -> None:
    ana = person("Ana", "#garden")
    async with nanokimi_bot(transport="irc", toml=on(ircd)) as bot:
        ana.say("#garden", "how are the roses?")
        ana.say("#garden", "Kai: and the tulips?")
        await until(lambda: len(ana.said_by("Kai", "#garden")) == 1, SECONDS, lambda: f"{bot.log[-5:]}")
        ana.say("Kai", "a word with you")
        await until(lambda: len(ana.said_by("Kai")) == 1, SECONDS, lambda: f"{bot.log[-5:]}")
        await bot.settled()
        assert bot.backend.asked == ["Kai: and the tulips?", "a word with you"]
        (turn, _) = bot.backend.prompts
        assert [message.text for message in turn[1].context] == ["how are the roses?"]
        counters = await bot.counters()
        assert (counters["answered"], counters["context"]) == (2, 1)


async def test_an_answer_of_many_lines_comes_line_by_line_and_in_order(
    nanokimi_bot: MakeBot, ircd: Ngircd, person: People
) -> None:
    ana = person("Ana")
    poem = [f"{number} " + "é" * number for number in range(1, 30)]
    backend = ScriptedBackend(script("\n\n".join(poem)))
    async with nanokimi_bot(transport="irc", backend=backend, toml=on(ircd)) as bot:
        ana.say("Kai", "a poem, please")
        await says(bot, ana, "Ana", *poem)


async def test_a_long_paragraph_is_cut_to_what_a_line_takes_and_nothing_is_missing(
    nanokimi_bot: MakeBot, ircd: Ngircd, person: People
) -> None:
    ana = person("Ana")
    words = [f"köszönöm{number}" for number in range(300)]
    async with nanokimi_bot(transport="irc", backend=ScriptedBackend(script(" ".join(words))), toml=on(ircd)) as bot:
        ana.say("Kai", "a lot, please")
        await until(lambda: "köszönöm299" in " ".join(ana.said_by("Kai")), SECONDS, lambda: f"{bot.log[-5:]}")
        assert " ".join(ana.said_by("Kai")).split() == words
        assert max(len(str(message).encode()) for message in ana.commands("PRIVMSG")) <= 510


async def test_what_is_owed_is_said_after_a_crash_and_after_a_restart_of_the_server(
    nanokimi_bot: MakeBot, ircd: Ngircd, person: People
) -> None:
    ana = person("Ana", "#garden")
    backend = ScriptedBackend(script("one", "two", "three"))
    async with nanokimi_bot(transport="irc", backend=backend, toml=on(ircd, absence=60)) as bot:
        ana.say("Kai", "first")
        await says(bot, ana, "Ana", "one")
        assert (await bot.counters())["sent"] == 1  # asked through the store's writer: the receipt is on disk now
        await bot.crash()
        ana.say("Kai", "second")
        await says(bot, ana, "Ana", "one", "two")
        ana.close()
        await to_thread.run_sync(ircd.stop)
        await to_thread.run_sync(ircd.start)
        ana = await to_thread.run_sync(person, "Ana", "#garden")
        await until(lambda: ana.sees("Kai"), SECONDS, lambda: f"{bot.log[-5:]}")
        ana.say("Kai", "third")
        await says(bot, ana, "Ana", "three")
        counters = await bot.counters()
        assert (counters["accepted"], counters["answered"], counters["duplicate"]) == (3, 3, 0)
