"""What goes over WhatsApp's wire: stanzas, which are XML in thought, and the addresses in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

_MOST_SHOWN = 20
PHONE, LID, GROUP = "s.whatsapp.net", "lid", "g.us"


@dataclass(frozen=True)
class Jid:
    """An address: of a person by number or by LID, of one of a person's devices, of a group, or of the server."""

    user: str = ""
    server: str = PHONE
    device: int = 0

    def __str__(self) -> str:
        device = f":{self.device}" if self.device else ""
        return f"{self.user}{device}@{self.server}" if self.user else self.server

    @property
    def bare(self) -> Jid:
        """The same address without a device."""
        return Jid(self.user, self.server)

    @classmethod
    def parse(cls, text: str) -> Jid:
        """Read ``user:device@server``."""
        whole, _, server = text.rpartition("@")
        user, _, device = whole.partition(":")
        return cls(user, server, int(device or 0))


SERVER = Jid()
"""The server's own address."""

Attribute: TypeAlias = str | int | Jid
Content: TypeAlias = "bytes | Sequence[Node] | None"


@dataclass
class Node:
    """A stanza, or a part of one: a tag, attributes, and either bytes or further nodes.

    An attribute that is ``None`` or empty is not written.
    """

    tag: str
    attributes: dict[str, Attribute | None] = field(default_factory=dict)
    content: Content = None

    @property
    def children(self) -> list[Node]:
        """The nodes inside; none where there are bytes."""
        return [] if self.content is None or isinstance(self.content, bytes) else list(self.content)

    @property
    def octets(self) -> bytes:
        """The bytes inside; none where there are nodes."""
        return self.content if isinstance(self.content, bytes) else b""

    def child(self, tag: str) -> Node | None:
        """The first node inside with this tag."""
        return next((node for node in self.children if node.tag == tag), None)

    def need(self, tag: str) -> Node:
        """The first node inside with this tag.

        Raises:
            LookupError: There is none.
        """
        if (node := self.child(tag)) is None:
            raise LookupError(f"<{self.tag}> holds no <{tag}>: {self}")
        return node

    def text(self, name: str) -> str:
        """An attribute as text; empty when it isn't there."""
        value = self.attributes.get(name)
        return "" if value is None else str(value)

    def jid(self, name: str) -> Jid | None:
        """An attribute as an address; ``None`` when it isn't there."""
        value = self.attributes.get(name)
        if isinstance(value, Jid) or value is None:
            return value
        return Jid.parse(str(value))

    def __str__(self) -> str:
        said = "".join(f' {name}="{value}"' for name, value in self.attributes.items() if value not in {None, ""})
        if self.content is None:
            return f"<{self.tag}{said}/>"
        inside = "".join(map(str, self.children[:_MOST_SHOWN])) or f"<!-- {len(self.octets)} bytes -->"
        if (more := len(self.children) - _MOST_SHOWN) > 0:
            inside += f"<!-- {more} more -->"
        return f"<{self.tag}{said}>{inside}</{self.tag}>"
