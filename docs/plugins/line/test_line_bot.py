from collections.abc import Callable
from pathlib import Path

import nanokimi_line
import pytest
from nanokimi_line_rig import LineRig

from nanokimi_core.testing import Bot, until


@pytest.mark.anyio
async def test_who_writes_on_the_line_is_answered_also_after_a_crash(
    tmp_path: Path, nanokimi_bot: Callable[..., Bot]
) -> None:
    rig = LineRig(tmp_path)
    async with rig, nanokimi_bot(transport=nanokimi_line, toml={"plugins": {"line": rig.table()}}) as bot:
        await rig.write("hello")
        await until(lambda: rig.heard == ["1: hello"], 10, "the first message was not answered")
        await bot.crash()
        await rig.write("are you there?")
        await until(lambda: rig.heard[-1] == "2: are you there?", 10, "the second was not answered")
