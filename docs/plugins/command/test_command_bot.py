"""A whole assistant that thinks by a command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nanokimi_command
import pytest
from test_command import CommandRig

from nanokimi_core import Failure
from nanokimi_core.testing import Bot

pytestmark = pytest.mark.anyio


async def test_a_question_that_is_asked_again_stands_once_in_the_agents_conversation(
    tmp_path: Path, nanokimi_bot: Callable[..., Bot]
) -> None:
    async with CommandRig(tmp_path) as rig:
        await rig.bring_about(Failure.RATE_LIMIT)
        async with nanokimi_bot(backend=nanokimi_command, toml={"plugins": {"command": rig.table()}}) as bot:
            await bot.says("Say zebra")
            assert "I'll answer it in" in (await bot.answer()).text
            await rig.mend()
            assert (await bot.answer(30)).text == "So be it."
            (chat,) = bot.folder.glob("data/chats/*")
        first, *again = (chat / "agent" / "command" / "heard.txt").read_text().splitlines()
        assert "Say zebra" in first
        assert set(again) == {"No answer to the last question has arrived. Please answer it now."}
