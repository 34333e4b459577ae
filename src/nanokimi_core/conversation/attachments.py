"""Files that come with messages: from the transport's folder into the chat's workspace."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from nanokimi_core.files import FULL, safe_name
from nanokimi_core.messages import Attachment, Inbound

_FOLDER = "attachments"
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True)
class Taken:
    """A message whose files have been taken in.

    Attributes:
        message: With the files' new paths; its text names those that could not be taken in.
        moves: From where to where they were moved.
        lost: What went wrong with the others, as sentences for a log.
    """

    message: Inbound
    moves: tuple[tuple[Path, Path], ...] = ()
    lost: tuple[str, ...] = ()

    def put_back(self) -> None:
        """Move the files back: the message could not be kept, and will be delivered again."""
        for before, after in self.moves:
            with suppress(OSError):
                after.rename(before)


def take_in(message: Inbound, workspace: Path, *, part: str = "") -> Taken:
    """Move a message's files into the workspace, flushed to disk.

    The workspace is the agent's to write, so nothing in it is trusted: a link where the folder should be is refused,
    and names never come from the network as they are. A file that is missing, or that such a link keeps out, must not
    hold up its message for ever: the message goes on without it.

    Args:
        message: As delivered.
        workspace: The chat's.
        part: A folder beneath ``attachments`` for this chat, where several chats share the workspace.

    Raises:
        OSError: The disk is full or read-only; everything is where it was.
    """
    files: list[Attachment] = []
    moves: list[tuple[Path, Path]] = []
    lost: list[str] = []
    text = [message.text] if message.text else []
    for file in message.attachments:
        try:
            files.append(_move(file, workspace, part))
        except OSError as error:
            if error.errno in FULL:
                Taken(message, tuple(moves)).put_back()
                raise
            text.append(_MISSING.format(name=_shown(file.name)))
            lost.append(f"{_shown(file.name)}: {error.strerror}")
        else:
            moves.append((file.path, files[-1].path))
    kept = replace(message, text="\n".join(text), attachments=tuple(files))
    return Taken(kept, tuple(moves), tuple(lost))


_MISSING = '[the file "{name}" came with this message, but it could not be taken in]'


def _shown(name: str) -> str:
    return " ".join(name.split()).replace("]", ")")[:60]


def discard(message: Inbound) -> None:
    """Remove the files of a message that isn't kept."""
    for file in message.attachments:
        with suppress(OSError):
            file.path.unlink()


def _move(file: Attachment, workspace: Path, part: str) -> Attachment:
    folder = [_FOLDER, part] if part else [_FOLDER]
    inner = _open(workspace, folder)
    try:
        name = f"{secrets.token_hex(4)}-{safe_name(file.name)}"
        _flush(file.path)
        os.rename(file.path, name, dst_dir_fd=inner)
        os.fsync(inner)
    finally:
        os.close(inner)
    return replace(file, path=workspace.joinpath(*folder, name))


def _open(workspace: Path, folder: list[str]) -> int:
    """Open a folder beneath the workspace, making it if need be, without following a link on the way."""
    current = os.open(workspace, _FLAGS)
    for name in folder:
        try:
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=current)
            following = os.open(name, _FLAGS, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe's other end may never be opened
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a file")
        os.fchmod(descriptor, 0o644)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
