"""The account of the chats that a check makes: its key can change, be taken away, and be refused."""

from __future__ import annotations

from collections.abc import Callable

from nanokimi_core.contracts.auth import Auth, AuthStatus, Grant, Need
from nanokimi_core.errors import LoginNeeded

NO_LOGIN = "there is no key any more; set one with: nanokimi auth set-key"


class RigAccount(Auth):
    """An ``Auth`` that gives what the rig's ``grant`` makes of a key.

    Args:
        new_key: Makes a good key.
        grant: Makes a grant of a key.

    Attributes:
        key: What is granted; ``None`` means that somebody must log in.
        keys: All that were granted so far, which nobody may see.
        grants: How often it was asked.
        rejections: What it was told of a server's refusals.
    """

    def __init__(self, new_key: Callable[[], str], grant: Callable[[str, Need], Grant]) -> None:
        self._new_key, self._grant = new_key, grant
        self.key: str | None = None
        self.keys: list[str] = []
        self.grants = 0
        self.rejections: list[str] = []
        self.change()

    def change(self) -> str:
        """Go over to another key, and give it."""
        self.key = self._new_key()
        self.keys.append(self.key)
        return self.key

    async def grant(self, need: Need) -> Grant:
        """Give a grant.

        Raises:
            LoginNeeded: There is no key.
        """
        self.grants += 1
        if self.key is None:
            raise LoginNeeded(NO_LOGIN)
        return self._grant(self.key, need)

    async def rejected(self, grant: Grant, why: str) -> None:
        """Note a refusal."""
        self.rejections.append(why)

    async def status(self) -> AuthStatus:
        """Say whether there is a key."""
        return AuthStatus("ok" if self.key else "login_needed")
