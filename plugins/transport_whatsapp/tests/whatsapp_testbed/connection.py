"""One client's connection: the handshake, the login, and the stanzas afterwards."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from whatsapp_testbed import questions, relay
from whatsapp_testbed.fields import integer, unpacked
from whatsapp_testbed.hub import Hub, fresh_id, now
from whatsapp_testbed.noise import Agreed, Handshake
from whatsapp_testbed.people import Account, Device
from whatsapp_testbed.seen import Stanza
from whatsapp_testbed.stanzas import SERVER, Jid, Node
from whatsapp_testbed.websocket import WebSocket

GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError)
"""What tells that a client isn't there any more."""
_HEADER = 4
_HANDSHAKE_SECONDS = 30
_GOODBYE_SECONDS = 2
_LAST_WORD_SECONDS = 0.3
_MOST_OUTGOING = 20_000
_USERNAME, _DEVICE = 1, 18


class Connection:
    """A client, from its first byte on.

    Attributes:
        account: Whose device it is, once logged in.
        device: The device, once logged in.
        ready: Whether it has got its backlog, so that new stanzas may be sent at once.
        asks_backlog: Whether it has said that it may get what came while it was away.
        pairing_id: The id of the question that ends pairing.
        finishing: What to do with the client's answer to a pairing code.
    """

    def __init__(self, hub: Hub, socket: WebSocket) -> None:
        self.hub = hub
        self.account: Account | None = None
        self.device: Device | None = None
        self.ready = False
        self.asks_backlog = False
        self._hang_on = 0.0
        self.pairing_id = ""
        self.finishing: Callable[[Node], None] | None = None
        self._socket = socket
        self._scope = anyio.CancelScope()
        self._buffer = b""
        self._agreed: Agreed | None = None
        self._outgoing: MemoryObjectSendStream[bytes]
        self._frames: MemoryObjectReceiveStream[bytes]
        self._outgoing, self._frames = anyio.create_memory_object_stream[bytes](_MOST_OUTGOING)

    def send(self, node: Node) -> None:
        """Queue a stanza. A client that is too far behind is dropped."""
        if self._agreed is None:
            raise RuntimeError("a stanza can't be sent before the handshake")
        try:
            self._outgoing.send_nowait(self._agreed.writing.encrypt(self.hub.codec.encode(node)))
        except anyio.WouldBlock:
            self.abort()
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # it is ending: what must not be lost is pending

    def close(self) -> None:
        """End the connection when all that is queued is sent."""
        self.ready = False
        self._outgoing.close()

    def abort(self) -> None:
        """End the connection now, without a goodbye."""
        self.ready = False
        self._scope.cancel()

    async def run(self) -> None:
        """Serve the client until it goes or is sent away."""
        self.hub.everyone.add(self)
        try:
            with self._scope, self._outgoing, self._frames, contextlib.suppress(*GONE):
                with anyio.fail_after(_HANDSHAKE_SECONDS):
                    await self._shake_hands()
                async with anyio.create_task_group() as group:
                    group.start_soon(self._write)
                    self._log_in()
                    await self._read()
                    group.cancel_scope.cancel()
        finally:
            self.ready = False
            self.hub.forget(self)

    def flush(self) -> None:
        """Hand over what came while the device was away."""
        device = self.device
        if device is None or self.ready:
            return
        self.ready = True
        backlog = device.backlog()
        count: dict[str, str | int | Jid | None] = {"count": len(backlog), "message": len(backlog)}
        self.send(Node("ib", {"from": SERVER}, [Node("offline_preview", count)]))
        for node in backlog:
            node.attributes["offline"] = "0"
            self.hub.deliver(device, node)
        self.send(Node("ib", {"from": SERVER}, [Node("offline", {"count": len(backlog)})]))

    def refuse(self, node: Node) -> None:
        """Send a last stanza and end the connection, a moment later: whatsmeow may miss what comes with the end."""
        self.send(node)
        self._hang_on = _LAST_WORD_SECONDS
        self.close()

    async def _shake_hands(self) -> None:
        while len(self._buffer) < _HEADER:
            self._buffer += await self._socket.receive()
        header, self._buffer = self._buffer[:_HEADER], self._buffer[_HEADER:]
        handshake = Handshake(self.hub.identity, header)
        await self._socket.send(_framed(handshake.answer(await self._frame())))
        self._agreed = handshake.finish(await self._frame())

    async def _frame(self) -> bytes:
        while len(self._buffer) < 3 or len(self._buffer) < 3 + int.from_bytes(self._buffer[:3], "big"):
            self._buffer += await self._socket.receive()
        end = 3 + int.from_bytes(self._buffer[:3], "big")
        frame, self._buffer = self._buffer[3:end], self._buffer[end:]
        return frame

    async def _read(self) -> None:
        agreed = self._agreed
        while agreed is not None:
            try:
                frame = await self._frame()
            except GONE:
                return
            await self.hub.troubles.speaking.wait()
            node = self.hub.codec.decode(agreed.reading.decrypt(frame))
            number, device = (self.account.number, self.device.jid.device) if self.account and self.device else ("", 0)
            self.hub.seen.stanzas.append(Stanza(number, device, node))
            self._handle(node)

    async def _write(self) -> None:
        with contextlib.suppress(*GONE):
            async for frame in self._frames:
                await self.hub.troubles.speaking.wait()
                await self._socket.send(_framed(frame))
            await anyio.sleep(self._hang_on)  # a client that goes by itself ends this
            with anyio.move_on_after(_GOODBYE_SECONDS):
                await self._socket.close()
        self._scope.cancel()

    def _log_in(self) -> None:
        fields = unpacked(self._agreed.payload if self._agreed else b"")
        if not integer(fields, _USERNAME):
            self._offer_codes()
            return
        jid = Jid(str(integer(fields, _USERNAME)), device=integer(fields, _DEVICE))
        account, device = self.hub.directory.account(jid), self.hub.directory.device(jid)
        if (refusal := self.hub.troubles.reject_login) is not None:
            self.refuse(refusal)
        elif account is None or device is None:
            self.refuse(Node("failure", {"reason": "401", "location": "testbed"}))
        else:
            self._welcome(account, device)

    def _welcome(self, account: Account, device: Device) -> None:
        if (older := self.hub.connections.get(device.jid)) is not None:
            older.refuse(Node("stream:error", {}, [Node("conflict", {"type": "replaced"})]))
        self.account, self.device = account, device
        self.hub.connections[device.jid] = self
        self.hub.seen.logins.append(device.jid)
        self.send(Node("success", {"t": now(), "lid": device.lid, "location": "testbed"}))

    def _offer_codes(self) -> None:
        self.hub.seen.pairings += 1
        refs = [secrets.token_urlsafe(12) for _ in range(self.hub.troubles.qr_refs)]
        self.hub.pairing.update(dict.fromkeys(refs, self))
        codes = Node("pair-device", {}, [Node("ref", {}, ref.encode()) for ref in refs])
        self.send(Node("iq", {"from": SERVER, "type": "set", "id": fresh_id()}, [codes]))

    def _handle(self, node: Node) -> None:
        if node.tag == "iq" and node.text("type") == "result":
            if self.pairing_id and node.text("id") == self.pairing_id:
                self._restart()
        elif node.tag == "iq":
            questions.answer(self, node)
        elif self.account and self.device:
            relay.handle(relay.Sender(self.hub, self, self.account, self.device), node)

    def _restart(self) -> None:
        """Send the client away after pairing, to come back and log in.

        Who closes at once makes whatsmeow miss the reason now and then: seen in one of six runs.
        """
        self.send(Node("stream:error", {"code": "515"}))
        if self.hub.troubles.restart_at_once:
            self.close()


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(3, "big") + data
