"""What a phone does to link a device: scan the code that the device shows, or take the code that its owner types."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_testbed.connection import Connection
from whatsapp_testbed.curve import KeyPair
from whatsapp_testbed.fields import packed
from whatsapp_testbed.hub import Hub, fresh_id, now
from whatsapp_testbed.people import Account, Device
from whatsapp_testbed.questions import CODE_REF, LINK_CODE
from whatsapp_testbed.stanzas import SERVER, Node

_SIGNED_BY_PHONE = b"\x06\x00"
_ROUNDS = 2 << 16


@dataclass(frozen=True)
class _Wanted:
    """What a device shows: its identity key, and the secret that proves that this phone has seen it."""

    identity: bytes
    secret: bytes


def scan(hub: Hub, account: Account, code: str) -> Device:
    """Scan a QR code: link the device that shows it.

    Raises:
        LookupError: The code isn't shown by anybody any more.
    """
    reference, _, identity, secret, *_ = code.partition("#")[2].split(",") if "#" in code else code.split(",")
    if (connection := hub.pairing.get(reference)) is None:
        raise LookupError("no device shows this QR code (any more)")
    return _link(connection, account, _Wanted(base64.b64decode(identity), base64.b64decode(secret)))


def type_code(hub: Hub, account: Account, code: str) -> None:
    """Type a pairing code, as "ABCD-EFGH": link the device that shows it; it is linked when it has answered.

    Raises:
        LookupError: No device waits for a code for this number.
    """
    if account.number not in hub.coding:
        raise LookupError(f"no device waits for a code for {account.number}")
    connection, hello = hub.coding.pop(account.number)
    typed = code.replace("-", "").encode()
    wrapped = hello.need("link_code_pairing_wrapped_companion_ephemeral_pub").octets
    theirs = _scrambled(typed, wrapped[:32], wrapped[32:48], wrapped[48:80])
    ours, salt, vector = KeyPair(), os.urandom(32), os.urandom(16)
    connection.finishing = lambda node: _finish(connection, account, ours.exchange(theirs), node)
    parts = {
        "link_code_pairing_wrapped_primary_ephemeral_pub": salt + vector + _scrambled(typed, salt, vector, ours.public),
        "primary_identity_pub": account.phone.public,
        "link_code_pairing_ref": CODE_REF,
    }
    told = Node(LINK_CODE, {}, [Node(tag, {}, content) for tag, content in parts.items()])
    connection.send(Node("notification", {"from": SERVER, "type": LINK_CODE, "id": fresh_id(), "t": now()}, [told]))


def _finish(connection: Connection, account: Account, shared: bytes, node: Node) -> None:
    """Open the device's answer to a typed code, and link it. A wrong code opens nothing."""
    bundle = node.need("link_code_pairing_wrapped_key_bundle").octets
    key = _derived(shared, bundle[:32], b"link_code_pairing_key_bundle_encryption_key")
    plain = AESGCM(key).decrypt(bundle[32:44], bundle[44:], None)
    identity, rest = plain[:32], plain[64:]
    secret = _derived(shared + account.phone.exchange(identity) + rest, None, b"adv_secret")
    _link(connection, account, _Wanted(identity, secret))


def _link(connection: Connection, account: Account, wanted: _Wanted) -> Device:
    """Tell a device that it belongs to this account now, with the phone's signature."""
    details = packed({1: 1, 2: now(), 3: account.next_device})
    signature = account.phone.sign(_SIGNED_BY_PHONE + details + wanted.identity)
    signed = packed({1: details, 2: account.phone.public, 3: signature})
    proven = packed({1: signed, 2: hmac.new(wanted.secret, signed, hashlib.sha256).digest()})
    device = account.link(wanted.identity)
    connection.pairing_id = fresh_id()
    parts = [
        Node("device-identity", {}, proven),
        Node("biz", {}),
        Node("device", {"jid": device.jid, "lid": device.lid}),
        Node("platform", {"name": "android"}),
    ]
    success = Node("pair-success", {}, parts)
    connection.send(Node("iq", {"from": SERVER, "type": "set", "id": connection.pairing_id, "t": now()}, [success]))
    return device


def _scrambled(code: bytes, salt: bytes, vector: bytes, data: bytes) -> bytes:
    key = hashlib.pbkdf2_hmac("sha256", code, salt, _ROUNDS, 32)
    return Cipher(algorithms.AES(key), modes.CTR(vector)).encryptor().update(data)


def _derived(secret: bytes, salt: bytes | None, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, purpose).derive(secret)
