"""The log of a command that ends by itself: what its error says anyway isn't said twice."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from nanokimi_core.cli.guard import debugging
from nanokimi_core.logs import redact, sentence, set_up

_MOST = 100


class _Held(logging.Handler):
    """Holds the latest records back."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque(maxlen=_MOST)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


@contextmanager
def log_held() -> Iterator[None]:
    """Write warnings and errors when the command ends, each once, and none that begins as its error does.

    A plugin logs why it failed, for a service, and raises the same for the command. With ``NANOKIMI_DEBUG``
    everything is written at once.
    """
    if debugging():
        set_up(logging.DEBUG)
        yield
        return
    set_up(logging.WARNING, short=True)
    root = logging.getLogger()
    written, held = root.handlers[:], _Held()
    root.handlers[:] = [held]
    said: set[str] = set()
    failed = ""
    try:
        yield
    except BaseException as error:
        failed = redact(_texts(error))
        raise
    finally:
        root.handlers[:] = written
        for record in held.records:
            told = sentence(record)
            if told not in said and (not failed or told.partition("; ")[0] not in failed):
                said.add(told)
                root.handle(record)


def _texts(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(_texts(each) for each in error.exceptions)
    return str(error)
