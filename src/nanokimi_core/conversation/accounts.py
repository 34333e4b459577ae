"""The accounts of a chat: a chain of auth plugins behind one face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from nanokimi_core.contracts.auth import Auth, AuthStatus, Grant, Need
from nanokimi_core.errors import LoginNeeded, PluginError
from nanokimi_core.supervision import guarded, traced

_LONGEST = 120.0


class AccountFault(PluginError):
    """An auth plugin does something else than it should."""


class Account:
    """The chain of auth instances that the toml gives a chat; the first one with valid credentials serves.

    It remembers what it was asked for and what it gave, so that the core sees when a running agent must be restarted.

    Args:
        chain: Gives the instances with their names, in the toml's order; asked each time, so that it follows a
            reload.
        keep_secret: Gets every secret that passes, so that no log shows it.
    """

    def __init__(self, chain: Callable[[], Sequence[tuple[str, Auth]]], keep_secret: Callable[[str], None]) -> None:
        self._chain = chain
        self._keep_secret = keep_secret
        self._need: Need | None = None
        self._source: tuple[str, Auth] | None = None
        self.fingerprint: str | None = None

    async def grant(self, need: Need) -> Grant:
        """Give the grant of the first account that has one.

        Raises:
            LoginNeeded: None has; the text has the remedy of each.
            AccountFault: An auth plugin has a fault; it is named, so that the backend isn't blamed.
        """
        self._need = need
        reasons = []
        for name, auth in self._chain():
            try:
                grant = await guarded(
                    partial(auth.grant, need), plugin=name, doing="to give a grant", within=_LONGEST, returns=Grant
                )
            except LoginNeeded as error:
                reasons.append(f"{name}: {error}")
                continue
            except Exception as error:
                raise _fault(name, error) from error
            if grant.api_key is not None:
                self._keep_secret(grant.api_key.get_secret_value())
            self._source, self.fingerprint = (name, auth), f"{name}:{grant.fingerprint}"
            return grant
        raise LoginNeeded("; ".join(reasons) or 'no account is chosen; set auth = "apikey" in nanokimi.toml')

    async def changed_since(self, fingerprint: str | None) -> bool:
        """Ask again for what was asked last; whether the answer differs from ``fingerprint``.

        Raises:
            LoginNeeded: No account has valid credentials any more.
        """
        if self._need is None:
            return False
        await self.grant(self._need)
        return self.fingerprint != fingerprint

    async def rejected(self, grant: Grant, why: str) -> None:
        """Tell the account that gave the last grant that its server refused it.

        Raises:
            AccountFault: The auth plugin has a fault.
        """
        if self._source is None:
            return
        name, auth = self._source
        try:
            await guarded(partial(auth.rejected, grant, why), plugin=name, doing="to take a refusal", within=_LONGEST)
        except Exception as error:
            raise _fault(name, error) from error

    async def status(self) -> AuthStatus:
        """Say how the account stands that would serve now: the first that is usable, else the first."""
        states = [await auth.status() for _, auth in self._chain()]
        usable = (status for status in states if status.state in ("ok", "expiring"))
        first = states[0] if states else AuthStatus("login_needed", remedy='set auth = "apikey" in nanokimi.toml')
        return next(usable, first)


def _fault(name: str, error: Exception) -> AccountFault:
    said = error.message if isinstance(error, PluginError) else traced(error)
    return AccountFault(f'the account "{name}" has a fault: {said}', remedy="mend or update its plugin, or change auth")
