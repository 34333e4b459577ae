"""The people and groups of the stand-in server, as tests handle them: from any thread, and blocking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whatsapp_testbed import phones, questions
from whatsapp_testbed.people import Account, GroupRecord
from whatsapp_testbed.seen import SeenMessage, SeenReceipt, SeenTyping
from whatsapp_testbed.stanzas import Attribute, Node

if TYPE_CHECKING:
    from whatsapp_testbed.server import WhatsAppServer

LINK_SECONDS = 30


class User:
    """A person with a phone. Get one from ``server.user``.

    Attributes:
        number: The phone number, digits only.
        lid: The LID's digits.
        name: The name that others see.
    """

    def __init__(self, server: WhatsAppServer, account: Account) -> None:
        self._server = server
        self._account = account
        self.number = account.number
        self.lid = account.lid_user
        self.name = account.name

    @property
    def chat(self) -> str:
        """The person's address by LID, which is also the chat with them: ``1000@lid``."""
        return str(self._account.lid)

    @property
    def phone_chat(self) -> str:
        """The person's address by number: ``1555@s.whatsapp.net``."""
        return str(self._account.jid)

    def settings_key(self) -> bytes:
        """The key that this person's phone seals the settings with."""
        return self._account.settings_key

    def scan(self, qr: str) -> int:
        """Scan the QR code that a device shows; returns the number that the device gets.

        Raises:
            LookupError: Nobody shows this code (any more).
        """
        return self._server.call(lambda: phones.scan(self._server.hub, self._account, qr)).jid.device

    def type_code(self, code: str) -> int:
        """Type the pairing code that a device shows; returns the number that the device gets.

        Raises:
            LookupError: No device waits for a code for this number.
            TimeoutError: The device did not answer in 30 seconds.
        """
        before = self.devices()
        self._server.call(lambda: phones.type_code(self._server.hub, self._account, code))
        linked = self._server.wait_for(lambda: [n for n in self.devices() if n not in before], within=LINK_SECONDS)
        return linked[0]

    def unlink(self, device: int | None = None) -> None:
        """Unlink a device on the phone, or all of them: who is connected is told, who isn't is refused later."""

        def act() -> None:
            for number in [device] if device else list(self._account.devices):
                gone = self._account.devices.get(number)
                questions.leave(self._server.hub, self._account, gone)
                connection = self._server.hub.connections.get(gone.jid) if gone else None
                if connection is not None:
                    removed = Node("conflict", {"type": "device_removed"})
                    connection.refuse(Node("stream:error", {"code": 401}, [removed]))

        self._server.call(act)

    def devices(self) -> list[int]:
        """The numbers of the linked devices."""
        return self._server.call(lambda: list(self._account.devices))

    def connected(self) -> list[int]:
        """The numbers of the devices that are connected and have got their backlog."""

        def look() -> list[int]:
            jids = self._server.hub.connections
            return [jid.device for jid, one in jids.items() if jid.user == self.number and one.ready]

        return self._server.call(look)

    def logins(self) -> int:
        """How often devices of this person were let in."""
        logins = self._server.hub.seen.logins
        return self._server.call(lambda: sum(jid.user == self.number for jid in logins))

    def waiting(self, device: int | None = None) -> list[str]:
        """The ids of messages that the server keeps for a device, or for all: not delivered, or not acknowledged."""

        def look() -> list[str]:
            devices = [one for number, one in self._account.devices.items() if device in {None, number}]
            nodes = [node for one in devices for node in (*one.pending.values(), *one.waiting)]
            return [node.text("id") for node in nodes if node.tag == "message"]

        return self._server.call(look)

    def messages(self) -> list[SeenMessage]:
        """The messages that this person's devices have sent."""
        return self._server.call(lambda: self._server.hub.seen.messages(self.number))

    def receipts(self, kind: str | None = None) -> list[SeenReceipt]:
        """The receipts that this person's devices have sent: ``delivered``, ``read`` …"""
        found = self._server.call(lambda: self._server.hub.seen.receipts(self.number))
        return [receipt for receipt in found if kind in {None, receipt.kind}]

    def typing(self) -> list[SeenTyping]:
        """The chat states that this person's devices have sent."""
        return self._server.call(lambda: self._server.hub.seen.typing(self.number))

    def presence(self) -> list[str]:
        """The presence that this person's devices have sent: ``available``, ``unavailable``."""
        return self._server.call(lambda: self._server.hub.seen.presence(self.number))


class Group:
    """A group. Get one from ``server.group``; who changes it here does so as its owner, the first member."""

    def __init__(self, server: WhatsAppServer, record: GroupRecord) -> None:
        self._server = server
        self._record = record

    @property
    def chat(self) -> str:
        """The group's address: ``1203@g.us``."""
        return str(self._record.jid)

    @property
    def members(self) -> list[str]:
        """The members' addresses by LID."""
        return self._server.call(lambda: [str(member.lid) for member in self._record.members])

    @property
    def expiration(self) -> int:
        """How long messages live, in seconds; 0 for ever."""
        return self._record.expiration

    def add(self, *users: User) -> None:
        """Add members, and tell all members' devices."""
        self._change("add", users)

    def remove(self, *users: User) -> None:
        """Remove members, and tell all members' devices, theirs too."""
        self._change("remove", users)

    def rename(self, subject: str) -> None:
        """Give the group another name, and tell its members' devices."""
        self._record.subject = subject
        self._tell(Node("subject", {"subject": subject}), [])

    def expire(self, seconds: int) -> None:
        """Let messages live this long, 0 for ever, and tell the members' devices."""
        self._record.expiration = seconds
        self._tell(Node("ephemeral", {"expiration": seconds}) if seconds else Node("not_ephemeral"), [])

    def _change(self, what: str, users: Sequence[User]) -> None:
        accounts = [self._server.hub.directory.accounts[user.number] for user in users]

        def act() -> None:
            kept = [member for member in self._record.members if member not in accounts]
            self._record.members[:] = [*kept, *accounts] if what == "add" else kept

        self._server.call(act)
        people = [Node("participant", {"jid": one.lid, "phone_number": one.jid}) for one in accounts]
        self._tell(Node(what, {}, people), accounts if what == "remove" else [])

    def _tell(self, change: Node, also: Sequence[Account]) -> None:
        owner = self._record.members[0]
        attributes: dict[str, Attribute | None] = {
            "from": self._record.jid,
            "type": "w:gp2",
            "participant": owner.lid,
            "participant_pn": owner.jid,
            "addressing_mode": "lid",
        }
        self._server.notify([*self._record.members, *also], attributes, [change])
