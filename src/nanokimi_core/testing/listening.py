"""Hearing what an assistant logs, and what of it is for the owner."""

from __future__ import annotations

import logging
from collections import deque
from typing import Self

from nanokimi_core.conversation import owner
from nanokimi_core.logs import redact

_MOST_LINES = 2000


class Listening(logging.Handler):
    """Keeps what is logged while it is entered.

    Attributes:
        lines: With level and logger, without secrets; the last 2000.
        told: What the owner was told, each once: the core logs all of that, whether there is an owner or not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=_MOST_LINES)
        self.told: dict[str, None] = {}
        self._logger = logging.getLogger("nanokimi")
        self._level = self._logger.level

    def __enter__(self) -> Self:
        self._level = self._logger.level
        if self._logger.getEffectiveLevel() > logging.INFO:
            self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        said = redact(record.getMessage())
        self.lines.append(f"{record.levelname} {record.name}: {said}")
        for_owner = record.pathname == owner.__file__ and record.funcName == owner.Owner.tell.__name__
        if for_owner and len(self.told) < _MOST_LINES:
            self.told[said] = None
