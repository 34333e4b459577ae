"""Log lines on stderr, with secrets taken out by value."""

from __future__ import annotations

import logging
import re
from typing import Any

_SHORTEST = 8
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_secrets: set[str] = set()


def keep_secret(value: str) -> None:
    """From now on show this value in no log line; values under 8 characters are too short to look for."""
    if len(value) >= _SHORTEST:
        _secrets.add(value)


def redact(text: str) -> str:
    """Take known secrets out of a text; their last four characters stay."""
    for secret in _secrets:
        text = text.replace(secret, f"…{secret[-4:]}")
    return text


def printable(text: str) -> str:
    """Take out what a terminal would obey: all control characters but line ends and tabs."""
    return _CONTROL.sub("", text)


class RedactingFormatter(logging.Formatter):
    """Formats a record, tracebacks included, and takes known secrets and control characters out of the result."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        return printable(redact(super().format(record)))


class ShortFormatter(RedactingFormatter):
    """Formats a record as one sentence for the person at the terminal, without a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        return printable(redact(f"nanokimi: {record.getMessage()}"))


def set_up(level: int = logging.INFO, *, short: bool = False) -> None:
    """Send the project's log lines from ``level`` up, and other libraries' warnings, to stderr.

    Args:
        level: Of the project's own lines.
        short: Only the sentences, for a person at the terminal; else with time, level, name and tracebacks.
    """
    handler = logging.StreamHandler()
    service = RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(ShortFormatter() if short else service)
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
