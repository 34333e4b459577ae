"""What the account has left: asked at intervals where the server tells, and kept for ``nanokimi auth status``."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anyio import to_thread
from pydantic import SecretStr

from nanokimi_auth_oauth_file.model_api.api import ModelApi, NoAnswer
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_core import Quota, quotas_of, write_private

_KNOWS = "/coding/v1"
_FILE = "usage.json"
_LARGEST = 65_536
_MOST = 16


@dataclass(frozen=True)
class Usage:
    """What an account had left.

    Attributes:
        quotas: In the server's words.
        at: When it was asked.
    """

    quotas: tuple[Quota, ...]
    at: datetime


class Usages:
    """Asks Kimi Code's ``/usages``, and remembers the last answer in the instance's folder.

    Args:
        settings: Of the instance.
        folder: The instance's own.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._api = ModelApi(settings.endpoint, folder)
        self._file = folder / _FILE
        self._tells = settings.usage_minutes > 0 and settings.endpoint.endswith(_KNOWS)

    @property
    def tells(self) -> bool:
        """Whether the server is one that tells, and the toml wants to know."""
        return self._tells

    async def ask(self, token: SecretStr) -> tuple[Quota, ...]:
        """Ask the server; gives nothing where it doesn't tell now, and asks no more where it has no such page."""
        try:
            answer = await self._api.get("/usages", token)
        except NoAnswer as none:
            self._tells = self._tells and none.status != 404
            return ()
        quotas = quotas_of(answer)
        if quotas:
            await to_thread.run_sync(self._keep, quotas)
        return quotas

    def last(self) -> Usage | None:
        """Give the last answer; ``None`` where there is none."""
        try:
            with self._file.open("rb") as file:
                found: Any = json.loads(file.read(_LARGEST))
            quotas = tuple(_quota(each) for each in found["quotas"][:_MOST])
            return Usage(quotas, datetime.fromtimestamp(float(found["at"]), UTC))
        except (OSError, ValueError, OverflowError, TypeError, KeyError, RecursionError):
            return None

    def forget(self) -> None:
        """Forget the last answer: it was about another account."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _keep(self, quotas: tuple[Quota, ...]) -> None:
        listed = [
            {
                "name": quota.name,
                "used": quota.used,
                "left": quota.left,
                "resets_at": quota.resets_at.timestamp() if quota.resets_at else None,
            }
            for quota in quotas
        ]
        with suppress(OSError):
            write_private(self._file, json.dumps({"at": time.time(), "quotas": listed}).encode())


def _quota(found: Any) -> Quota:
    used, resets = found["used"], found["resets_at"]
    part = None if used is None else float(used)
    if part is not None and not (math.isfinite(part) and 0 <= part <= 1):
        raise ValueError("used is no part")
    at = None if resets is None else datetime.fromtimestamp(float(resets), UTC)
    return Quota(str(found["name"]), part, str(found["left"]), at)
