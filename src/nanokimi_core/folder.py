"""The data folder: who holds it, its identity, and where each thing lies in it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from nanokimi_core.errors import ConfigError, FolderInUse
from nanokimi_core.files import FULL, private_folder, safe_name, write_private

_LONGEST_INSTRUCTIONS = 100_000
_LONGEST_ID = 100
_ID = re.compile(r"[0-9a-z-]{8,64}")
_REMEMBERED = 2000  # chats
_LOOKS = 10
_LOOK_SECONDS = 0.02


class DataFolder:
    """Everything that an installation keeps.

        installation       its id, made once
        nanokimi.lock      held by the running process
        KIMI.md            instructions for every chat (the owner's)
        chats/NAME/        workspace/, agent/<instance>/, KIMI.md of one chat, or of chats with the same sandbox
        plugins/INSTANCE/  one folder for each plugin instance

    Args:
        path: Where; made when it is first needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made = lru_cache(_REMEMBERED)(self._make_chat)

    def make(self) -> None:
        """Make the folder, for its owner only.

        Raises:
            ConfigError: It can't be made or written to.
        """
        try:
            private_folder(self.path)
        except OSError as error:
            raise unwritable(self.path, error) from error

    @property
    def installation(self) -> str:
        """The id of this data folder, the same for ever."""
        file = self.path / "installation"
        try:
            known = (file.read_bytes() if file.exists() else b"")[:_LONGEST_ID].decode("ascii", "replace").strip()
            if not known:
                known = uuid.uuid4().hex
                write_private(file, known.encode())
        except OSError as error:
            raise unwritable(self.path, error) from error
        if not _ID.fullmatch(known):
            raise ConfigError(f"{file} holds no id", remedy="remove it: a new one is made, and old containers stay")
        return known

    def plugin(self, instance: str) -> Path:
        """Give an instance's own folder, making it if need be."""
        private_folder(self.path / "plugins")
        return private_folder(self.path / "plugins" / safe_name(instance))

    def chat(self, sandbox: str) -> Path:
        """Give the folder of a chat, or of the chats of a sandbox, making it if need be."""
        folder, workspace = self._made(sandbox)
        return folder if workspace.is_dir() else self._make_chat(sandbox)[0]

    def _make_chat(self, sandbox: str) -> tuple[Path, Path]:
        private_folder(self.path / "chats")
        folder = private_folder(self.path / "chats" / safe_name(sandbox))
        workspace = folder / "workspace"
        workspace.mkdir(exist_ok=True)
        return folder, workspace

    def erase_chat(self, sandbox: str, part: str = "") -> None:
        """Erase the files of a chat and its agent; the owner's ``KIMI.md`` stays.

        Args:
            sandbox: The chat's, or the one that it shares with others.
            part: Of a shared sandbox: only what is in this folder of its attachments.

        Raises:
            ConfigError: Something can't be removed.
        """
        folder = self.chat(sandbox)
        doomed = (
            [folder / "workspace" / "attachments" / safe_name(part)]
            if part
            else [folder / "workspace", folder / "agent"]
        )
        try:
            for path in doomed:
                if path.is_symlink() or path.parent.is_symlink():
                    path.unlink(missing_ok=True)
                elif path.exists():
                    shutil.rmtree(path)
        except OSError as error:
            said = f"{error.filename or folder} can't be removed: {error.strerror}"
            raise ConfigError(said, remedy="remove it yourself") from error

    def instructions(self, assistant: str, chat: Path) -> str:
        """Put together what the agent is told about itself: its name, the global and the chat's ``KIMI.md``.

        Raises:
            ConfigError: A ``KIMI.md`` can't be read.
        """
        parts = [f"Your name is {assistant}. You answer people in a chat; what they write stands after their name."]
        parts.extend(text for file in (f"{self.path}/KIMI.md", f"{chat}/KIMI.md") if (text := _read_text(file)))
        return "\n\n".join(parts) + "\n"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            FolderInUse: Another process holds it; the message says which.
            ConfigError: The folder can't be used.
        """
        self.make()
        descriptor = -1
        try:
            descriptor = os.open(self.path / "nanokimi.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            _lock(descriptor, self.path)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise unwritable(self.path, error) from error
        except FolderInUse:
            os.close(descriptor)
            raise
        try:
            yield
        finally:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def holder(self) -> int | None:
        """Give the id of the process that holds the folder, if one does."""
        try:
            descriptor = os.open(self.path / "nanokimi.lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _pid(descriptor)
        finally:
            os.close(descriptor)
        return None


def unwritable(path: Path, error: OSError) -> ConfigError:
    """Make the error of a data folder that can't be written, with what helps against its cause."""
    remedy = "choose another with NANOKIMI_HOME, or mend its owner and mode"
    if error.errno in FULL:
        remedy = "free some space on its disk, or choose another with NANOKIMI_HOME"
    return ConfigError(f"the data folder {path} can't be used: {error.strerror}", remedy=remedy)


def _lock(descriptor: int, path: Path) -> None:
    """Take the lock; somebody who only looks who holds it (``holder``) has it for a moment."""
    for _ in range(_LOOKS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _pid(descriptor) is not None:
                break
            time.sleep(_LOOK_SECONDS)
        else:
            return
    raise FolderInUse(
        f"the data folder {path} is in use by process {_pid(descriptor) or '?'}",
        remedy="stop that process, or choose another folder with NANOKIMI_HOME",
    )


def _pid(descriptor: int) -> int | None:
    said = os.pread(descriptor, 20, 0).strip()
    return int(said) if said.isdigit() else None


def _read_text(file: str) -> str:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _unreadable(file, error) from error
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{file} can't be read: it is not a file", remedy="make it UTF-8 text that you may read")
        data = opened.read(_LONGEST_INSTRUCTIONS + 1)
    if len(data) > _LONGEST_INSTRUCTIONS:
        raise ConfigError(f"{file} is longer than {_LONGEST_INSTRUCTIONS} bytes", remedy="shorten it")
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: str, error: Exception) -> ConfigError:
    return ConfigError(f"{file} can't be read: {error}", remedy="make it UTF-8 text that you may read")
