"""Reading what is encrypted with the secret of an earlier message: edits and reactions.

The scheme is WhatsApp's own, known from whatsmeow's ``msgsecret.go``: AES-GCM without additional data, with a key of
HKDF-SHA256 over the earlier message's secret, whose info joins that message's id, its sender, the sender of this event,
and the name of the use.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nanokimi_transport_whatsapp.engine import SecretOf
from nanokimi_transport_whatsapp.neonize_engine.people import names_of
from nanokimi_transport_whatsapp.values import Who

EDIT, REACTION = "Message Edit", "Enc Reaction"
"""Names of uses."""

SECRET = 32
"""Bytes of a secret."""


def secret_in(context: Any) -> bytes | None:
    """Give the secret in a ``MessageContextInfo``; ``None`` where the sender set none."""
    secret = bytes(context.messageSecret)
    return secret if len(secret) == SECRET else None


def key_of(secret: bytes, use: str, *, target: str, author: str, by: str) -> bytes:
    """Derive the key.

    Args:
        secret: Of the earlier message.
        use: What is encrypted.
        target: The earlier message's id.
        author: Who wrote it.
        by: Who sent what is encrypted.
    """
    info = (target + author + by + use).encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def opened(sealed: Any, use: str, *, target: str, chat: Who, author: Who, by: Who, secret_of: SecretOf) -> bytes | None:
    """Decrypt; ``None`` where no secret is known or none fits.

    People have two names, and a client uses either, for the secret's place and in the key: all are tried, 8 at most.
    """
    iv, payload = bytes(sealed.encIV), bytes(sealed.encPayload)
    known = (secret_of(*place, target) for place in product(names_of(chat), names_of(author)))
    for secret in dict.fromkeys(one for one in known if one):
        for written, sent in product(names_of(author), names_of(by)):
            key = key_of(secret, use, target=target, author=written, by=sent)
            try:
                return AESGCM(key).decrypt(iv, payload, None)
            except (InvalidTag, ValueError):
                continue
    return None
