"""The engine that is neonize: nothing outside of this package imports it, and nothing in it before ``create``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from nanokimi_transport_whatsapp.engine import Engine, EngineError, EngineSettings
from nanokimi_transport_whatsapp.neonize_engine.missing import after_failed_import, sentence, why_not_usable


def create(settings: EngineSettings) -> Engine:
    """Load the library, and make an engine.

    Raises:
        EngineError: ``failed``: the library can't be used on this machine; says what is missing and what to do.
    """
    trouble = why_not_usable()
    if trouble is not None:
        raise EngineError("failed", sentence(trouble))
    try:
        with _logging_kept():
            from nanokimi_transport_whatsapp.neonize_engine.engine import NeonizeEngine
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError("failed", sentence(after_failed_import(error))) from None
    return NeonizeEngine(settings)


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Take back what importing neonize does to the root logger: a handler, and the level INFO."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
