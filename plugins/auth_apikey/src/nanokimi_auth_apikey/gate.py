"""What kimi-cli wants to see before it works with an API key."""

from __future__ import annotations

import json
from pathlib import Path

from nanokimi_core import Mount, Need, write_private

_FOLDER = "kimi-cli-credentials"
_FILE = "kimi-code.json"
_CONTENT = json.dumps(
    {"access_token": "none", "refresh_token": "", "expires_at": 0, "scope": "", "token_type": "", "expires_in": 0}
).encode()


def gate(folder: Path, need: Need) -> tuple[Mount, ...]:
    """Give the mount that lets kimi-cli open a session without a login; other agents need none.

    Seen with kimi-cli 1.51.0: ``kimi acp`` answers ``session/new`` and ``session/load`` with "Authentication
    required" unless ``credentials/kimi-code.json`` in its home has an ``access_token`` that isn't empty and, where
    ``refresh_token`` is empty, an ``expires_at`` that is 0 or lies ahead. It looks at nothing else, whatever the
    provider; with ``api_key`` and no ``oauth`` in the provider's table, only the key is sent to the server. The
    file is no secret, so that everybody may read it: it needs no owner to be visible in a container.
    """
    if need.agent != "kimi-cli":
        return ()
    source = folder.absolute() / _FOLDER
    source.mkdir(mode=0o755, exist_ok=True)
    source.chmod(0o755)
    file = source / _FILE
    if not file.is_file() or file.read_bytes() != _CONTENT or file.stat().st_mode & 0o777 != 0o644:
        write_private(file, _CONTENT, mode=0o644)
    return (Mount(source, need.agent_home / "credentials"),)
