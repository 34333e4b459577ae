"""An errbot plugin that raises at every message."""

from __future__ import annotations

from typing import Any

from errbot import BotPlugin  # type: ignore[import-not-found]


class Fault(BotPlugin):  # type: ignore[misc]
    """Has a fault."""

    def callback_message(self, message: Any) -> None:
        raise RuntimeError("this plugin has a fault")
