"""The server's half of the encrypted handshake (Noise_XX_25519_AESGCM_SHA256), and the two ciphers after it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_testbed.curve import KeyPair
from whatsapp_testbed.fields import octets, packed, unpacked

_NAME = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"
_CLIENT_HELLO, _SERVER_HELLO, _CLIENT_FINISH = 2, 3, 4
_EPHEMERAL, _STATIC, _PAYLOAD = 1, 2, 3
_FINISH_STATIC, _FINISH_PAYLOAD = 1, 2


@dataclass(frozen=True)
class Identity:
    """Who the server proves to be: its static key, and the chain of certificates for it."""

    static: KeyPair
    chain: bytes


class Cipher:
    """One direction: each frame is encrypted under its number."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._count = 0

    def encrypt(self, data: bytes, associated: bytes | None = None) -> bytes:
        """Encrypt the next frame."""
        return self._cipher.encrypt(self._nonce(), data, associated)

    def decrypt(self, data: bytes, associated: bytes | None = None) -> bytes:
        """Decrypt the next frame."""
        return self._cipher.decrypt(self._nonce(), data, associated)

    def _nonce(self) -> bytes:
        self._count += 1
        return (self._count - 1).to_bytes(12, "big")


@dataclass(frozen=True)
class Agreed:
    """What a handshake ends with."""

    payload: bytes
    """The client's login, a ClientPayload."""
    reading: Cipher
    writing: Cipher


class Handshake:
    """One handshake, in which the client speaks first.

    Args:
        identity: The server's.
        header: The four bytes that a client sends before its first frame.
    """

    def __init__(self, identity: Identity, header: bytes) -> None:
        self._identity = identity
        self._ephemeral = KeyPair()
        self._hash = self._salt = _NAME
        self._cipher = Cipher(_NAME)
        self._authenticate(header)

    def answer(self, hello: bytes) -> bytes:
        """Read the client's hello, and write the server's."""
        ephemeral = octets(unpacked(octets(unpacked(hello), _CLIENT_HELLO)), _EPHEMERAL)
        self._authenticate(ephemeral)
        self._authenticate(self._ephemeral.public)
        self._mix(self._ephemeral.exchange(ephemeral))
        static = self._encrypt(self._identity.static.public)
        self._mix(self._identity.static.exchange(ephemeral))
        chain = self._encrypt(self._identity.chain)
        fields = {_EPHEMERAL: self._ephemeral.public, _STATIC: static, _PAYLOAD: chain}
        return packed({_SERVER_HELLO: packed(fields)})

    def finish(self, message: bytes) -> Agreed:
        """Read the client's last word."""
        fields = unpacked(octets(unpacked(message), _CLIENT_FINISH))
        static = self._decrypt(octets(fields, _FINISH_STATIC))
        self._mix(self._ephemeral.exchange(static))
        payload = self._decrypt(octets(fields, _FINISH_PAYLOAD))
        reading, writing = self._derive(b"")
        return Agreed(payload, Cipher(reading), Cipher(writing))

    def _authenticate(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def _encrypt(self, data: bytes) -> bytes:
        encrypted = self._cipher.encrypt(data, self._hash)
        self._authenticate(encrypted)
        return encrypted

    def _decrypt(self, data: bytes) -> bytes:
        plain = self._cipher.decrypt(data, self._hash)
        self._authenticate(data)
        return plain

    def _derive(self, secret: bytes) -> tuple[bytes, bytes]:
        both = HKDF(hashes.SHA256(), 64, self._salt, b"").derive(secret)
        return both[:32], both[32:]

    def _mix(self, secret: bytes) -> None:
        self._salt, key = self._derive(secret)
        self._cipher = Cipher(key)
