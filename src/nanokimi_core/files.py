"""Names and files on disk that neither an agent nor a chat network can bend."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Error numbers of a disk that can't be written whatever is tried."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._@+-]+")
_LONGEST = 60


def safe_name(text: str) -> str:
    """Turn any text into a name for a folder: always one path component, different for different texts.

    Names that are safe already stay as they are; others get their unsafe characters replaced and a piece of their
    SHA-256 added, so that ``a/b`` and ``a_b`` don't meet.
    """
    plain = _UNSAFE.sub("_", text).lstrip(".-")[:_LONGEST]
    if plain == text and text == text.lower() and text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{plain.rstrip('.')}~{digest}" if plain else f"~{digest}"


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter, with its parents, and give it back.

    Raises:
        NotADirectoryError: There is something else at that path.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o700)
    return path


def write_private(path: Path, data: bytes, *, owner: tuple[int, int] | None = None, mode: int = 0o600) -> None:
    """Replace a file in one step: written aside, flushed to disk, renamed. Readers see the old or the new one.

    Args:
        path: Its folder must exist.
        data: The whole content.
        owner: uid and gid to give it to; needs root.
        mode: 0600 unless told otherwise.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
