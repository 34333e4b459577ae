"""The files of one instance, in its folder (mode 0700)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Where things lie.

    Attributes:
        folder: The instance's ``Context.folder``.
    """

    folder: Path

    @property
    def session(self) -> Path:
        """The library's database: the link itself, as secret as a password. In a folder 0700, itself 0600."""
        return self.folder / "session" / "session.db"

    @property
    def spool(self) -> Path:
        """The child's database: what was received and not delivered, what became of sends, what may be quoted."""
        return self.folder / "spool.db"

    @property
    def media(self) -> Path:
        """Files that came with messages, until ``deliver`` has moved them."""
        return self.folder / "media"

    @property
    def names(self) -> Path:
        """The transport's database: who goes by which names, and which chats have written."""
        return self.folder / "names.db"

    @property
    def account(self) -> Path:
        """JSON: what is linked (``AccountNote``), written by ``link``, removed when the account is logged out."""
        return self.folder / "account.json"

    @property
    def standing(self) -> Path:
        """JSON: how the link stands (``Standing``), for ``nanokimi whatsapp status``, and a ban's end."""
        return self.folder / "standing.json"

    @property
    def child_lock(self) -> Path:
        """Locked (flock) by the child for as long as it uses the session: there is never a second one."""
        return self.folder / "child.lock"

    @property
    def command_lock(self) -> Path:
        """Locked (flock) by a command that needs the session: the transport ends its child until it is free again."""
        return self.folder / "command.lock"

    @property
    def log(self) -> Path:
        """What the child writes on stderr, the library's own lines; begun anew when it is larger than 1 MB."""
        return self.folder / "child.log"
