"""Files in folders that an agent can write: no link in them is ever followed, nothing in them is trusted."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_MOST_FOLDERS = 1000

Owner = tuple[int, int]


@contextmanager
def folder(root: Path, *parts: str) -> Iterator[int]:
    """Open a folder beneath ``root``, step by step, and give its descriptor.

    Raises:
        OSError: It is missing, or a step of the way is not a folder (a link is none).
    """
    descriptor = os.open(root, _FOLDER)
    try:
        for part in parts:
            inner = os.open(_plain(part), _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def read(root: Path, path: PurePosixPath, *, most: int, from_end: bool = False, start: int = 0) -> bytes:
    """Read a regular file beneath ``root``, at most ``most`` bytes: from ``start`` on, or of its end.

    A file that is shorter than ``start`` has been written anew, and is read from its beginning.

    Raises:
        OSError: It is missing, or it or a step of the way is something else (a link, a pipe, a device).
    """
    with folder(root, *path.parts[:-1]) as parent:
        descriptor = os.open(_plain(path.name), _FILE, dir_fd=parent)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(f"{path} is not a regular file")
        file.seek(max(0, about.st_size - most) if from_end else start if start <= about.st_size else 0)
        return file.read(most)


def size(root: Path, path: PurePosixPath) -> int:
    """Give the bytes of a regular file beneath ``root``.

    Raises:
        OSError: It is missing, or it or a step of the way is something else.
    """
    with folder(root, *path.parts[:-1]) as parent:
        about = os.stat(_plain(path.name), dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISREG(about.st_mode):
        raise OSError(f"{path} is not a regular file")
    return about.st_size


def find(root: Path, pattern: PurePosixPath) -> PurePosixPath:
    """Find a regular file beneath ``root``, with ``*`` for one folder of any name: the first that has the rest.

    Raises:
        OSError: None has.
    """
    if "*" not in pattern.parts:
        return pattern
    star = pattern.parts.index("*")
    with folder(root, *pattern.parts[:star]) as parent:
        names = sorted(os.listdir(parent))  # noqa: PTH208  # of a descriptor
    for name in names[:_MOST_FOLDERS]:
        path = PurePosixPath(*pattern.parts[:star], name, *pattern.parts[star + 1 :])
        with suppress(OSError):
            size(root, path)
            return path
    raise FileNotFoundError(str(pattern))


def read_one(root: Path, pattern: PurePosixPath, *, most: int, from_end: bool = False) -> bytes:
    """Read like ``read``, the file that ``find`` finds.

    Raises:
        OSError: There is none.
    """
    return read(root, find(root, pattern), most=most, from_end=from_end)


def ensure_folder(root: Path, path: PurePosixPath, *, owner: Owner | None) -> None:
    """Make a folder beneath ``root``, with its parents; whatever else is in the way is moved aside."""
    descriptor = os.open(root, _FOLDER)
    try:
        for part in path.parts:
            inner = _make_folder(descriptor, _plain(part), owner)
            os.close(descriptor)
            descriptor = inner
    finally:
        os.close(descriptor)


def ensure_file(root: Path, path: PurePosixPath, content: bytes = b"", *, owner: Owner | None) -> None:
    """Make a file beneath ``root`` unless there is one; whatever else is in the way is moved aside."""
    ensure_folder(root, path.parent, owner=owner)
    with folder(root, *path.parent.parts) as parent:
        if stat.S_ISREG(_kind(parent, path.name)):
            return
        _move_aside(parent, path.name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path.name, flags, 0o600, dir_fd=parent), "wb") as file:
            file.write(content)
            if owner is not None:
                os.fchown(file.fileno(), *owner)


def give(root: Path, owner: Owner) -> None:
    """Give a folder and all in it to ``owner``, unless the folder is theirs already."""
    with folder(root) as descriptor:
        about = os.fstat(descriptor)
        if (about.st_uid, about.st_gid) == owner:
            return
        for _, folders, files, inner in os.fwalk(".", dir_fd=descriptor, follow_symlinks=False):
            for name in [*folders, *files]:
                with suppress(FileNotFoundError):
                    os.chown(name, *owner, dir_fd=inner, follow_symlinks=False)
        os.fchown(descriptor, *owner)


def _make_folder(parent: int, name: str, owner: Owner | None) -> int:
    if not stat.S_ISDIR(_kind(parent, name)):
        _move_aside(parent, name)
        os.mkdir(name, 0o755, dir_fd=parent)
        if owner is not None:
            os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
    return os.open(name, _FOLDER, dir_fd=parent)


def _kind(parent: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _move_aside(parent: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.rename(name, f"{name}.moved-aside.{secrets.token_hex(4)}", src_dir_fd=parent, dst_dir_fd=parent)


def _plain(part: str) -> str:
    if part in ("", ".", "..", "/") or "/" in part:
        raise OSError(f"{part!r} is not a plain name")
    return part
