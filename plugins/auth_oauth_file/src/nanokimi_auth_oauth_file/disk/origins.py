"""Which login server each stored login is from."""

from __future__ import annotations

import json
from pathlib import Path

from nanokimi_core import write_private

_FILE = "origins.json"
_LARGEST = 65_536


class Origins:
    """A note, in the instance's own folder, of the server that each login was first used with or imported for.

    A refresh token that reaches another server is refused there, and kimi-code then empties the file: the login is
    lost although nothing was wrong with it. So a login isn't used with another server than its own.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE

    def of(self, name: str) -> str | None:
        """Say which server a login is from, where that is known."""
        return self._read().get(name)

    def note(self, name: str, host: str, *, formerly: str | None = None) -> None:
        """Write down which server a login is from; ``formerly`` is the name that it had."""
        before = self._read()
        after = {each: server for each, server in before.items() if each != formerly} | {name: host}
        if after != before:
            write_private(self._file, json.dumps(after).encode())

    def _read(self) -> dict[str, str]:
        try:
            with self._file.open("rb") as file:
                found = json.loads(file.read(_LARGEST))
        except (OSError, ValueError):
            return {}
        return {str(name): str(server) for name, server in found.items()} if isinstance(found, dict) else {}
