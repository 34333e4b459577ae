"""What a refusal of the model API's means, and an account that has nothing left."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from nanokimi_core import Quota, write_private

Meaning = Literal["credentials", "quota", "forbidden", "passing"]

_CODE = re.compile(r"(?<![\w.:/-])(401|402|403|429|5\d\d)\b(?![.:/-]\d)")
_USED_UP = re.compile(r"quota|usage limit|billing|balance|recharge|membership|\bplan\b", re.IGNORECASE)
_FILE = "used_up.json"
_LARGEST = 65_536
_UNKNOWN = timedelta(hours=1)
_WORKED = timedelta(minutes=10)


def meaning_of(why: str) -> Meaning:
    """Say what a refusal means: only ``credentials`` can be mended by a refresh.

    By the answers of Moonshot's servers: 401 is of the token; 402, and 403 and 429 that speak of a quota, a limit or a
    plan, are of what the account has left; another 403 forbids it the model; another 429, and 5xx, pass by themselves.
    """
    found = _CODE.search(why)
    code = int(found[1]) if found else None
    if code == 401:
        return "credentials"
    if code == 402 or (code in (403, 429, None) and _USED_UP.search(why)):
        return "quota"
    if code == 403:
        return "forbidden"
    return "credentials" if code is None else "passing"


@dataclass(frozen=True)
class Shortage:
    """An account that has nothing left.

    Attributes:
        said: When and why, in the server's words; no secret.
        until: When it has something again.
        known: Whether the server named that time.
    """

    said: str
    until: datetime
    known: bool


class Shortages:
    """The last time that the server said so, kept in the instance's folder: commands are processes of their own.

    It is over when the limit's time of reset has come, when a look-up shows that something is left, or when a turn
    seems to have worked: a grant of ten minutes ago that nobody refused. Where no time of reset is known it is over
    after an hour; the server says it again if it isn't.

    Args:
        folder: The instance's own.
        clock: The time of day, in seconds since 1970.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._file = folder / _FILE
        self._clock = clock
        self._tried_at: float | None = None

    def note(self, why: str, quotas: Sequence[Quota]) -> None:
        """Write down that the server said so; a full disk loses the note, and nothing else."""
        now = self._present()
        self._tried_at = None
        self._write(f"{now:%Y-%m-%d %H:%M} UTC: {why}", _reset(quotas, now), now + _UNKNOWN)

    def looked_up(self, quotas: Sequence[Quota]) -> None:
        """Compare the note with what the server now says is left."""
        found = self.now()
        if found is None or not quotas:
            return
        reset = _reset(quotas, self._present())
        if reset is not None:
            self._write(found.said, reset, found.until)
        elif not any(quota.used is not None and quota.used >= 1 for quota in quotas):
            self.end()

    def granted(self) -> None:
        """Hear that somebody tries the account."""
        if self._tried_at is not None and self._clock() - self._tried_at > _WORKED.total_seconds():
            self.end()
        elif self._tried_at is None and self.now() is not None:
            self._tried_at = self._clock()

    def end(self) -> None:
        """Forget the note."""
        self._tried_at = None
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def now(self) -> Shortage | None:
        """Say what the note says; ``None`` where the account has something left."""
        try:
            with self._file.open("rb") as file:
                found: Any = json.loads(file.read(_LARGEST))
            until = datetime.fromtimestamp(float(found["until"]), UTC)
            shortage = Shortage(str(found["said"]), until, bool(found["known"]))
        except (OSError, ValueError, OverflowError, TypeError, KeyError, RecursionError):
            return None
        return shortage if shortage.until > self._present() else None

    def _present(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _write(self, said: str, reset: datetime | None, otherwise: datetime) -> None:
        note = {"said": said, "until": (reset or otherwise).timestamp(), "known": reset is not None}
        with suppress(OSError):
            write_private(self._file, json.dumps(note).encode())


def _reset(quotas: Sequence[Quota], now: datetime) -> datetime | None:
    """Say when everything that is used up now is whole again, where that is known."""
    resets = [quota.resets_at for quota in quotas if quota.used is not None and quota.used >= 1 and quota.resets_at]
    return max((reset for reset in resets if reset > now), default=None)
