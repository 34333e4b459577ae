"""What an account's server has refused, remembered for ``nanokimi auth status``, which is a process of its own."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from nanokimi_core.files import write_private

_FILE = "refused.json"
_LARGEST = 65_536


class Refusals:
    """The last refusal of an auth instance, with a mark (a hash) of the key or login that was refused.

    Args:
        folder: The instance's own.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE

    def note(self, mark: str, why: str) -> None:
        """Write down that the server refused what has this mark; a full disk loses the note, and nothing else."""
        said = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {why}"
        with suppress(OSError):
            write_private(self._file, json.dumps({"mark": mark, "said": said}).encode())

    def of(self, mark: str) -> str | None:
        """Say when and why the server refused what has this mark; ``None`` where it didn't."""
        try:
            with self._file.open("rb") as file:
                found = json.loads(file.read(_LARGEST))
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict) or found.get("mark") != mark:
            return None
        return str(found.get("said", ""))
