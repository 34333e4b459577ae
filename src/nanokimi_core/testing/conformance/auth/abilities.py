"""What the rig of an auth plugin may be able to do, each a protocol of its own; checks that need it apply then.

``give`` and ``lose`` are all that a rig must have. Every secret that one of these makes goes into ``canaries``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from nanokimi_core.contracts.auth import ShowCode


@runtime_checkable
class Confirms(Protocol):
    """A person who logs in: the plugin is to offer ``LogsIn``."""

    async def confirm(self, shown: ShowCode) -> None:
        """Open the page, enter the code and agree. The secrets that come of it go into ``canaries``."""
        ...


@runtime_checkable
class Declines(Protocol):
    """A person who doesn't agree to a login, where the server tells the plugin so."""

    async def decline(self, shown: ShowCode) -> None:
        """Open the page, enter the code and refuse."""
        ...


@runtime_checkable
class HasKeys(Protocol):
    """An account with keys: the plugin is to offer ``TakesKey``."""

    def new_key(self) -> str:
        """Make a good key; each time another."""
        ...

    def wrong_key(self) -> str:
        """Make a text that can't be a key of this account, as a person may type it."""
        ...


@runtime_checkable
class HasLoginFiles(Protocol):
    """An account whose login can be brought from another machine: the plugin is to offer ``ImportsLogin``."""

    def login_file(self) -> Path:
        """Write a good credentials file somewhere; each time another login."""
        ...

    def wrong_login_file(self) -> Path:
        """Write a file that holds no login of this account, but a secret."""
        ...


@runtime_checkable
class Expires(Protocol):
    """An account whose credentials end, and which the plugin renews by itself."""

    async def expire(self, name: str = "tried") -> None:
        """End what the instance has, so that the next grant has to renew it. New secrets go into ``canaries``."""
        ...


@runtime_checkable
class Spoils(Protocol):
    """An account whose credentials lie somewhere where they can be damaged."""

    async def spoil(self, name: str = "tried") -> None:
        """Damage the instance's credentials so that they can't be used, and leave a secret in what is left of them."""
        ...
