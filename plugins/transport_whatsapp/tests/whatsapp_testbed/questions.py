"""The server's answers to what clients ask (``<iq>``): keys, devices of people, groups, the media host, linking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from whatsapp_testbed import app_state
from whatsapp_testbed.hub import Hub, now
from whatsapp_testbed.people import Account, Device, GroupRecord
from whatsapp_testbed.stanzas import SERVER, Attribute, Jid, Node

if TYPE_CHECKING:
    from whatsapp_testbed.connection import Connection

MEDIA_HOST = "mmg.whatsapp.net"
LINK_CODE = "link_code_companion_reg"
CODE_REF = b"code-ref"
_KEY_TYPE = b"\x05"


def answer(connection: Connection, node: Node) -> None:
    """Answer a question; one that nobody knows is noted, and answered with "fine"."""
    answers = _ANSWERS.get(node.text("xmlns"))
    if answers is None:
        connection.hub.seen.strangers.append(str(node))
        result(connection, node)
    else:
        answers(connection, node)


def result(connection: Connection, node: Node, content: Sequence[Node] | None = None) -> None:
    """Answer a question."""
    connection.send(Node("iq", {"from": SERVER, "type": "result", "id": node.text("id")}, content))


def error(connection: Connection, node: Node, code: int, text: str) -> None:
    """Refuse a question."""
    told = Node("error", {"code": code, "text": text})
    connection.send(Node("iq", {"from": SERVER, "type": "error", "id": node.text("id")}, [told]))


def _keys(connection: Connection, node: Node) -> None:
    device = connection.device
    if device is None:
        error(connection, node, 403, "forbidden")
    elif node.text("type") == "set" and node.child("identity"):
        new = not device.reachable
        device.registration = node.need("registration").octets
        device.identity = node.need("identity").octets
        device.signed_key = node.child("skey")
        device.keys.extend(node.need("list").children)
        result(connection, node)
        if new and connection.account is not None:
            connection.hub.announce_devices(connection.account, device, "add")
    elif (asked := node.child("key")) is not None:
        result(connection, node, [Node("list", {}, [_bundle(connection, user) for user in asked.children])])
    else:
        result(connection, node, [Node("count", {"value": len(device.keys)})])


def _bundle(connection: Connection, user: Node) -> Node:
    """The keys with which a first message to a device is sealed."""
    device = connection.hub.directory.device(user.jid("jid"))
    if device is None or device.signed_key is None:
        missing = Node("error", {"code": 404, "text": "item-not-found"})
        return Node("user", {"jid": user.attributes["jid"]}, [missing])
    keys = [
        Node("registration", {}, device.registration),
        Node("type", {}, _KEY_TYPE),
        Node("identity", {}, device.identity),
        device.signed_key,
    ]
    if device.keys:
        keys.append(device.keys.popleft())
    return Node("user", {"jid": user.attributes["jid"], "t": now()}, keys)


def _passive(connection: Connection, node: Node) -> None:
    """A client is ready for messages."""
    result(connection, node)
    connection.asks_backlog = True
    if not connection.hub.troubles.hold_offline:
        connection.flush()


def _people(connection: Connection, node: Node) -> None:
    users = node.need("usync").need("list").children
    known = Node("list", {}, [_person(connection, user) for user in users])
    result(connection, node, [Node("usync", {}, [known])])


def _person(connection: Connection, user: Node) -> Node:
    """Who somebody is: whether on WhatsApp, with which LID, and with which devices."""
    contact = user.child("contact")
    jid = user.jid("jid") or Jid(contact.octets.decode().lstrip("+") if contact else "")
    account = connection.hub.directory.account(jid)
    if account is None:
        return Node("user", {"jid": jid}, [Node("contact", {"type": "out"})])
    devices = [
        Node("device", {"id": number, "key-index": number}) for number, one in account.devices.items() if one.reachable
    ]
    return Node(
        "user",
        {"jid": jid},
        [
            Node("contact", {"type": "in"}),
            Node("lid", {"val": account.lid}),
            Node("devices", {}, [Node("device-list", {"hash": "2:testbed"}, devices)]),
        ],
    )


def _media_host(connection: Connection, node: Node) -> None:
    life: dict[str, Attribute | None] = {"auth": "auth", "ttl": 300, "auth_ttl": 21_600, "max_buckets": 12}
    host = Node("host", {"hostname": MEDIA_HOST, "type": "primary"})
    result(connection, node, [Node("media_conn", life, [host])])


def _groups(connection: Connection, node: Node) -> None:
    groups, to = connection.hub.directory.groups, node.jid("to")
    group = connection.hub.directory.group(to) if to else None
    child = node.children[0].tag if node.children else ""
    if child == "participating":
        mine = [_group(one) for one in groups.values() if connection.account in one.members]
        result(connection, node, [Node("groups", {}, mine)])
    elif group is None:
        error(connection, node, 404, "item-not-found")
    elif connection.account not in group.members:
        error(connection, node, 403, "forbidden")
    elif child in {"ephemeral", "not_ephemeral"}:
        group.expiration = int(node.children[0].text("expiration") or 0)
        result(connection, node)
    else:
        result(connection, node, [_group(group)])


def _group(group: GroupRecord) -> Node:
    owner, life = group.members[0].lid, group.expiration
    members = [
        Node("participant", {"jid": member.lid, "phone_number": member.jid, "type": "" if index else "superadmin"})
        for index, member in enumerate(group.members)
    ]
    attributes: dict[str, Attribute | None] = {
        "id": group.id,
        "subject": group.subject,
        "creation": now(),
        "creator": owner,
        "s_t": now(),
        "s_o": owner,
        "addressing_mode": "lid",
        "p_v_id": 1,
        "size": len(members),
    }
    return Node("group", attributes, members + ([Node("ephemeral", {"expiration": life})] if life else []))


def _devices(connection: Connection, node: Node) -> None:
    """Linking by a typed code, and a device that leaves."""
    child = node.children[0] if node.children else Node("")
    if child.tag == "remove-companion-device":
        result(connection, node)
        leave(connection.hub, connection.account, connection.device)
    elif child.tag == LINK_CODE and child.text("stage") == "companion_hello":
        number = child.jid("jid")
        connection.hub.coding[number.user if number else ""] = (connection, child)
        result(connection, node, [Node(LINK_CODE, {}, [Node("link_code_pairing_ref", {}, CODE_REF)])])
    elif child.tag == LINK_CODE and connection.finishing is not None:
        result(connection, node)
        connection.finishing(child)
    else:
        error(connection, node, 400, "bad-request")


def leave(hub: Hub, account: Account | None, device: Device | None) -> None:
    """Unlink a device, and tell everybody who may write to it."""
    if account and device and account.devices.pop(device.jid.device, None):
        hub.announce_devices(account, device, "remove")


def _privacy(connection: Connection, node: Node) -> None:
    settings = [Node("category", {"name": "readreceipts", "value": "all"})]
    result(connection, node, [Node("privacy", {}, settings)] if node.text("type") == "get" else None)


def _settings(connection: Connection, node: Node) -> None:
    """An account's settings: a client that has none yet gets the first change of the only kind that there is."""
    account, collections = connection.account, []
    for asked in node.need("sync").children:
        told: dict[str, Attribute | None] = {"name": asked.text("name"), "has_more_patches": "false"}
        changes = []
        if account and asked.text("name") == app_state.COLLECTION and asked.text("version") in {"", "0"}:
            changes = [Node("patch", {}, app_state.named(account.settings_key, account.name))]
        collections.append(Node("collection", told, [Node("patches", {}, changes)]))
    result(connection, node, [Node("sync", {}, collections)])


_ANSWERS: Final[dict[str, Callable[[Connection, Node], None]]] = {
    "encrypt": _keys,
    "passive": _passive,
    "usync": _people,
    "w:m": _media_host,
    "w:g2": _groups,
    "md": _devices,
    "privacy": _privacy,
    "w:sync:app:state": _settings,
    "w:p": result,
    "urn:xmpp:ping": result,
    "disappearing_mode": result,
}
