"""An errbot plugin that echoes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from errbot import BotPlugin, botcmd  # type: ignore[import-not-found]


class Answer(BotPlugin):  # type: ignore[misc]
    """``!say TEXT`` is answered with the text."""

    nap: ClassVar[Callable[[str], None] | None] = None

    @botcmd  # type: ignore[untyped-decorator]
    def say(self, msg: Any, args: str) -> str:
        """Say it again."""
        if Answer.nap is not None:
            Answer.nap(str(msg.frm))
        return args
