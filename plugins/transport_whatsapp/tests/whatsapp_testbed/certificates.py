"""The two chains of trust of the stand-in server: TLS under a test CA, and WhatsApp's own under a test root key."""

from __future__ import annotations

import datetime
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from whatsapp_testbed.curve import KeyPair
from whatsapp_testbed.fields import packed
from whatsapp_testbed.noise import Identity

_DAY = datetime.timedelta(days=1)
_LIFE = 30 * _DAY


@dataclass(frozen=True)
class Tls:
    """What the server proves itself with.

    Attributes:
        context: For the server's side.
        authority: The file with the CA's certificate, which clients must trust.
    """

    context: ssl.SSLContext
    authority: Path


def make_tls(folder: Path, hosts: Sequence[str]) -> Tls:
    """Make a CA, and a certificate of it for these hosts; the files go into the folder."""
    authority_key, host_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("WhatsApp testbed CA")
    authority = _builder(authority_name, authority_name, authority_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    host = _builder(_name(hosts[0]), authority_name, host_key.public_key()).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name) for name in hosts]), critical=False
    )
    authority_file, chain_file = folder / "authority.pem", folder / "host.pem"
    authority_file.write_bytes(_signed(authority, authority_key))
    chain_file.write_bytes(_signed(host, authority_key) + _private(host_key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain_file)
    return Tls(context, authority_file)


def make_identity(root: KeyPair) -> Identity:
    """Make the server's key for the handshake, certified by an intermediate key that the root has certified."""
    intermediate, static = KeyPair(), KeyPair()
    chain = {
        1: _certified(static.public, serial=2, issuer=1, by=intermediate),
        2: _certified(intermediate.public, serial=1, issuer=0, by=root),
    }
    return Identity(static, packed(chain))


def _certified(public: bytes, *, serial: int, issuer: int, by: KeyPair) -> bytes:
    now = int(time.time())
    day = int(_DAY.total_seconds())
    details = packed({1: serial, 2: issuer, 3: public, 4: now - day, 5: now + 30 * day})
    return packed({1: details, 2: by.sign(details)})


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _LIFE)
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
