"""The plugin as the conformance suite tries it: logins as ``kimi login`` writes them, with tokens of the rig's own."""

from __future__ import annotations

import base64
import json
import secrets
import time
from pathlib import Path
from typing import Any

from nanokimi_auth_oauth_file import nanokimi_auths
from nanokimi_core import private_folder, write_private
from nanokimi_core.testing import AuthRig


class OAuthFileRig(AuthRig):
    """A login in the instance's folder."""

    (spec,) = nanokimi_auths()

    async def give(self, name: str = "tried") -> None:
        """Store a login."""
        write_private(self._file(name), self._login())

    async def lose(self, name: str = "tried") -> None:
        """Take it away."""
        self._file(name).unlink(missing_ok=True)

    async def spoil(self, name: str = "tried") -> None:
        """Tear the file apart."""
        write_private(self._file(name), self._login()[:-10])

    def login_file(self) -> Path:
        """Write the file of another machine's login."""
        return self._brought(self._login())

    def wrong_login_file(self) -> Path:
        """Write the file of a login that can't be refreshed."""
        return self._brought(self._login(refresh_token=""))

    def _file(self, name: str) -> Path:
        return private_folder(self.home(name) / "credentials") / "kimi-code.json"

    def _login(self, **changes: Any) -> bytes:
        login = {
            "access_token": self._token(),
            "refresh_token": self._token(),
            "expires_at": int(time.time()) + 900 + len(self.canaries),
            "scope": "kimi-code",
            "token_type": "Bearer",
            "expires_in": 900,
        }
        return json.dumps(login | changes).encode()

    def _token(self) -> str:
        claims = base64.urlsafe_b64encode(json.dumps({"user_id": "u1"}).encode()).decode().rstrip("=")
        token = f"eyJhbGciOiJub25lIn0.{claims}.{secrets.token_urlsafe(32)}"
        self.canaries.append(token)
        return token

    def _brought(self, login: bytes) -> Path:
        file = self.folder / f"brought{len(self.canaries)}.json"
        write_private(file, login)
        return file
