"""An account's settings, as its phone shares them with linked devices: here the name alone, which presence needs.

The phone seals each setting with a key that it hands to the devices in a letter. The server can't write letters, so a
``Friend`` of the same person hands the key over (``Friend.share_name``). The formats are whatsmeow's (``appstate``).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from typing import Final

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_testbed.fields import packed
from whatsapp_testbed.hub import now

COLLECTION: Final = "critical_block"
KEY_ID: Final = b"\0\0\0\0\0\1"
_VERSION = 1
_SET = b"\x01"


def named(key: bytes, name: str) -> bytes:
    """Write the first change of an account's settings: its name, sealed with a key of 32 bytes."""
    expanded = _derived(key, b"WhatsApp Mutation Keys", 160)
    index_key, value_key, value_mac_key, snapshot_key, patch_key = (expanded[at : at + 32] for at in range(0, 160, 32))
    index = json.dumps(["setting_pushName"]).encode()
    setting = packed({1: now(), 7: packed({1: name.encode()})})
    sealed = _sealed(value_key, packed({1: index, 2: setting, 3: b"", 4: 1}))
    tail = (len(KEY_ID) + 1).to_bytes(8, "big")
    value_mac = hmac.digest(value_mac_key, _SET + KEY_ID + sealed + tail, hashlib.sha512)[:32]
    record = {
        1: packed({1: hmac.digest(index_key, index, hashlib.sha256)}),
        2: packed({1: sealed + value_mac}),
        3: packed({1: KEY_ID}),
    }
    # the sum over all settings' hashes, of which there is one
    total = _derived(value_mac, b"WhatsApp Patch Integrity", 128)
    told = _VERSION.to_bytes(8, "big") + COLLECTION.encode()
    snapshot_mac = hmac.digest(snapshot_key, total + told, hashlib.sha256)
    patch_mac = hmac.digest(patch_key, snapshot_mac + value_mac + told, hashlib.sha256)
    return packed(
        {
            1: packed({1: _VERSION}),
            2: packed({1: 0, 2: packed(record)}),
            4: snapshot_mac,
            5: patch_mac,
            6: packed({1: KEY_ID}),
        }
    )


def _derived(key: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, None, purpose).derive(key)


def _sealed(key: bytes, content: bytes) -> bytes:
    vector, padder = os.urandom(16), padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return vector + encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
