"""A login server and a model API of the rig's own, on this machine: refresh tokens rotate, and a spent one ends all."""

from __future__ import annotations

import base64
import json
import secrets
import time
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

_LONGEST = 65_536
_LIFE = 900


class RigServer:
    """The servers.

    Args:
        handed_out: Gets every token that is made.

    Attributes:
        port: Where they listen.
    """

    def __init__(self, handed_out: list[str]) -> None:
        self.port = 0
        self._handed_out = handed_out
        self._living: set[str] = set()

    @property
    def root(self) -> str:
        """Their address, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener:
            self.port = listener.extra(SocketAttribute.local_port)  # noqa: S610  # anyio's, not Django's
            task_status.started()
            await listener.serve(self._talk)

    def issue(self) -> dict[str, Any]:
        """Log somebody in, and give what ``kimi login`` writes."""
        login = {"access_token": self._token(), "refresh_token": self._token(), "expires_in": _LIFE}
        self._living.add(str(login["refresh_token"]))
        # Each ends later than the one before, so that none is taken for an older copy of another.
        ends = int(time.time()) + _LIFE + len(self._handed_out)
        return login | {"expires_at": ends, "scope": "kimi-code", "token_type": "Bearer"}

    def _token(self) -> str:
        claims = base64.urlsafe_b64encode(json.dumps({"user_id": "u1"}).encode()).decode().rstrip("=")
        token = f"eyJhbGciOiJub25lIn0.{claims}.{secrets.token_urlsafe(32)}"
        self._handed_out.append(token)
        return token

    async def _talk(self, stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.DelimiterNotFound):
                received = BufferedByteReceiveStream(stream)
                head = (await received.receive_until(b"\r\n\r\n", _LONGEST)).decode("latin-1")
                body = (await received.receive_exactly(_length(head))).decode("latin-1")
                status, answer = self._answer(head.split(" ")[1], body)
                data = json.dumps(answer).encode()
                await stream.send(
                    f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nConnection: close\r\n"
                    f"Content-Length: {len(data)}\r\n\r\n".encode()
                    + data
                )

    def _answer(self, path: str, body: str) -> tuple[int, dict[str, Any]]:
        if path.endswith("/models"):
            return 200, {"data": [{"id": "kimi-for-coding"}]}
        if not path.endswith("/token"):
            return 404, {"error": {"message": "there is nothing here"}}
        token = parse_qs(body).get("refresh_token", [""])[0]
        if token not in self._living:
            return 400, {"error": "invalid_grant", "error_description": "the refresh token is spent"}
        self._living.discard(token)
        return 200, {name: value for name, value in self.issue().items() if name != "expires_at"}


def _length(head: str) -> int:
    lines = (line.partition(":") for line in head.split("\r\n"))
    return next((int(value) for name, _, value in lines if name.lower() == "content-length"), 0)
