"""The way in: an HTTP proxy that is every host of WhatsApp itself, and knows no other."""

from __future__ import annotations

import contextlib

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSStream

from whatsapp_testbed.certificates import Tls
from whatsapp_testbed.connection import GONE, Connection
from whatsapp_testbed.hub import Hub
from whatsapp_testbed.media import MediaHost
from whatsapp_testbed.questions import MEDIA_HOST
from whatsapp_testbed.websocket import WebSocket

CHAT_HOST = "web.whatsapp.com"
HOSTS = (CHAT_HOST, MEDIA_HOST)
_HEAD_BYTES = 8192
_HEAD_SECONDS = 30
_LOST = (*GONE, anyio.IncompleteRead, anyio.DelimiterNotFound, OSError)


class Proxy:
    """Takes connections and serves each as the host that it asks for."""

    def __init__(self, hub: Hub, media: MediaHost, tls: Tls) -> None:
        self._hub = hub
        self._media = media
        self._tls = tls

    async def serve(self, stream: SocketStream) -> None:
        """Serve one connection to its end. Our own mistakes are kept for the test's end."""
        try:
            async with stream:
                with contextlib.suppress(*_LOST):
                    await self._serve(stream)
        except Exception as error:  # noqa: BLE001  # one connection's fault must not end the others: it is told at the end
            self._hub.faults.append(error)

    async def _serve(self, stream: SocketStream) -> None:
        if self._hub.troubles.down:
            return
        with anyio.fail_after(_HEAD_SECONDS):
            head = await BufferedByteReceiveStream(stream).receive_until(b"\r\n\r\n", _HEAD_BYTES)
        method, target, *_ = head.decode("latin-1").split(" ")
        host = target.partition(":")[0]
        await self._hub.troubles.speaking.wait()
        if method != "CONNECT" or host not in HOSTS:
            await stream.send(b"HTTP/1.1 502 No such host in the testbed\r\nContent-Length: 0\r\n\r\n")
            return
        if host == CHAT_HOST:
            self._hub.seen.dials += 1
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        async with await TLSStream.wrap(
            stream, server_side=True, ssl_context=self._tls.context, standard_compatible=False
        ) as inside:
            if host == CHAT_HOST:
                await Connection(self._hub, WebSocket(inside)).run()
            else:
                await self._media.serve(inside)
