"""An auth plugin that takes keys and logins."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
from pydantic import SecretStr

from nanokimi_core import (
    Auth,
    AuthStatus,
    ConfigError,
    Context,
    Grant,
    LoginNeeded,
    Need,
    NoConfig,
    Spec,
    hookimpl,
    write_private,
)


class Vault:
    def __init__(self, config: NoConfig, context: Context) -> None:
        self.key = context.folder / "key"
        self.login = context.folder / "login"

    async def grant(self, need: Need) -> Grant:
        raise LoginNeeded("the vault lends nothing")

    async def rejected(self, grant: Grant, why: str) -> None:
        """Do nothing."""

    async def status(self) -> AuthStatus:
        if not self.key.exists():
            return AuthStatus("login_needed", remedy="nanokimi auth set-key", details={"cause": "the vault is empty"})
        return AuthStatus("ok", f"…{self.key.read_text()[-4:]}")

    async def set_key(self, key: SecretStr) -> AuthStatus:
        if key.get_secret_value().startswith("bad"):
            raise ConfigError(f"a key can't begin with bad ({key.get_secret_value()})", remedy="type another")
        write_private(self.key, key.get_secret_value().encode())
        return await self.status()

    async def import_login(self, file: Path) -> AuthStatus:
        data = await anyio.Path(file).read_bytes()
        if not json.loads(data).get("access_token"):
            raise ConfigError(f"{file} holds no login", remedy="log in again")
        write_private(self.login, data)
        return AuthStatus("ok", "Ana")


@hookimpl
def nanokimi_auths() -> list[Spec[Auth]]:
    return [Spec("vault", Vault)]
