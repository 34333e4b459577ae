"""The data folder: who holds it, its identity, and where each thing lies in it."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanokimi_core.errors import ConfigError, FolderInUse
from nanokimi_core.files import private_folder, safe_name, write_private

_LONGEST_INSTRUCTIONS = 100_000


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

    def make(self) -> None:
        """Make the folder, for its owner only.

        Raises:
            ConfigError: It can't be made or written to.
        """
        try:
            private_folder(self.path)
        except OSError as error:
            said = f"the data folder {self.path} can't be used: {error.strerror}"
            raise ConfigError(said, remedy="choose another with NANOKIMI_HOME, or mend its owner and mode") from error

    @property
    def installation(self) -> str:
        """The id of this data folder, the same for ever."""
        file = self.path / "installation"
        try:
            known = file.read_text().strip()
        except FileNotFoundError:
            known = ""
        if not known:
            known = uuid.uuid4().hex
            write_private(file, known.encode())
        return known

    def plugin(self, instance: str) -> Path:
        """Give an instance's own folder, making it if need be."""
        private_folder(self.path / "plugins")
        return private_folder(self.path / "plugins" / safe_name(instance))

    def chat(self, sandbox: str) -> Path:
        """Give the folder of a chat, or of the chats of a sandbox, making it if need be."""
        private_folder(self.path / "chats")
        folder = private_folder(self.path / "chats" / safe_name(sandbox))
        (folder / "workspace").mkdir(exist_ok=True)
        return folder

    def instructions(self, assistant: str, chat: Path) -> str:
        """Put together what the agent is told about itself: its name, the global and the chat's ``KIMI.md``.

        Raises:
            ConfigError: A ``KIMI.md`` can't be read.
        """
        parts = [f"Your name is {assistant}. You answer people in a chat; what they write stands after their name."]
        parts.extend(text for file in (self.path / "KIMI.md", chat / "KIMI.md") if (text := _read_text(file)))
        return "\n\n".join(parts) + "\n"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            FolderInUse: Another process holds it; the message says which.
            ConfigError: The folder can't be used.
        """
        self.make()
        descriptor = os.open(self.path / "nanokimi.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, self.path)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
            os.ftruncate(descriptor, 0)
        finally:
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


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderInUse(
            f"the data folder {path} is in use by process {_pid(descriptor) or '?'}",
            remedy="stop that process, or choose another folder with NANOKIMI_HOME",
        ) from None


def _pid(descriptor: int) -> int | None:
    said = os.pread(descriptor, 20, 0).strip()
    return int(said) if said.isdigit() else None


def _read_text(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_LONGEST_INSTRUCTIONS + 1)
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} can't be read: {error}", remedy="make it UTF-8 text that you may read") from error
    if len(text) > _LONGEST_INSTRUCTIONS:
        raise ConfigError(f"{file} is longer than {_LONGEST_INSTRUCTIONS} characters", remedy="shorten it")
    return text.strip()
