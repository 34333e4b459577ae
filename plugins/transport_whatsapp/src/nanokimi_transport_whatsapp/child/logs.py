"""The child's log is its stderr; the library's lines go there too."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

_FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Masked(logging.Formatter):
    """Writes records without secrets."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__(_FORM)
        self._secrets = [secret for secret in secrets if secret]

    def format(self, record: logging.LogRecord) -> str:
        said = super().format(record)
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said


def log_to_stderr(secrets: Sequence[str]) -> None:
    """Log to stderr from INFO on, with these texts masked. A library's ``basicConfig`` changes nothing after this."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masked(secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
