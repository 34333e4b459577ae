"""Takes what looks like a credential, and what steers a terminal, out of text that people will read."""

from __future__ import annotations

import re

_SECRETS = re.compile(r"sk-[A-Za-z0-9_-]{8,}|eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*|(?<=Bearer )\S{8,}")
_CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def redact(text: str) -> str:
    """Replace keys and tokens."""
    return _SECRETS.sub("***", text)


def plain(text: str) -> str:
    """Replace control characters, line ends included, with spaces."""
    return _CONTROLS.sub(" ", text)
