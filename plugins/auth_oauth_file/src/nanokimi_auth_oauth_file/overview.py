"""All that is known of an account on disk, put together for its status."""

from __future__ import annotations

from nanokimi_auth_oauth_file import standing
from nanokimi_auth_oauth_file.disk.store import Stored
from nanokimi_auth_oauth_file.keeping.journal import Refused
from nanokimi_auth_oauth_file.keeping.state import read_state
from nanokimi_auth_oauth_file.model_api.refused import Shortages
from nanokimi_auth_oauth_file.model_api.refusing import Refusing
from nanokimi_auth_oauth_file.model_api.usage import Usages
from nanokimi_auth_oauth_file.serving import Serving
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import AuthStatus, Context


class Overview:
    """Looks at what the running process, or another one, has left on disk. Blocking; asks no server.

    Args:
        settings: Of the instance.
        context: Of the instance.
        serving: Whom it was shown to; ``None`` where containers share the login's own directories.
        refusing: What was refused.
        usages: What was left.
        shortages: That nothing was left.
    """

    def __init__(
        self,
        settings: Settings,
        context: Context,
        serving: Serving | None,
        refusing: Refusing,
        usages: Usages,
        shortages: Shortages,
    ) -> None:
        self._settings = settings
        self._context = context
        self._serving = serving
        self._refusing = refusing
        self._usages = usages
        self._shortages = shortages

    def of(self, stored: Stored) -> AuthStatus:
        """Say how a login stands that can be used."""
        status = standing.describe(stored, self._settings)
        if stored.login is None:
            return status
        if self._serving is not None:
            refused = Refused(self._context.folder, self._context.installation).cause(stored.login.refresh_token)
            status = standing.kept(status, stored.login, read_state(self._context.folder), refused)
        if status.state != "login_needed" and (said := self._refusing.of(stored.login)) is not None:
            status = standing.rejected(status, said)
        elif status.state != "login_needed" and (shortage := self._shortages.now()) is not None:
            status = standing.short(status, shortage)
        return standing.with_usage(status, self._usages.last())

    def set_up(self) -> dict[str, str]:
        """Say what the toml has chosen, and who uses it."""
        settings = self._settings
        details = {"oauth_host": settings.host, "base_url": settings.endpoint, "model": settings.model}
        details["credentials"] = settings.credentials
        details["refresher"] = "the agents" if self._serving is None else settings.refresher
        if self._serving is not None and (users := self._serving.users()):
            details["served_to"] = ", ".join(users)
        return details
