"""Files that come with messages: from the transport's folder into the chat's workspace."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nanokimi_core.files import safe_name
from nanokimi_core.messages import Attachment, Inbound

_FOLDER = "attachments"
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def take_in(message: Inbound, workspace: Path, *, part: str = "") -> Inbound:
    """Move a message's files into the workspace, flushed to disk, and give the message with their new paths.

    The workspace is the agent's to write, so nothing in it is trusted: a link where the folder should be is refused,
    and names never come from the network as they are.

    Args:
        message: As delivered.
        workspace: The chat's.
        part: A folder beneath ``attachments`` for this chat, where several chats share the workspace.

    Raises:
        OSError: A file is missing, or there is something else where the folder should be.
    """
    if not message.attachments:
        return message
    files = tuple(_move(file, workspace, part) for file in message.attachments)
    return replace(message, attachments=files)


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
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, 0o644)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
