"""Takes what looks like a credential out of text that people will read."""

from __future__ import annotations

import re

_SECRETS = re.compile(r"sk-[A-Za-z0-9_-]{8,}|eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*|(?<=Bearer )\S{8,}")


def redact(text: str) -> str:
    """Replace keys and tokens."""
    return _SECRETS.sub("***", text)
