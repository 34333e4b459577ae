"""Keys on Curve25519 that also sign (XEdDSA), as WhatsApp's certificates and its phones' signatures need.

The scheme is Signal's, https://signal.org/docs/specifications/xeddsa/; slow, not constant in time: for tests only.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_SIGN_BIT: Final = 0x80

Point: TypeAlias = tuple[int, int, int, int]
"""A point of the twisted Edwards curve in extended coordinates: X, Y, Z, T."""


def _base_point() -> Point:
    y = 4 * pow(5, -1, _P) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    x = _P - x if x & 1 else x
    return x, y, 1, x * y % _P


_BASE: Final = _base_point()


def _sum(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times_base(scalar: int) -> bytes:
    """Multiply the base point, and write the product as Ed25519 does: y with the sign of x on top."""
    total, addend = (0, 1, 1, 0), _BASE
    while scalar:
        if scalar & 1:
            total = _sum(total, addend)
        addend = _sum(addend, addend)
        scalar >>= 1
    inverse = pow(total[2], -1, _P)
    x, y = total[0] * inverse % _P, total[1] * inverse % _P
    return (y | ((x & 1) << 255)).to_bytes(32, "little")


def _digest(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % _ORDER


class KeyPair:
    """A private key with its public one.

    Attributes:
        public: The public key, 32 bytes.
    """

    def __init__(self) -> None:
        private = bytearray(os.urandom(32))
        private[0] &= 248
        private[31] = (private[31] & 127) | 64
        self._private = bytes(private)
        self._exchanging = X25519PrivateKey.from_private_bytes(self._private)
        self.public = self._exchanging.public_key().public_bytes_raw()

    def exchange(self, public: bytes) -> bytes:
        """Agree on a secret with the owner of another public key."""
        return self._exchanging.exchange(X25519PublicKey.from_public_bytes(public))

    def sign(self, message: bytes) -> bytes:
        """Sign with XEdDSA; the sign of the Edwards key travels in the last byte, as whatsmeow's libsignal reads it."""
        scalar = int.from_bytes(self._private, "little")
        public = _times_base(scalar)
        nonce = _digest(b"\xfe" + b"\xff" * 31, self._private, message, os.urandom(64))
        commitment = _times_base(nonce)
        answer = (nonce + _digest(commitment, public, message) * scalar) % _ORDER
        signature = bytearray(commitment + answer.to_bytes(32, "little"))
        signature[63] |= public[31] & _SIGN_BIT
        return bytes(signature)


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the owner of the public key has signed this; ``cryptography``'s Ed25519 judges, not this module."""
    u = int.from_bytes(public, "little")
    edwards = bytearray(((u - 1) * pow(u + 1, -1, _P) % _P).to_bytes(32, "little"))
    edwards[31] |= signature[63] & _SIGN_BIT
    plain = signature[:63] + bytes([signature[63] & ~_SIGN_BIT & 0xFF])
    try:
        Ed25519PublicKey.from_public_bytes(bytes(edwards)).verify(plain, message)
    except InvalidSignature:
        return False
    return True
