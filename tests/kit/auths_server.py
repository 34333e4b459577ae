"""A club's server: it shows codes, hands out tokens when a member has confirmed, and rotates them."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

_LONGEST = 10_000


@dataclass
class ClubServer:
    """What it knows. A request is one JSON object in a line, and so is the answer."""

    port: int = 0
    seconds: float = 600  # that a code counts
    refresh: set[str] = field(default_factory=set)
    handed_out: list[str] = field(default_factory=list)
    _decided: dict[str, str] = field(default_factory=dict)
    _codes: dict[str, str] = field(default_factory=dict)

    async def serve(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610  # anyio's, not Django's
        async with listener:
            task_status.started()
            await listener.serve(self._talk)

    def issue(self) -> dict[str, Any]:
        """Hand out a pair of tokens."""
        pair = {"access": f"access-{secrets.token_hex(12)}", "refresh": f"refresh-{secrets.token_hex(12)}"}
        self.refresh.add(pair["refresh"])
        self.handed_out += pair.values()
        return pair

    def decide(self, code: str, answer: str) -> None:
        self._decided[self._codes[code]] = answer

    async def _talk(self, stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                request = json.loads(await BufferedByteReceiveStream(stream).receive_until(b"\n", _LONGEST))
                await stream.send(json.dumps(self._answer(request)).encode() + b"\n")

    def _answer(self, request: dict[str, str]) -> dict[str, Any]:
        if request["do"] == "begin":
            device, code = secrets.token_hex(8), secrets.token_hex(4)
            self._codes[code] = device
            return {"device": device, "code": code, "seconds": self.seconds}
        if request["do"] == "poll":
            answer = self._decided.get(request["device"], "waiting")
            return self.issue() if answer == "confirmed" else {"state": answer}
        if request["refresh"] in self.refresh:
            self.refresh.remove(request["refresh"])
            return self.issue()
        return {"state": "revoked"}
