"""What the server has seen its clients do, for tests to look at. Bounded: the oldest is forgotten."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from whatsapp_testbed.stanzas import Jid, Node

_MOST = 5000
_KINDS: Final = {"": "delivered", "inactive": "delivered"}


@dataclass(frozen=True)
class Stanza:
    """Something that a client sent; ``number`` is its account's, empty before it is linked."""

    number: str
    device: int
    node: Node


@dataclass(frozen=True)
class SeenReceipt:
    """A receipt that a client sent: ``kind`` is ``delivered``, ``read``, ``sender``, ``retry`` and so on."""

    kind: str
    to: str
    participant: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class SeenMessage:
    """A message that a client sent, of which the server sees the envelope only.

    Attributes:
        to: The chat's address, as the client wrote it.
        bot_tag: Whether it asks for the label "AI" or "bot".
        edit: ``"1"`` for an edit, ``"7"`` for a revocation.
    """

    id: str
    to: str
    kind: str
    edit: str
    bot_tag: bool


@dataclass(frozen=True)
class SeenTyping:
    """A chat state that a client sent: ``composing``, ``recording`` or ``paused``."""

    state: str
    to: str


@dataclass
class Seen:
    """All of it.

    Attributes:
        dials: How often somebody opened a connection to WhatsApp's chat host.
        logins: Each login that was let in, by the device's address.
        pairings: How often a client without an account asked for codes.
        strangers: What clients asked that the server has no answer for (it said "fine").
    """

    stanzas: deque[Stanza] = field(default_factory=lambda: deque(maxlen=_MOST))
    logins: deque[Jid] = field(default_factory=lambda: deque(maxlen=_MOST))
    strangers: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST))
    dials: int = 0
    pairings: int = 0

    def of(self, number: str, tag: str) -> list[Node]:
        """The stanzas with a tag that an account's devices sent, oldest first."""
        return [seen.node for seen in self.stanzas if seen.number == number and seen.node.tag == tag]

    def receipts(self, number: str) -> list[SeenReceipt]:
        """The receipts that an account's devices sent."""
        return [_receipt(node) for node in self.of(number, "receipt")]

    def messages(self, number: str) -> list[SeenMessage]:
        """The messages that an account's devices sent."""
        return [
            SeenMessage(
                node.text("id"), node.text("to"), node.text("type"), node.text("edit"), node.child("bot") is not None
            )
            for node in self.of(number, "message")
        ]

    def typing(self, number: str) -> list[SeenTyping]:
        """The chat states that an account's devices sent."""
        return [SeenTyping(_state(node), node.text("to")) for node in self.of(number, "chatstate")]

    def presence(self, number: str) -> list[str]:
        """The presence that an account's devices sent: ``available`` or ``unavailable``."""
        return [node.text("type") for node in self.of(number, "presence") if node.text("type")]


def _receipt(node: Node) -> SeenReceipt:
    more = [item.text("id") for listed in node.children if listed.tag == "list" for item in listed.children]
    kind = node.text("type")
    ids = (node.text("id"), *more)
    return SeenReceipt(_KINDS.get(kind, kind), node.text("to"), node.text("participant"), ids)


def _state(node: Node) -> str:
    child = node.children[0] if node.children else Node("unknown")
    return "recording" if child.text("media") == "audio" else child.tag
