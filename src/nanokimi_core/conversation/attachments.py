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


def take_in(message: Inbound, workspace: Path) -> Inbound:
    """Move a message's files into the workspace, and give the message with their new paths.

    The workspace is the agent's to write, so nothing in it is trusted: a link where the folder should be is refused,
    and names never come from the network as they are.

    Raises:
        OSError: A file is missing, or there is something else where the folder should be.
    """
    if not message.attachments:
        return message
    files = tuple(_move(file, workspace) for file in message.attachments)
    return replace(message, attachments=files)


def _move(file: Attachment, workspace: Path) -> Attachment:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    outer = os.open(workspace, flags)
    try:
        with suppress(FileExistsError):
            os.mkdir(_FOLDER, 0o755, dir_fd=outer)
        inner = os.open(_FOLDER, flags, dir_fd=outer)
    finally:
        os.close(outer)
    try:
        name = f"{secrets.token_hex(4)}-{safe_name(file.name)}"
        file.path.chmod(0o644)
        os.rename(file.path, name, dst_dir_fd=inner)
    finally:
        os.close(inner)
    return replace(file, path=workspace / _FOLDER / name)
