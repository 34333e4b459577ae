"""What the server passes on: messages, receipts, typing. It reads envelopes only; letters are sealed by the clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from whatsapp_testbed.hub import Hub, now
from whatsapp_testbed.people import Account, Device
from whatsapp_testbed.stanzas import GROUP, Attribute, Jid, Node

if TYPE_CHECKING:
    from whatsapp_testbed.connection import Connection


@dataclass(frozen=True)
class Sender:
    """Who sent a stanza."""

    hub: Hub
    connection: Connection
    account: Account
    device: Device

    def members(self, jid: Jid) -> list[Account]:
        """The people that an address means: a group's members, or one person."""
        if (group := self.hub.directory.group(jid)) is not None:
            return group.members
        account = self.hub.directory.account(jid)
        return [account] if account else []


def handle(sender: Sender, node: Node) -> None:
    """Pass a stanza on."""
    if node.tag == "message":
        _message(sender, node)
    elif node.tag == "receipt":
        _receipt(sender, node)
    elif node.tag == "chatstate":
        _typing(sender, node)
    elif node.tag == "presence" and node.text("name"):
        sender.account.name = node.text("name")
    elif node.tag == "ack":
        sender.device.pending.pop((node.text("class"), node.text("id")), None)


def _message(sender: Sender, node: Node) -> None:
    troubles, number = sender.hub.troubles, sender.account.number
    to, attributes = node.jid("to"), _acknowledgement(node)
    refusals = troubles.refusals.get(number)
    if to is None or number in troubles.lose_messages:
        return
    if refusals:
        attributes["error"] = refusals.popleft()
    elif to.server == GROUP and sender.account not in sender.members(to):
        attributes["error"] = 403
    else:
        _pass_on(sender, node, to)
    answer = Node("ack", attributes)
    if number in troubles.hold_acks:
        troubles.held.append(lambda: sender.connection.send(answer))
    else:
        sender.connection.send(answer)


def _acknowledgement(node: Node) -> dict[str, Attribute | None]:
    return {"from": node.attributes.get("to"), "class": node.tag, "id": node.text("id"), "t": now()}


def _pass_on(sender: Sender, node: Node, to: Jid) -> None:
    """Hand everybody's device the part that is sealed for it, and the part that is sealed for all."""
    listed = node.child("participants")
    identity = [child for child in node.children if child.tag == "device-identity"]
    members = sender.members(to)
    common = [child for child in node.children if child.tag == "enc"]
    reached: set[Jid] = set()
    for part in listed.children if listed else []:
        device = sender.hub.directory.device(part.jid("jid"))
        if device is None or device.jid in reached:  # whatsmeow lists its own devices twice in its own chat
            continue
        if to.server != GROUP or sender.hub.directory.account(device.jid) in members:
            reached.add(device.jid)
            sender.hub.deliver(device, _letter(sender, node, to, device, [*part.children, *common, *identity]))
    only = node.jid("participant")  # the one member whom a group's letter is sent to again
    if to.server != GROUP or only is not None:
        device = None if listed else sender.hub.directory.device(only or to)
        if device is not None:
            sender.hub.deliver(device, _letter(sender, node, to, device, [*common, *identity]))
        return
    for device in sender.hub.directory.devices_of(members):
        if device is not sender.device and device.jid not in reached:
            sender.hub.deliver(device, _letter(sender, node, to, device, common))


def _letter(sender: Sender, node: Node, to: Jid, device: Device, parts: list[Node]) -> Node:
    """Address a message as its recipient's device gets it."""
    attributes: dict[str, Attribute | None] = {
        "id": node.text("id"),
        "t": now(),
        "type": node.text("type"),
        "notify": sender.account.name,
        "edit": node.text("edit"),
    }
    if to.server == GROUP:
        members: dict[str, Attribute | None] = {"participant": sender.device.lid, "addressing_mode": "lid"}
        attributes |= {"from": to, "participant_pn": sender.account.jid, **members}
    elif sender.hub.directory.account(device.jid) is sender.account:  # the sender's own other device
        chat = node.jid("recipient") or to  # the former when a letter is sent again
        other = sender.hub.directory.account(chat)
        attributes |= {
            "from": sender.device.lid,
            "recipient": other.lid if other else chat,
            "peer_recipient_pn": other.jid if other else None,
        }
    else:
        attributes |= {"from": sender.device.lid, "sender_pn": sender.account.jid}
    return Node("message", attributes, parts)


def _receipt(sender: Sender, node: Node) -> None:
    """Tell the author's devices; a receipt to one device, such as a request to send again, goes to that one only."""
    sender.connection.send(Node("ack", {**_acknowledgement(node), "type": node.attributes.get("type")}))
    if node.text("type") != "retry":  # a message is acknowledged by the word that it was received
        sender.device.pending.pop(("message", node.text("id")), None)
    to = node.jid("to")
    author = node.jid("participant") or to
    if to is None or author is None or author.server == GROUP:
        return
    attributes: dict[str, Attribute | None] = {"id": node.text("id"), "t": now(), "type": node.attributes.get("type")}
    if to.server == GROUP:
        attributes |= {"from": to, "participant": sender.device.lid}
    else:
        attributes |= {"from": sender.device.lid, "recipient": node.attributes.get("recipient")}
    for device in sender.hub.directory.devices_of(sender.members(author)):
        if device is not sender.device and author.device in {0, device.jid.device}:
            sender.hub.deliver(device, Node("receipt", attributes, node.content))


def _typing(sender: Sender, node: Node) -> None:
    """Tell those who are there now; who is away never hears of it."""
    to = node.jid("to")
    if to is None:
        return
    person = sender.account.lid
    attributes: dict[str, Attribute | None] = {"from": person}
    if to.server == GROUP:
        attributes = {"from": to, "participant": person}
    others = [account for account in sender.members(to) if account is not sender.account]
    for device in sender.hub.directory.devices_of(others):
        connection = sender.hub.connections.get(device.jid)
        if connection is not None and connection.ready:
            connection.send(Node("chatstate", attributes, node.content))
