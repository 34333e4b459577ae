"""What the checks use to hear what a plugin logs."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from nanokimi_core.testing.conformance.overhearing import overheard

LOGGERS = (logging.getLogger(), logging.getLogger("nanokimi"))


class Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def test_listeners_that_overlap_hear_all_and_leave_the_loggers_as_they_were() -> None:
    before = [(each.level, each.propagate, list(each.handlers)) for each in LOGGERS]
    first, second = Ear(), Ear()
    with ExitStack() as early, ExitStack() as late:
        early.enter_context(overheard(first))
        late.enter_context(overheard(second))
        logging.getLogger("nanokimi.tried").debug("both")
        early.close()
        logging.getLogger("somebody").debug("one")
    assert (first.said, second.said) == (["both"], ["both", "one"])
    assert [(each.level, each.propagate, list(each.handlers)) for each in LOGGERS] == before
