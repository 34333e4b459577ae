"""A whole assistant on the message board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nanokimi_board
import pytest
from test_board import BoardRig

from nanokimi_core.testing import Bot, Gated, until

# see test_board.py
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")]


def on(rig: BoardRig) -> dict[str, object]:
    """Give the toml of an assistant that answers everything on the board."""
    return {"plugins": {"board": rig.table()}, "chats": {"board:*": {"trigger": "always"}}}


async def test_an_answer_stands_in_the_thread_of_its_question(tmp_path: Path, nanokimi_bot: Callable[..., Bot]) -> None:
    async with BoardRig(tmp_path) as rig, nanokimi_bot(transport=nanokimi_board, toml=on(rig)) as bot:
        await rig.write_in_thread("tea", "is there milk?")
        await until(lambda: rig.posts("lobby"), 10, "no answer came")
        await bot.settled()
        (answer,) = rig.posts("lobby")
        assert (answer.thread, answer.text, answer.answers) == ("tea", "1: is there milk?", "ana.rig-1")


async def test_a_file_lies_in_the_chats_workspace(tmp_path: Path, nanokimi_bot: Callable[..., Bot]) -> None:
    async with BoardRig(tmp_path) as rig, nanokimi_bot(transport=nanokimi_board, toml=on(rig)) as bot:
        await rig.write_file("../plan.txt", b"bees", "look at this")
        await until(lambda: rig.posts("lobby"), 10, "no answer came")
        ((_, turn),) = bot.backend.prompts
        (file,) = turn.messages[0].attachments
        assert (file.path.read_bytes(), file.path.parent.is_relative_to(bot.folder)) == (b"bees", True)


async def test_an_answer_whose_confirmation_is_lost_is_shown_once(
    tmp_path: Path, nanokimi_bot: Callable[..., Bot]
) -> None:
    async with BoardRig(tmp_path) as rig, nanokimi_bot(transport=nanokimi_board, toml=on(rig)) as bot:
        await rig.lose_next()
        await rig.write("hello")
        await until(lambda: rig.posts("lobby"), 10, "no answer came")
        await bot.settled(30)
        await rig.write("again")
        await until(lambda: len(rig.posts("lobby")) > 1, 30, "the second message was not answered")
        assert await rig.shown("lobby") == ["1: hello", "2: again"]
        assert "again" in await rig.acknowledged()


async def test_what_is_changed_before_its_turn_is_asked_as_changed(
    tmp_path: Path, nanokimi_bot: Callable[..., Bot]
) -> None:
    agent = Gated()
    async with BoardRig(tmp_path) as rig, nanokimi_bot(transport=nanokimi_board, backend=agent, toml=on(rig)) as bot:
        await rig.write("one moment")
        await until(lambda: agent.gates, 10, "the first message was not asked")
        await rig.write("good mornign")
        await rig.edit("good morning")
        await until(lambda: rig.board.seen["kai"] == len(rig.board.events), 10, "the edit was not acknowledged")
        agent.let_all()
        await bot.settled()
        assert await rig.shown("lobby") == ["one moment", "good morning"]
