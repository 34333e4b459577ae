"""Who is on the stand-in server: people with their phones and linked devices, and groups."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from whatsapp_testbed.curve import KeyPair
from whatsapp_testbed.stanzas import GROUP, LID, Jid, Node

_MOST_WAITING = 5000


@dataclass
class Device:
    """A companion that is linked to an account, such as the program under test.

    Attributes:
        jid: Its address by number.
        lid: Its address by LID.
        identity: Its public identity key.
        registration: Its registration id.
        signed_key: Its signed prekey, as it came.
        keys: Its one-time prekeys.
        waiting: What came while it was away.
        pending: What was sent to it and not acknowledged, by kind and id.
    """

    jid: Jid
    lid: Jid
    identity: bytes = b""
    registration: bytes = b""
    signed_key: Node | None = None
    keys: deque[Node] = field(default_factory=deque)
    waiting: deque[Node] = field(default_factory=lambda: deque(maxlen=_MOST_WAITING))
    pending: dict[tuple[str, str], Node] = field(default_factory=dict)

    @property
    def reachable(self) -> bool:
        """Whether messages can be sealed for it: it has told its keys."""
        return self.signed_key is not None

    def backlog(self) -> list[Node]:
        """Take what it must get at its next login: what it never acknowledged, then what came since."""
        nodes = [*self.pending.values(), *self.waiting]
        self.pending.clear()
        self.waiting.clear()
        return nodes


@dataclass(eq=False)
class Account:
    """A person: a number, a LID, the key of the phone that links devices, and the key that seals the settings."""

    number: str
    lid_user: str
    name: str
    phone: KeyPair = field(default_factory=KeyPair)
    settings_key: bytes = field(default_factory=lambda: os.urandom(32))
    devices: dict[int, Device] = field(default_factory=dict)
    next_device: int = 1

    @property
    def jid(self) -> Jid:
        """The address by number."""
        return Jid(self.number)

    @property
    def lid(self) -> Jid:
        """The address by LID."""
        return Jid(self.lid_user, LID)

    def link(self, identity: bytes) -> Device:
        """Add a device, under the next number."""
        number = self.next_device
        self.next_device += 1
        device = Device(Jid(self.number, device=number), Jid(self.lid_user, LID, number), identity)
        self.devices[number] = device
        return device


@dataclass(eq=False)
class GroupRecord:
    """A group: its first member is the owner; ``expiration`` is its messages' life in seconds, 0 for ever."""

    id: str
    subject: str
    members: list[Account]
    expiration: int = 0

    @property
    def jid(self) -> Jid:
        """The group's address."""
        return Jid(self.id, GROUP)


class Directory:
    """Finds accounts, devices and groups by their addresses."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.groups: dict[str, GroupRecord] = {}

    def account(self, jid: Jid | None) -> Account | None:
        """The account that an address means, by number or by LID."""
        if jid is None:
            return None
        if jid.server == LID:
            return next((account for account in self.accounts.values() if account.lid_user == jid.user), None)
        return self.accounts.get(jid.user)

    def device(self, jid: Jid | None) -> Device | None:
        """The device that an address means, by number or by LID."""
        account = self.account(jid)
        return account.devices.get(jid.device) if account and jid else None

    def group(self, jid: Jid) -> GroupRecord | None:
        """The group that an address means."""
        return self.groups.get(jid.user) if jid.server == GROUP else None

    def devices_of(self, accounts: list[Account]) -> Iterator[Device]:
        """All devices of these accounts."""
        for account in accounts:
            yield from account.devices.values()
