"""Log lines on stderr, with secrets taken out by value."""

from __future__ import annotations

import logging
from typing import Any

_SHORTEST = 8
_secrets: set[str] = set()


def keep_secret(value: str) -> None:
    """From now on show this value in no log line; values under 8 characters are too short to look for."""
    if len(value) >= _SHORTEST:
        _secrets.add(value)


class RedactingFormatter(logging.Formatter):
    """Formats a record, tracebacks included, and takes known secrets out of the result."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line = super().format(record)
        for secret in _secrets:
            line = line.replace(secret, f"…{secret[-4:]}")
        return line


def set_up(level: int = logging.INFO) -> None:
    """Send the project's log lines from ``level`` up, and other libraries' warnings, to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("nanokimi").setLevel(level)


class InstanceLog(logging.LoggerAdapter[logging.Logger]):
    """A plugin instance's log: each line carries the instance's name."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Leave the line as it is: the logger's name has the instance's."""
        return msg, kwargs


def instance_log(name: str) -> InstanceLog:
    """Make the log of a plugin instance."""
    return InstanceLog(logging.getLogger(f"nanokimi.{name}"), {})
