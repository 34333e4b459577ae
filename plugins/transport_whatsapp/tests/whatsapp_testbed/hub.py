"""What all connections of the stand-in server share, in its event loop. Nothing here waits: all is done at once."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from whatsapp_testbed.codec import Codec
from whatsapp_testbed.noise import Identity
from whatsapp_testbed.people import Account, Device, Directory
from whatsapp_testbed.seen import Seen
from whatsapp_testbed.stanzas import Attribute, Jid, Node

if TYPE_CHECKING:
    from whatsapp_testbed.connection import Connection


@dataclass
class Troubles:
    """How the server misbehaves at the moment. Set by ``trouble.py``.

    Attributes:
        down: Connections are closed as soon as they are made.
        speaking: Not set: nothing is read, written or answered, on old connections and new ones.
        reject_login: What a login gets instead of success.
        restart_at_once: The connection ends in the same moment as the "restart" after pairing.
        qr_refs: How many codes a client gets to show.
        hold_acks: Accounts whose messages are relayed and not acknowledged, by number.
        lose_messages: Accounts whose messages are neither relayed nor acknowledged, by number.
        held: What to do when acknowledgements are let go.
        twice: Accounts whose devices get each message twice, by number.
        refusals: Error codes for the next messages, by the sender's number.
        hold_offline: Connections get no backlog after login until let go.
    """

    down: bool = False
    speaking: anyio.Event = field(default_factory=anyio.Event)
    reject_login: Node | None = None
    restart_at_once: bool = False
    qr_refs: int = 6
    hold_acks: set[str] = field(default_factory=set)
    lose_messages: set[str] = field(default_factory=set)
    twice: set[str] = field(default_factory=set)
    held: deque[Callable[[], None]] = field(default_factory=deque)
    refusals: dict[str, deque[int]] = field(default_factory=dict)
    hold_offline: bool = False


class Hub:
    """The server's state.

    Attributes:
        connections: Logged-in clients, by their devices' addresses by number.
        pairing: Clients that show codes, by each code's reference.
        coding: Clients that wait for a pairing code to be typed, by number, with what they said.
        everyone: All open connections, logged in or not.
        faults: What went wrong inside the server itself; a test's end complains of it.
        latest: The latest message for each device.
    """

    def __init__(self, identity: Identity, codec: Codec) -> None:
        self.identity = identity
        self.codec = codec
        self.directory = Directory()
        self.connections: dict[Jid, Connection] = {}
        self.pairing: dict[str, Connection] = {}
        self.coding: dict[str, tuple[Connection, Node]] = {}
        self.everyone: set[Connection] = set()
        self.seen = Seen()
        self.troubles = Troubles()
        self.troubles.speaking.set()
        self.faults: deque[BaseException] = deque(maxlen=20)
        self.latest: dict[Jid, Node] = {}

    def deliver(self, device: Device, node: Node) -> None:
        """Send a device something that must not be lost: now, or at its next login."""
        if node.tag == "message":
            self.latest[device.jid] = node
        connection = self.connections.get(device.jid)
        if connection is None or not connection.ready:
            device.waiting.append(node)
            return
        device.pending[node.tag, node.text("id")] = node
        connection.send(node)
        if node.tag == "message" and device.jid.user in self.troubles.twice:
            connection.send(node)

    def announce_devices(self, account: Account, device: Device, what: str) -> None:
        """Tell everybody who is there that an account has a device more or less (``add``, ``remove``).

        The hash is a wrong one on purpose: clients then ask for the whole list again.
        """
        changed = [Node("device", {"jid": device.lid, "key-index": device.jid.device})]
        for person in (account.lid, account.jid):
            parts = [Node(what, {"device_hash": "2:testbed"}, changed)]
            for connection in self.connections.values():
                if connection.ready and connection.device is not device:
                    attributes: dict[str, Attribute | None] = {"from": person, "type": "devices"}
                    connection.send(Node("notification", {**attributes, "id": fresh_id(), "t": now()}, parts))

    def forget(self, connection: Connection) -> None:
        """Drop a connection that has ended from all lists."""
        self.everyone.discard(connection)
        if connection.device and self.connections.get(connection.device.jid) is connection:
            del self.connections[connection.device.jid]
        for ref in [ref for ref, waiting in self.pairing.items() if waiting is connection]:
            del self.pairing[ref]
        for number in [number for number, (waiting, _) in self.coding.items() if waiting is connection]:
            del self.coding[number]


def now() -> int:
    """The time as stanzas say it: whole seconds since 1970."""
    return int(time.time())


def fresh_id() -> str:
    """An id for a stanza that the server begins."""
    return secrets.token_hex(6)
