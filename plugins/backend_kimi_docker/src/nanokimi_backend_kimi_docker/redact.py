"""Takes what looks like a credential, and what steers a terminal, out of text that people will read."""

from __future__ import annotations

import re
from itertools import groupby

_SECRETS = re.compile(
    r"\bsk-[A-Za-z0-9_*…•.-]*[A-Za-z0-9_*…•-]|eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*|(?<=Bearer )\S{8,}"
)
_CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SHOWN = 4


def redact(text: str) -> str:
    """Replace keys and tokens."""
    return _SECRETS.sub("***", text)


def hide(text: str, secret: str) -> str:
    """Replace every piece of a secret that is longer than four characters: servers repeat keys with a hole in them."""
    secret = secret.removeprefix("sk-").removeprefix("kimi-")
    pieces = {secret[at : at + _SHOWN + 1] for at in range(len(secret) - _SHOWN)}
    hidden = [False] * len(text)
    for at in range(len(text) - _SHOWN):
        if text[at : at + _SHOWN + 1] in pieces:
            hidden[at : at + _SHOWN + 1] = [True] * (_SHOWN + 1)
    runs = groupby(zip(text, hidden, strict=True), key=lambda one: one[1])
    return "".join("***" if covered else "".join(character for character, _ in run) for covered, run in runs)


def plain(text: str) -> str:
    """Replace control characters, line ends included, with spaces."""
    return _CONTROLS.sub(" ", text)
