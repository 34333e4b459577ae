"""The files of a login: what lies in an agent's home after it, and the directories in which one is refreshed."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath

from nanokimi_backend_kimi_docker import beneath
from nanokimi_backend_kimi_docker.mounts import User
from nanokimi_core import AgentError, Failure, Mount

_CREDENTIALS = "credentials"
_MOST_FILES = 100
_LARGEST_LOGIN = 64 * 1024


def check_mounts(mounts: tuple[Mount, ...]) -> None:
    """Refuse mounts in which a refreshed login could not be stored: it would be lost.

    Raises:
        AgentError: They are such.
    """
    names = {mount.target.name for mount in mounts if not mount.read_only}
    if _CREDENTIALS not in names or any(mount.read_only for mount in mounts):
        raise AgentError(Failure.ENGINE, "the agent can't refresh a login that it may not write")


def owner_of(mounts: tuple[Mount, ...]) -> User:
    """Give whose the login is: only they can read it, and what they write must stay theirs.

    Asked where NanoKimi is root. A login of root's is refreshed by root, who has no rights in a container without
    capabilities but to root's own files, of which it sees these alone.
    """
    source = next(mount.source for mount in mounts if mount.target.name == _CREDENTIALS)
    about = source.stat()
    owner = (about.st_uid, about.st_gid)
    return User(owner, owner, owner)


def has_login(folder: Path) -> bool:
    """Whether a login's file lies in the agent's home, with a token by which it can be refreshed."""
    try:
        with beneath.folder(folder, _CREDENTIALS) as descriptor:
            names = os.listdir(descriptor)  # noqa: PTH208  # of a descriptor
    except OSError:
        return False
    return any(_is_login(folder, name) for name in names[:_MOST_FILES] if name.endswith(".json"))


def _is_login(folder: Path, name: str) -> bool:
    try:
        found = json.loads(beneath.read(folder, PurePosixPath(_CREDENTIALS, name), most=_LARGEST_LOGIN))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and bool(found.get("access_token") and found.get("refresh_token"))
