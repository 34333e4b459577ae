"""What NanoKimi itself asks the model API: ``GET {base_url}/models`` after a login, and ``GET {base_url}/usages``.

Both are sent with the login's access token and the headers of ``server.identity``, which say that it is NanoKimi that
asks. Redirects aren't followed. It never asks for a completion.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import httpx
from pydantic import SecretStr

from nanokimi_auth_oauth_file.keeping.server import identity

_LARGEST = 1_048_576
_MOST_MODELS = 50
_LONGEST_ID = 80


class NoAnswer(Exception):
    """The server gave none that can be used; the text says why, and holds no secret.

    Attributes:
        status: Of the response, where there was one.
    """

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status


class ModelApi:
    """An account's model API.

    Args:
        base_url: Without a slash at its end.
        folder: The instance's own.
    """

    def __init__(self, base_url: str, folder: Path) -> None:
        self._base_url = base_url
        self._folder = folder

    async def get(self, path: str, token: SecretStr, *, within: float = 10.0) -> Any:
        """Ask for a JSON document.

        Args:
            path: ``/models``, ``/usages``.
            token: The access token.
            within: Seconds for all of it.

        Raises:
            NoAnswer: None came, or another status than 200, or no JSON.
        """
        headers = await anyio.to_thread.run_sync(identity, self._folder)
        headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        said = f"it gave no answer within {within:g} s"
        with anyio.move_on_after(within):
            try:
                async with (
                    httpx.AsyncClient(timeout=within, headers=headers) as client,
                    client.stream("GET", self._base_url + path) as response,
                ):
                    return _read(response.status_code, await _body(response))
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
                said = f"it can't be reached ({type(error).__name__})"
        raise NoAnswer(said)

    async def models(self, token: SecretStr) -> list[str]:
        """Ask which models an account has; gives the server's ids.

        Raises:
            NoAnswer: It can't be learned.
        """
        found = await self.get("/models", token)
        listed = found.get("data") if isinstance(found, dict) else None
        if not isinstance(listed, list):
            raise NoAnswer("its answer lists no models")
        ids = (each.get("id") for each in listed[:_MOST_MODELS] if isinstance(each, dict))
        return [each for each in ids if isinstance(each, str) and 0 < len(each) <= _LONGEST_ID and each.isprintable()]


async def _body(response: httpx.Response) -> bytes:
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _LARGEST:
            raise NoAnswer(f"its answer is larger than {_LARGEST} bytes")
    return body


def _read(status: int, body: bytes) -> Any:
    if status != 200:
        raise NoAnswer(f"it answered {status}", status)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        said = "its answer is not JSON"
    raise NoAnswer(said)
