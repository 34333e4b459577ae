"""The plugin as the conformance suite tries it: keys in the instance's folder, where ``auth set-key`` puts them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self

from nanokimi_auth_apikey import nanokimi_auths
from nanokimi_auth_apikey.keys import DEFAULT_VARIABLE, STORED_NAME
from nanokimi_core import Need, write_private
from nanokimi_core.testing import AuthRig


class ApiKeyRig(AuthRig):
    """A key of Moonshot's platform."""

    (spec,) = nanokimi_auths()
    prefix: ClassVar[str] = "sk-"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.found: str | None = None

    async def __aenter__(self) -> Self:
        """Put the environment's own key away, which would go before what the rig gives."""
        self.found = os.environ.pop(DEFAULT_VARIABLE, None)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Put it back."""
        if self.found is not None:
            os.environ[DEFAULT_VARIABLE] = self.found

    def table(self) -> Mapping[str, Any]:
        """Ask no server: these keys are made up."""
        return {"usage_minutes": 0}

    async def give(self, name: str = "tried") -> None:
        """Store a key."""
        write_private(self.home(name) / STORED_NAME, f"{self.new_key()}\n".encode())

    async def lose(self, name: str = "tried") -> None:
        """Take it away."""
        (self.home(name) / STORED_NAME).unlink(missing_ok=True)

    async def spoil(self, name: str = "tried") -> None:
        """Store a key with a line too many."""
        write_private(self.home(name) / STORED_NAME, f"{self.new_key()}\n{self.new_key()}\n".encode())

    def new_key(self) -> str:
        """Make a key of the account."""
        return self._noted(f"{self.prefix}{secrets.token_hex(16)}")

    def wrong_key(self) -> str:
        """Make a key as it is copied with too much around it."""
        return self._noted(f"Bearer {self.prefix}{secrets.token_hex(16)}")

    def _noted(self, key: str) -> str:
        self.canaries.append(key)
        return key


class MemberKeyRig(ApiKeyRig):
    """A Kimi Code member's key, for kimi-cli, which wants to see a file besides."""

    prefix: ClassVar[str] = "sk-kimi-"
    need: ClassVar[Need] = Need("kimi-cli", PurePosixPath("/home/node/.kimi"), ApiKeyRig.need.user)

    def table(self) -> Mapping[str, Any]:
        """Choose the member's account."""
        return {"account": "kimi-code", **super().table()}
