"""Hearing all that is logged, by whomever and from DEBUG on; several checks may listen at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = (logging.getLogger(), logging.getLogger("nanokimi"))

_lock = threading.Lock()
_listening: list[logging.Handler] = []
_before: list[tuple[int, bool]] = []


@contextmanager
def overheard(handler: logging.Handler) -> Iterator[None]:
    """Give everything that is logged to a handler; who leaves last leaves the loggers as the first has found them."""
    with _lock:
        if not _listening:
            _before[:] = [(each.level, each.propagate) for each in _LOGGERS]
        _listening.append(handler)
        for each in _LOGGERS:
            each.setLevel(logging.DEBUG)
            each.propagate = True
        _LOGGERS[0].addHandler(handler)
    try:
        yield
    finally:
        with _lock:
            _LOGGERS[0].removeHandler(handler)
            _listening.remove(handler)
            if not _listening:
                for each, (level, propagate) in zip(_LOGGERS, _before, strict=True):
                    each.setLevel(level)
                    each.propagate = propagate
