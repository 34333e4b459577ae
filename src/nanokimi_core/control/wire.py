"""JSON objects, one a line, both ways over a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from nanokimi_core.errors import CommandError, NanoKimiError

LONGEST_REQUEST = 2**20
"""Bytes in a line that a command sends."""

LONGEST_ANSWER = 16 * 2**20
"""Bytes in a line that the process sends; the longest text of the console fits."""


class Gone(Exception):
    """The other side has left."""


class Garbage(Exception):
    """A line that is no JSON object, or too long; what comes after it can't be trusted."""


class Wire:
    """One side of a connection.

    Args:
        stream: Belongs to the wire.
        longest: Bytes in a line that is received.
    """

    def __init__(self, stream: ByteStream, *, longest: int) -> None:
        self._stream = stream
        self._lines = BufferedByteReceiveStream(stream)
        self._longest = longest
        self._one_at_a_time = anyio.Lock()
        self._torn = False

    async def send(self, value: Mapping[str, Any]) -> None:
        """Send an object.

        Raises:
            Gone: The other side has left.
        """
        data = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        async with self._one_at_a_time:
            if self._torn:
                raise Gone
            self._torn = True  # until the line is whole: a cancelled sender leaves half a line behind
            try:
                await self._stream.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                raise Gone from error
            self._torn = False

    async def receive(self) -> dict[str, Any]:
        """Wait for an object.

        Raises:
            Gone: The other side has left.
            Garbage: It sent something else.
        """
        try:
            line = await self._lines.receive_until(b"\n", self._longest)
        except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise Gone from error
        except anyio.DelimiterNotFound as error:
            raise Garbage(f"a line is longer than {self._longest} bytes") from error
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Garbage("a line is no JSON") from error
        if not isinstance(value, dict):
            raise Garbage("a line is no JSON object")
        return value

    async def aclose(self) -> None:
        """Leave."""
        await self._stream.aclose()

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def as_value(error: NanoKimiError) -> dict[str, Any]:
    """Write an error down for the other side."""
    return {"message": error.message, "remedy": error.remedy, "code": error.exit_code}


def as_error(value: Any) -> NanoKimiError:
    """Read an error of the other side: the same sentence and exit code."""
    told = value if isinstance(value, dict) else {}
    error = CommandError(
        str(told.get("message", "the running process gave no reason")), remedy=str(told.get("remedy", ""))
    )
    code = told.get("code")
    error.exit_code = code if isinstance(code, int) and 0 < code < 256 else CommandError.exit_code
    return error
