"""Reading a file that somebody else has named or made: bounded, never waiting, regular files only."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_plain(file: Path, *, longest: int, follow: bool) -> str:
    """Read a text file.

    Args:
        file: Its path.
        longest: In bytes.
        follow: Whether it may be a symbolic link.

    Raises:
        OSError: It can't be opened.
        ValueError: It is no regular file, longer than that, or no UTF-8 text.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    with os.fdopen(os.open(file, flags), "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise ValueError("it is no regular file")
        data = opened.read(longest + 1)
    if len(data) > longest:
        raise ValueError(f"it is longer than {longest} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8 text") from None
