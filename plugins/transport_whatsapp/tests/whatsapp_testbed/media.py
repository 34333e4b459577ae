"""The media host: takes sealed files and gives them back, over HTTP/1.1; and its troubles."""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from whatsapp_testbed.questions import MEDIA_HOST

_HEAD_BYTES = 16_384
_MOST_BYTES = 256 << 20
_MOST_FILES = 500
_IDLE_SECONDS = 60
_BLOCK = 65_536


@dataclass
class MediaHost:
    """The host's files and its state; the four last are for tests to set, as ``server.media``.

    Attributes:
        files: What was uploaded, by path; the oldest is forgotten.
        uploads: How many uploads were taken.
        downloads: How many files were handed out.
        refused: How many downloads were not.
        refuse_downloads: The HTTP status that every download gets instead of its file; 0 for none.
        refuse_uploads: The same for uploads.
        delay: Seconds before each answer.
        padding: How many zero bytes follow each file.
    """

    files: OrderedDict[str, bytes]
    uploads: int = 0
    downloads: int = 0
    refused: int = 0
    refuse_downloads: int = 0
    refuse_uploads: int = 0
    delay: float = 0
    padding: int = 0

    def heal(self) -> None:
        """End all troubles."""
        self.refuse_downloads = self.refuse_uploads = self.padding = 0
        self.delay = 0

    async def serve(self, stream: ByteStream) -> None:
        """Answer one client's requests until it goes.

        Raises:
            anyio.EndOfStream: The client has gone.
        """
        reader = BufferedByteReceiveStream(stream)
        while True:
            with anyio.fail_after(_IDLE_SECONDS):
                head = (await reader.receive_until(b"\r\n\r\n", _HEAD_BYTES)).decode("latin-1")
                body = await reader.receive_exactly(min(_length(head), _MOST_BYTES))
            method, target, _ = head.split(" ", 2)
            await anyio.sleep(self.delay)
            if method == "POST":
                await self._take(stream, body)
            else:
                await self._give(stream, target.partition("?")[0])

    async def _take(self, stream: ByteStream, body: bytes) -> None:
        if self.refuse_uploads:
            await _answer(stream, self.refuse_uploads)
            return
        path = f"/v/t62/{secrets.token_hex(8)}.enc"
        self.files[path] = body
        self.uploads += 1
        if len(self.files) > _MOST_FILES:
            self.files.popitem(last=False)
        place = f"{path}?oh=1"
        told = {"url": f"https://{MEDIA_HOST}{place}", "direct_path": place, "handle": "handle"}
        await _answer(stream, 200, json.dumps(told).encode())

    async def _give(self, stream: ByteStream, path: str) -> None:
        if self.refuse_downloads or path not in self.files:
            self.refused += 1
            await _answer(stream, self.refuse_downloads or 404)
            return
        self.downloads += 1
        await _answer(stream, 200, self.files[path], self.padding)


async def _answer(stream: ByteStream, status: int, body: bytes = b"", padding: int = 0) -> None:
    await stream.send(f"HTTP/1.1 {status} Testbed\r\nContent-Length: {len(body) + padding}\r\n\r\n".encode() + body)
    block = bytes(_BLOCK)
    for start in range(0, padding, _BLOCK):
        await stream.send(block[: padding - start])


def _length(head: str) -> int:
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0
